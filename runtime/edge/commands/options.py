"""Options that several commands share, so that they read the same everywhere."""

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from edge.session import Provider

if TYPE_CHECKING:
    from edge.classifier import Prediction


class ProviderChoice(StrEnum):
    """Where the model runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"

    @property
    def literal(self) -> Provider:
        """The same choice as the library types it."""
        choices: dict[ProviderChoice, Provider] = {
            ProviderChoice.AUTO: "auto",
            ProviderChoice.CPU: "cpu",
            ProviderChoice.CUDA: "cuda",
        }
        return choices[self]


ProviderOption = Annotated[
    ProviderChoice, typer.Option(help="Where to run: cuda means CUDA or an error; auto takes CUDA where it works.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]

DIGITS = tuple("0123456789")


def none_of(labels: Iterable[str]) -> str:
    """What a rejected picture is: a bundle may have other labels than digits."""
    return "no digit" if tuple(labels) == DIGITS else "none of the labels"


def rejection_note(prediction: "Prediction") -> str:
    """How a line ends whose answer is probably none; empty for the others."""
    return f"  rejected: it looks like {none_of(prediction.probabilities)}" if prediction.rejected else ""

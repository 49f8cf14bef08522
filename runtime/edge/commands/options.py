"""Options that several commands share, so that they read the same everywhere."""

from enum import StrEnum
from typing import Annotated

import typer

from edge.session import Provider


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

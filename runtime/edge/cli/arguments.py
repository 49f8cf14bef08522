"""Options that several commands share, so that they read the same everywhere."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from edge.session.providers import Provider


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


def check_suffix(path: Path | None, suffix: str, option: str) -> None:
    """Refuses a file of another name than what an option writes, such as ".png".

    Raises:
        typer.BadParameter: the name ends in something else.
    """
    if path is not None and path.suffix.lower() != suffix:
        raise typer.BadParameter(f"{option} writes a {suffix[1:].upper()}; name a file that ends in {suffix}")

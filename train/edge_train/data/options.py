"""The options by which commands are told about data; nothing heavy is imported for them."""

from pathlib import Path
from typing import Annotated

import typer

DATA_VALUE = "NAME|FOLDER"
DATA_HELP = (
    "mnist, fashion-mnist, kmnist, qmnist, emnist-digits, strokes (drawn, needs no files), or a folder with a "
    "sub-folder of pictures for each class."
)

DataOption = Annotated[str, typer.Option(help=DATA_HELP, metavar=DATA_VALUE)]
DataFolderOption = Annotated[
    Path | None,
    typer.Option(help="Where published sets are or shall be; otherwise $EDGE_DATA, otherwise a cache folder."),
]

"""The one statement of the tensor that every bundle takes: its shape, its type, and the labels unless others are given.

All other rooms read their 28 from here; a bundle's manifest carries it for everybody else.
"""

from dataclasses import dataclass

ROWS = COLUMNS = 28
"""Of an image, in pixels; the rows are the time steps."""

DIGITS = tuple("0123456789")
"""The labels of a model that nobody gave others."""


@dataclass(frozen=True, slots=True)
class Input:
    """The tensor that the graph takes.

    Attributes:
        shape: axes of `image`; a name stands for a free axis. Rows are the time steps of a recurrent model.
        dtype: element type of `image`.
        ink: value of a fully inked pixel.
        background: value of an empty pixel.
    """

    shape: tuple[int | str, ...] = ("batch", ROWS, COLUMNS)
    dtype: str = "uint8"
    ink: int = 255
    background: int = 0


INPUT = Input()
"""What this edge writes and serves: uint8 [batch, 28, 28]."""

NAME = "image"
"""Of the input in the graph."""

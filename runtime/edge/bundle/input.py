"""The one statement of what every bundle takes and gives: shapes, types, names, and the labels unless others are given.

All other rooms read their 28 from here; a bundle's manifest carries it for everybody else.
"""

from dataclasses import dataclass

from edge.errors import BundleError

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

    def __str__(self) -> str:
        axes = ", ".join(map(str, self.shape))
        return f"{self.dtype} [{axes}], ink {self.ink} on {self.background}"


INPUT = Input()
"""What this edge writes and serves: uint8 [batch, 28, 28]."""

NAME = "image"
"""Of the input in the graph."""

OUTPUTS = ("logits", "probabilities")
"""What every graph gives: float32 [batch, classes] each."""

SCORE = "score"
"""What the graphs of this edge give too, where they can tell what is none of their labels: float32 [batch]."""

PICTURE_RECIPE = 5
"""Version of the way from a picture file to that tensor; it changes when the same file gives another image."""


def check_served(found: Input) -> None:
    """Refuses a tensor that this edge cannot fill.

    Args:
        found: what a bundle says that its graph takes. The name of its batch axis means nothing.

    Raises:
        BundleError: another shape, type, ink or background.
    """
    batch, *axes = found.shape or (0,)
    if not isinstance(batch, str) or Input((INPUT.shape[0], *axes), found.dtype, found.ink, found.background) != INPUT:
        raise BundleError(
            f"the bundle takes {found}, this edge serves {INPUT}; "
            "upgrade it with: pip install -U edge-toolkit, or export a model of such images"
        )

"""What a terminal shows: words that come from files, made harmless, lines beside the results, and signs."""

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WIDEST_CELL = 32

# Signs for a cell with two pixels, from no ink to full.
_ASCII: Final = " .:-=+*#%@"
_HALF_BLOCKS: Final = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
_INKED: Final = 96  # the grey level from which half a cell is drawn


def printable(text: str) -> str:
    """The text as it is, or quoted when a terminal would act on it or hide a part of it.

    For every word that comes from a file or from people: names, labels, versions, kinds.
    """
    return text if text.isprintable() else repr(text)


def shortened(cell: str) -> str:
    """The cell, cut to `WIDEST_CELL` letters: one long text must not push all that stands beside it off the screen."""
    return cell if len(cell) <= WIDEST_CELL else cell[: WIDEST_CELL - 3] + "..."


def shows_blocks() -> bool:
    """Whether the output can encode the blocks that pictures and bars are drawn with."""
    try:
        "\u2580\u2584\u2588\u2591\u2592\u2593".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def to_stderr(line: str) -> None:
    """Prints a line that is no result: stdout holds results only, so that other programs can read them."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def image_as_text(image: "NDArray[np.uint8]", *, unicode: bool = True) -> str:
    """The image as text, 28 columns by 14 lines: each character stands for two pixels, one above the other.

    Args:
        image: uint8 (28, 28), ink 255 on background 0.
        unicode: whether the terminal can show half blocks; signs from `.` to `@` otherwise.
    """
    pairs = list(zip(image[::2].tolist(), image[1::2].tolist(), strict=True))
    if not unicode:
        return "\n".join(_ascii_line(upper, lower) for upper, lower in pairs)
    return "\n".join(_block_line(upper, lower) for upper, lower in pairs)


def _block_line(upper: list[int], lower: list[int]) -> str:
    cells = zip(upper, lower, strict=True)
    return "".join(_HALF_BLOCKS[above >= _INKED, below >= _INKED] for above, below in cells).rstrip()


def _ascii_line(upper: list[int], lower: list[int]) -> str:
    most = 2 * 255
    cells = zip(upper, lower, strict=True)
    return "".join(_ASCII[(above + below) * (len(_ASCII) - 1) // most] for above, below in cells).rstrip()

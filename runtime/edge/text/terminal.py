"""What a terminal shows: words that come from files, made harmless, and the signs that it can draw."""

import sys

WIDEST_CELL = 32


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

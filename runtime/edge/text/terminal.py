"""What people read in a terminal: the signs that it can show, and the words that several commands share."""

import sys
from collections.abc import Iterable

REJECTED = "  rejected: it looks like "
_DIGITS = tuple("0123456789")


def none_of(labels: Iterable[str]) -> str:
    """What a rejected picture is: a bundle may have other labels than digits."""
    return "no digit" if tuple(labels) == _DIGITS else "none of the labels"


def shows_blocks() -> bool:
    """Whether the output can encode the blocks that pictures and bars are drawn with."""
    try:
        "\u2580\u2584\u2588\u2591\u2592\u2593".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True

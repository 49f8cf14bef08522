"""What the terminal at the other end can show."""

import sys


def shows_blocks() -> bool:
    """Whether the output can encode the blocks that pictures and bars are drawn with."""
    try:
        "\u2580\u2584\u2588\u2591\u2592\u2593".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True

"""Aligned columns of plain text: readable on a terminal, and still one line a row for other programs."""

from collections.abc import Sequence

GAP = "  "
WIDEST_CELL = 32


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Pads every column but the last to the width of its longest cell.

    Args:
        rows: the cells; all rows need the same number of them.

    Returns:
        One line a row, without spaces at its end.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def shortened(cell: str) -> str:
    """The cell, cut to `WIDEST_CELL` letters: one long text must not push all that stands beside it off the screen."""
    return cell if len(cell) <= WIDEST_CELL else cell[: WIDEST_CELL - 3] + "..."


def printable(text: str) -> str:
    """The text as it is, or quoted when a terminal would act on it: a file may be named with control codes."""
    return text if text.isprintable() else repr(text)


def size(count: int) -> str:
    """A number of bytes for people, such as "89.2 KB" (1 KB is 1000 bytes)."""
    return f"{count / 1e6:.1f} MB" if count >= 1_000_000 else f"{count / 1e3:.1f} KB"

"""Aligned columns of plain text: readable on a terminal, and still one line a row for other programs."""

from collections.abc import Container, Sequence

GAP = "  "


def aligned(rows: Sequence[Sequence[str]], *, right: Container[int] = ()) -> list[str]:
    """Pads every column to the width of its longest cell.

    Args:
        rows: the cells, those of the head among them; all rows need the same number of them.
        right: columns, from 0, whose cells stand to the right, because numbers are compared digit by digit; such as
            `range(2, 7)`. All others stand to the left.

    Returns:
        One line a row, without spaces at its end.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        GAP.join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def markdown(rows: Sequence[Sequence[str]], *, right: Container[int] = ()) -> list[str]:
    """The same as a table of Markdown; the first row is its head.

    Args:
        rows: the cells; all rows need the same number of them.
        right: columns, from 0, whose cells stand to the right.
    """
    head, *others = rows
    rule = ["---:" if place in right else "---" for place in range(len(head))]
    return [f"| {' | '.join(row)} |" for row in (head, rule, *others)]


def size(count: int) -> str:
    """A number of bytes for people, such as "89.2 KB" (1 KB is 1000 bytes)."""
    return f"{count / 1e6:.1f} MB" if count >= 1_000_000 else f"{count / 1e3:.1f} KB"


def percent(share: float) -> str:
    """A probability for people, such as "99.7 %"; never 100.0 or 0.0 where it is not quite."""
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return "> 99.9 %" if 0.9995 <= share < 1 else f"{share * 100:.1f} %"

"""An explanation as text: the belief row by row beside the digit, or the place that the answer hangs on."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.classifier.classifier import SIDE
from edge.explanation.look import percent
from edge.explanation.occlusion import Occlusion

BAR: Final = 16  # columns of a full belief
_LABEL: Final = 8  # columns of a label at most

# From no ink to full ink; two signs a pixel, because a terminal's cells are twice as high as wide.
_SHADES: Final = " ░▒▓█"
_ASCII_SHADES: Final = " .:+#"

# An answer that loses less than this to every patch hangs on none of them.
HANGS: Final = 0.05


def of_rows(
    image: NDArray[np.uint8],
    beliefs: NDArray[np.float32],
    labels: Sequence[str],
    settled: int | None,
    *,
    unicode: bool = True,
) -> list[str]:
    """A line for each row: its number, its pixels, the leading label, its belief as a number and as a bar.

    Args:
        image: uint8 (28, 28), ink 255 on background 0.
        beliefs: float32 (28, classes), the probabilities after each row.
        labels: of the columns.
        settled: the row, from 1, from which on the answer leads; None where another one leads at the end.
        unicode: whether the terminal can show blocks; signs of ASCII otherwise.
    """
    left, right = _inked(image)
    shades, full = (_SHADES, "█") if unicode else (_ASCII_SHADES, "#")
    leaders = beliefs.argmax(axis=1)
    names = [label[:_LABEL] for label in labels]
    width = max(5, *(len(names[column]) for column in leaders.tolist()))
    lines = [f"row  {'':{2 * (right - left)}}  {'leads':{width}}  belief"]
    for row, (column, pixels) in enumerate(zip(leaders.tolist(), image[:, left:right].tolist(), strict=True), 1):
        ink = "".join(2 * shades[(level * len(shades) - 1) // 255 if level else 0] for level in pixels)
        belief = float(beliefs[row - 1, column])
        mark = "  <- settled" if row == settled else ""
        bar = full * round(BAR * belief)
        lines.append(f"{row:3}  {ink}  {names[column]:{width}}  {percent(belief):>8}  {bar:{BAR}}{mark}".rstrip())
    return lines


def settlement(settled: int | None, label: str, leader: str) -> str:
    """The row after which the answer no longer changes, in a sentence.

    Args:
        settled: the row, from 1; None where another label leads at the end.
        label: the model's answer.
        leader: the label that leads after the last row.
    """
    if settled is None:
        return f"a close call: in floating point {leader} leads after the last row, in the bundle's integers {label}"
    if settled == 1:
        return f"{label} leads from the first row on"
    return f"after row {settled} the answer no longer changes: {label}"


def of_occlusion(found: Occlusion, labels: Sequence[str]) -> str:
    """Where the answer hangs most, in a sentence; rows and columns count from 1."""
    row, column = found.most
    label, patch = labels[found.answer], f"{found.patch}x{found.patch} pixels"
    if found.drop[row, column] < HANGS:
        worst = 100 * float(found.drop[row, column])
        return f"{label} hangs on no single place: no hidden patch of {patch} costs it more than {worst:.1f} points"
    hidden = found.hidden[row, column]
    leader = int(hidden.argmax())
    where = f"row {row + 1}, column {column + 1}"
    fall = f"{percent(found.confidence)} to {percent(float(hidden[found.answer]))}"
    rest = f", and {labels[leader]} leads with {percent(float(hidden[leader]))}" if leader != found.answer else ""
    return f"{label} hangs most on {where}: with {patch} hidden there it falls from {fall}{rest}"


def _inked(image: NDArray[np.uint8]) -> tuple[int, int]:
    """The first column with ink and the one behind the last, with one to spare on each side."""
    columns = np.flatnonzero(image.any(axis=0))
    if not len(columns):
        return 0, SIDE
    return max(0, int(columns[0]) - 1), min(SIDE, int(columns[-1]) + 2)

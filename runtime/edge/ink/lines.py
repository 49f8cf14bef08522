"""Ruled and grid lines are left out of the ink."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.ink.windows import Integers, Mask

# A printed line is thin, runs from edge to edge and hardly tilts; a stroke of the pen does at most two of these.
THINNEST_SHARE: Final = 0.05  # of the picture's height: thicker is no line
STEEPEST: Final = 0.06  # rise over run, 3.4 degrees
LEAST_COVER: Final = 0.72  # of the columns must hold ink, thin or thick: a line may be faint, and a digit may cross it
LEAST_COVER_AT_ENDS: Final = 0.5  # of the first and of the last twelfth of the columns
ENDS: Final = 12
LEAST_THIN_COVER: Final = 0.4  # of the columns must hold thin ink
WOBBLE: Final = 2  # pixels above or below the straight line: paper bends
# Where the ink's vertical run is longer than this many line thicknesses (and some pixels), a stroke crosses.
CROSSING: Final = 1.6
CROSSING_PIXELS: Final = 2
# A single line that is nearly all of the ink is the digit 1.
LEAST_REST: Final = 0.1
SMALLEST_SIDE: Final = 24  # pixels: below, a stroke and a line cannot be told apart


@dataclass(frozen=True, slots=True)
class _Slanted:
    """A straight line across the picture: one row for each column."""

    rows: Integers
    cover: int


def without_lines(ink: Mask) -> Mask:
    """The ink without lines that run across the whole picture, from left to right or from top to bottom.

    Where a stroke crosses a line, the run of ink across the line is longer than the line is thick: there it stays.

    Args:
        ink: bool (H, W).

    Returns:
        bool (H, W); the same mask where there are no lines.
    """
    if min(ink.shape) < SMALLEST_SIDE:
        return ink
    level = _without_level_lines(ink)
    return np.ascontiguousarray(_without_level_lines(np.ascontiguousarray(level.T)).T)


def _without_level_lines(ink: Mask) -> Mask:
    height, width = ink.shape
    reached = ink.any(axis=0)
    end = max(2, width // ENDS)
    if min(reached[:end].mean(), reached[-end:].mean()) < LEAST_COVER_AT_ENDS or reached.mean() < LEAST_COVER:
        return ink
    run = _vertical_run(ink)
    thin = ink & (run <= max(3, int(THINNEST_SHARE * height)))
    line = np.zeros_like(ink)
    found: list[_Slanted] = []
    for candidate in _candidates(thin):
        if all(np.abs(candidate.rows - other.rows).min() > WOBBLE + 1 for other in found) and _covers(ink, candidate):
            found.append(candidate)
            line |= _ink_of_line(ink, run, candidate)
    if not found:
        return ink
    rest = ink & ~line
    alone = len(found) == 1 and np.count_nonzero(rest) < LEAST_REST * np.count_nonzero(ink)
    return ink if alone else rest


def _vertical_run(ink: Mask) -> NDArray[np.int32]:
    """The length of the vertical run of ink through each pixel, 0 outside."""
    height = len(ink)
    row = np.arange(height, dtype=np.int32)[:, None]
    above = np.maximum.accumulate(np.where(ink, np.int32(-1), row), axis=0)
    below = np.minimum.accumulate(np.where(ink, np.int32(height), row)[::-1], axis=0)[::-1]
    return np.where(ink, below - above - 1, 0)


def _candidates(thin: Mask) -> list[_Slanted]:
    """Straight lines that much thin ink lies on, the best first: rows of the picture after shearing it."""
    height, width = thin.shape
    rows, columns = np.nonzero(thin)
    every = np.arange(width)
    steepest = max(1, int(STEEPEST * width))
    candidates = []
    for rise in range(-steepest, steepest + 1, 2 if width > 200 else 1):
        cover = np.bincount(rows + (columns * rise + width // 2) // width + steepest, minlength=height)
        for row in np.flatnonzero(cover >= LEAST_THIN_COVER * width).tolist():
            slanted = row - steepest - (every * rise + width // 2) // width
            candidates.append(_Slanted(slanted, int(cover[row])))
    return sorted(candidates, key=lambda candidate: -candidate.cover)


def _covers(ink: Mask, line: _Slanted) -> bool:
    """Whether there is ink nearly all along the line, its own or that of a stroke across, and at both ends."""
    height, width = ink.shape
    columns = np.arange(width)
    inked = np.zeros(width, np.bool_)
    for offset in range(-WOBBLE, WOBBLE + 1):
        row = line.rows + offset
        inside = (row >= 0) & (row < height)
        inked[inside] |= ink[row[inside], columns[inside]]
    inked = inked[(line.rows >= 0) & (line.rows < height)]
    if len(inked) < width // 2:
        return False
    end = max(2, width // ENDS)
    at_ends = min(inked[:end].mean(), inked[-end:].mean())
    return bool(inked.mean() >= LEAST_COVER and at_ends >= LEAST_COVER_AT_ENDS)


def _ink_of_line(ink: Mask, run: NDArray[np.int32], line: _Slanted) -> Mask:
    """The pixels of the line, without those where a stroke crosses it."""
    height, width = ink.shape
    columns = np.arange(width)
    nearby = [run[np.clip(line.rows + offset, 0, height - 1), columns] for offset in (-1, 0, 1)]
    thickest = np.max(nearby, axis=0)
    thickness = int(np.sort(thickest[thickest > 0])[np.count_nonzero(thickest) // 2])
    longest = CROSSING * thickness + CROSSING_PIXELS
    found = np.zeros_like(ink)
    for offset in range(-thickness - WOBBLE, thickness + WOBBLE + 1):
        row = line.rows + offset
        inside = (row >= 0) & (row < height)
        at = row[inside], columns[inside]
        found[at] |= ink[at] & (run[at] <= longest)
    return found

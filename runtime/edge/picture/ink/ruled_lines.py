"""Ruled and grid lines are removed from the ink."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.picture.ink.binarisation import at_least
from edge.picture.ink.components import Runs, connect, find_runs, stroke_width
from edge.picture.ink.morphology import dilate_mask
from edge.picture.luminance import Grey, Integers, Mask

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
# What is this much darker than the line usually is belongs to a stroke along it.
DARKER: Final = 1.4
# One line (a thick one may be found twice) with little else as dark is the digit 1.
FEW: Final = 2
LEAST_REST: Final = 0.1
DIGIT_DARKNESS: Final = 0.6
# One line alone must be thin for this share of the columns: the stem of a 4 or a 7 between other things at both edges
# is not.
LEAST_THIN_ALONE: Final = 0.6
# The paler quarter of a printed line is hardly paler than its middle: a stroke with noise at both ends is no line.
LEAST_EVEN: Final = 0.4
# One line alone, as thick and as dark as the strokes that it is joined to, is one of them: the foot of a 2 that was cut
# out closely. Printed lines are thinner than a pen's, or paler; a line of half the pen's width is taken for printed.
STROKE_THICKNESS: Final = 0.6
STROKE_DARKNESS: Final = 0.75
LEAST_JOINED: Final = 0.9  # of the other dark ink
SMALLEST_SIDE: Final = 24  # pixels: below, a stroke and a line cannot be told apart


@dataclass(frozen=True, slots=True)
class _Slanted:
    """A straight line across the picture: one row for each column."""

    rows: Integers
    cover: int


def remove_lines(ink: Mask, strength: Grey) -> Mask:
    """The ink without lines that run across the whole picture, from left to right or from top to bottom.

    Where a stroke crosses a line, the run of ink across the line is longer than the line is thick: there it stays.

    Args:
        ink: bool (H, W).
        strength: uint8 (H, W), of the ink.

    Returns:
        bool (H, W); the same mask where there are no lines.
    """
    if min(ink.shape) < SMALLEST_SIDE:
        return ink
    if _reaches_across(np.asarray(ink.any(axis=0))):
        ink = _without_level_lines(ink, strength)
    if _reaches_across(np.asarray(ink.any(axis=1))):
        turned = _without_level_lines(np.ascontiguousarray(ink.T), np.ascontiguousarray(strength.T))
        ink = np.ascontiguousarray(turned.T)
    return ink


def _reaches_across(inked: Mask) -> bool:
    """Whether ink that lies in these columns of a picture may hold a line from its left edge to its right."""
    end = max(2, len(inked) // ENDS)
    at_ends = min(np.count_nonzero(inked[:end]), np.count_nonzero(inked[-end:]))
    return bool(at_ends >= LEAST_COVER_AT_ENDS * end and np.count_nonzero(inked) >= LEAST_COVER * len(inked))


def _without_level_lines(ink: Mask, strength: Grey) -> Mask:
    height, width = ink.shape
    upright = find_runs(np.ascontiguousarray(ink.T))  # the ink of each column
    candidates = _candidates(upright)
    if not candidates:
        return ink
    run = upright.paint(upright.lengths).T
    line = np.zeros_like(ink)
    taken = np.zeros_like(ink)
    columns = np.arange(width)
    found = thinnest = 0
    near = dilate_mask(ink, WOBBLE, 0)
    for candidate in candidates:
        rows = np.minimum(np.maximum(candidate.rows, 0), height - 1)
        if not taken[rows, columns].any() and _covers(near, candidate) and _is_even(strength, candidate.rows):
            found += 1
            thinnest = max(thinnest, candidate.cover)
            taken[np.clip(rows + np.arange(-WOBBLE - 1, WOBBLE + 2)[:, None], 0, height - 1), columns] = True
            line[_ink_of_line(ink, strength, run, candidate)] = True
    if not found:
        return ink
    rest = ink & ~line
    as_dark = rest & at_least(strength, DIGIT_DARKNESS * _median(strength[line]))
    if found <= FEW:
        if np.count_nonzero(as_dark) < LEAST_REST * np.count_nonzero(line):
            return ink
        if thinnest < LEAST_THIN_ALONE * width or _is_stroke(line, rest, as_dark, strength):
            return ink
    return rest


def _is_stroke(line: Mask, rest: Mask, as_dark: Mask, strength: Grey) -> bool:
    """Whether what was taken for a line looks as the pen's strokes do, and is joined to nearly all of them."""
    thickness = int(np.count_nonzero(line)) / max(1, int(np.count_nonzero(line.any(axis=0))))
    if thickness < STROKE_THICKNESS * stroke_width(as_dark):
        return False
    if _median(strength[line]) < STROKE_DARKNESS * _median(strength[as_dark]):
        return False
    joined = connect(find_runs(line | rest))
    labels = joined.labels()
    of_line = np.bincount(labels[line], minlength=joined.count + 1)
    of_rest = np.bincount(labels[as_dark], minlength=joined.count + 1)
    main = int(np.argmax(of_line))
    return bool(of_rest[main] >= LEAST_JOINED * np.count_nonzero(as_dark))


def _candidates(upright: Runs) -> list[_Slanted]:
    """Straight lines that much thin ink lies on, the best first: rows of the picture after shearing it.

    Args:
        upright: the runs of each column.
    """
    width, height = upright.shape
    thin = upright.lengths <= max(3, int(THINNEST_SHARE * height))
    columns = upright.rows[thin]
    starts, ends = (edges[thin] - columns * (height + 1) for edges in (upright.starts, upright.ends))
    steepest = max(1, int(STEEPEST * width))
    rises = np.arange(-steepest, steepest + 1, max(1, width // 100))[:, None]
    shears = (np.arange(width) * rises + width // 2) // width + steepest  # rows, of each column
    # The sheared pictures stand below each other, so that one sum counts all; each begins and ends without ink.
    length = height + 2 * steepest + 1
    down = shears[:, columns] + length * np.arange(len(rises))[:, None]
    begun, ended = (np.bincount((edges + down).ravel(), minlength=length * len(rises)) for edges in (starts, ends))
    cover = np.cumsum(begun - ended).reshape(-1, length)
    slants, rows = np.nonzero(cover >= LEAST_THIN_COVER * width)
    candidates = [
        _Slanted(row - shears[slant], int(cover[slant, row])) for slant, row in zip(slants, rows, strict=True)
    ]
    return sorted(candidates, key=lambda candidate: -candidate.cover)


def _covers(near: Mask, line: _Slanted) -> bool:
    """Whether there is ink nearly all along the line, its own or that of a stroke across, and at both ends.

    Args:
        near: bool (H, W), the ink and what lies `WOBBLE` pixels above and below it.
        line: some of it may lie outside of the picture.
    """
    height, width = near.shape
    inside = np.flatnonzero((line.rows >= 0) & (line.rows < height))
    if len(inside) < width // 2:
        return False
    inked = near[line.rows[inside], inside]
    end = max(2, width // ENDS)
    at_ends = min(np.count_nonzero(inked[:end]), np.count_nonzero(inked[-end:]))
    return bool(np.count_nonzero(inked) >= LEAST_COVER * len(inked) and at_ends >= LEAST_COVER_AT_ENDS * end)


def _is_even(strength: Grey, rows: Integers) -> bool:
    """Whether the ink along a line, as far as it lies in the picture, is of one darkness."""
    columns = np.flatnonzero((rows >= 0) & (rows < len(strength)))
    nearby = _about(rows[columns], len(strength)), columns
    levels = np.sort(strength[nearby].max(axis=0))
    return bool(levels[len(levels) // 4] >= LEAST_EVEN * levels[len(levels) // 2])


def _about(rows: Integers, height: int) -> Integers:
    """Each row between the two beside it, as far as the picture has them, (3, n)."""
    three = rows + np.array([-1, 0, 1])[:, None]
    within: Integers = np.clip(three, 0, height - 1)
    return within


def _ink_of_line(ink: Mask, strength: Grey, run: Integers, line: _Slanted) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the pixels of the line, without those where a stroke crosses it."""
    height, width = ink.shape
    columns = np.arange(width)
    nearby = _about(line.rows, height), columns
    thickness = _median(run[nearby].max(axis=0))
    darkness = _median(strength[nearby].max(axis=0))
    rows = line.rows + np.arange(-thickness - WOBBLE, thickness + WOBBLE + 1)[:, None]
    across, along = np.nonzero((rows >= 0) & (rows < height))
    at = rows[across, along], along
    own = ink[at] & (run[at] <= CROSSING * thickness + CROSSING_PIXELS) & (strength[at] <= DARKER * darkness)
    return at[0][own], at[1][own]


def _median(values: NDArray[Any]) -> int:
    """The middle one of the values above zero."""
    positive = np.sort(values[values > 0])
    return int(positive[len(positive) // 2])

"""A pen: the smooth curve that it follows through the points of a path, and the ink that it leaves on pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_train.strokes.glyphs import Form, Runs

# A quick hand cuts corners: what is left of a path whose details below this length (in heights of the digit) are
# smoothed away. Twice as much turns a 4 into a 9.
HASTE_LENGTH = 0.045
WORKING_SET = 1 << 15  # pixels worked on at once: a quarter of a megabyte per array stays in the cache
FINE_STEPS = 24  # steps between two points of a path when its length is measured


@dataclass(frozen=True, slots=True)
class Trace:
    """How the P positions of the pen follow from the C points of a path: linear, so one product draws a whole batch.

    Attributes:
        exact: float64 (P, C), positions = matrix @ points, with sharp corners.
        hasty: the same with cut corners.
        joined: bool (P - 1,), False where the pen is lifted between a position and the next.
        way: float64 (P,), the way written so far, in heights of the digit.
        to_end: float64 (P,), way to the nearer end of the stroke, in heights of the digit.
    """

    exact: NDArray[np.float64]
    hasty: NDArray[np.float64]
    joined: NDArray[np.bool_]
    way: NDArray[np.float64]
    to_end: NDArray[np.float64]


def trace(form: Form, positions: int) -> Trace:
    """The trace of a path with `positions` positions, shared among its strokes by length and evenly spaced."""
    middle = form.controls.mean(axis=0)
    curves = [_fine_curve(runs, middle) for runs in form.strokes]
    ways = [_way(curve @ middle) for curve in curves]
    lengths = np.array([way[-1] for way in ways])
    ends = np.rint(np.cumsum(lengths) / lengths.sum() * positions).astype(int)
    exact, hasty, to_end = [], [], []
    for curve, way, count in zip(curves, ways, np.diff(ends, prepend=0), strict=True):
        here = np.linspace(0.0, way[-1], count)
        matrix = _resample(curve, way, here)
        exact.append(matrix)
        hasty.append(_smoothing(here) @ matrix)
        to_end.append(np.minimum(here, way[-1] - here))
    joined = np.ones(positions - 1, np.bool_)
    joined[ends[:-1] - 1] = False
    way = np.linspace(0.0, lengths.sum(), positions)
    return Trace(np.concatenate(exact), np.concatenate(hasty), joined, way, np.concatenate(to_end))


def ink(
    positions: NDArray[np.float64],
    radii: NDArray[np.float64],
    joined: NDArray[np.bool_],
    *,
    shape: tuple[int, int],
    softness: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The share of each pixel that is inked, for a batch of pen paths: round ends, soft edges.

    Only the pixels around each piece of a path are looked at, which is what makes it fast.

    Args:
        positions: float64 (N, P, 2), x and y in pixels; the centre of the first pixel is (0, 0).
        radii: float64 (N, P), half the width of the line in pixels.
        joined: bool (N, P - 1), whether the pen is down between a position and the next.
        shape: rows and columns of the pictures.
        softness: float64 (N,), width in pixels of the ramp from full ink to none at the edge of a line; above 0.

    Returns:
        float64 (N, rows, columns), 0 to 1.
    """
    rows, columns = shape
    picture, piece = np.nonzero(joined)
    start, end = positions[picture, piece], positions[picture, piece + 1]  # (M, 2)
    widths = np.stack([radii[picture, piece], radii[picture, piece + 1]], axis=1)
    ramp = softness[picture]
    middle = np.rint((start + end) / 2)
    # Around each piece a window of pixels; its middle is on a pixel, hence the half pixel that is there already.
    largest = np.abs(end - start).max(axis=1) / 2 + widths.max(axis=1) + ramp / 2
    reach = np.maximum(np.ceil(largest - 0.5), 0.0)
    beyond = reach[:, None]
    near = ((middle >= -beyond) & (middle < np.array([columns, rows]) + beyond)).all(axis=1)

    margin = 2 * int(reach.max(initial=0.0))  # takes what the windows have outside the picture
    wide, high = columns + 2 * margin, rows + 2 * margin
    column, row = (middle + margin).astype(np.intp).T
    place = (picture * high + row) * wide + column
    field = np.zeros(len(positions) * high * wide)
    for size in np.unique(reach[near]):  # thin lines have small windows
        offsets = np.arange(-int(size), int(size) + 1)
        window = offsets[:, None] * wide + offsets
        (chosen,) = np.nonzero(near & (reach == size))
        at_once = max(WORKING_SET // window.size, 1)
        for first in range(0, len(chosen), at_once):
            part = chosen[first : first + at_once]
            pixels = (middle[part] - start[part])[..., None] + offsets  # (m, 2, W), from the start of the piece
            cover = _cover(pixels, (end - start)[part], widths[part], ramp[part])
            np.maximum.at(field, (place[part, None, None] + window).ravel(), cover.ravel())
    return field.reshape(-1, high, wide)[:, margin : margin + rows, margin : margin + columns]


def _cover(
    pixels: NDArray[np.float64], step: NDArray[np.float64], widths: NDArray[np.float64], ramp: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share of the pixels of m windows that one piece each inks, float64 (m, W, W), rows first."""
    right, below = pixels[:, 0, None, :], pixels[:, 1, :, None]
    step_x, step_y = step.T[:, :, None, None]
    toward_x, toward_y = (step / np.maximum((step**2).sum(axis=1, keepdims=True), 1e-12)).T[:, :, None, None]
    share = np.clip(right * toward_x + below * toward_y, 0.0, 1.0)  # of the piece, where it is nearest to the pixel
    distance = np.sqrt((right - share * step_x) ** 2 + (below - share * step_y) ** 2)
    first, last = widths.T[:, :, None, None]
    inside = first + share * (last - first) - distance
    return np.asarray(np.clip(inside / ramp[:, None, None] + 0.5, 0.0, 1.0))


def _fine_curve(runs: Runs, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrix (F, C) of one stroke on a fine scale; F counts the steps of all runs."""
    pieces = []
    for first, last in runs:
        matrix = np.zeros(((last - first) * FINE_STEPS + 1, len(points)))
        matrix[:, first : last + 1] = _natural_spline(points[first : last + 1])
        pieces.append(matrix if first == runs[0][0] else matrix[1:])
    return np.concatenate(pieces)


def _natural_spline(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrix of the cubic spline through `points` with straight ends, `FINE_STEPS` steps between two of them.

    The parameter grows with the square root of the distance between neighbours (centripetal): no loops where
    points lie close. Source: de Boor, A Practical Guide to Splines, chapter IV.
    """
    count = len(points)
    widths = np.sqrt(np.hypot(*np.diff(points, axis=0).T))
    slopes = (np.eye(count)[1:] - np.eye(count)[:-1]) / widths[:, None]
    system = np.eye(count)
    right = np.zeros((count, count))
    for inner in range(1, count - 1):
        left_width, right_width = widths[inner - 1], widths[inner]
        system[inner, inner - 1 : inner + 2] = left_width, 2 * (left_width + right_width), right_width
        right[inner] = 6 * (slopes[inner] - slopes[inner - 1])
    bends = np.linalg.solve(system, right)  # second derivatives at the points
    share = np.arange(FINE_STEPS)[:, None] / FINE_STEPS
    pieces = []
    for piece, width in enumerate(widths):
        here, there = np.eye(count)[piece], np.eye(count)[piece + 1]
        bend_here = ((1 - share) ** 3 - (1 - share)) * width**2 / 6
        bend_there = (share**3 - share) * width**2 / 6
        pieces.append((1 - share) * here + share * there + bend_here * bends[piece] + bend_there * bends[piece + 1])
    return np.concatenate([*pieces, np.eye(count)[-1:]])


def _way(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length from the start to each point of a polyline, float64 (F,)."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(curve, axis=0).T))])


def _resample(curve: NDArray[np.float64], way: NDArray[np.float64], here: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rows of a fine curve at the ways `here`, interpolated."""
    place = np.interp(here, way, np.arange(len(way), dtype=np.float64))
    before = np.minimum(place.astype(int), len(way) - 2)
    share = (place - before)[:, None]
    return np.asarray((1 - share) * curve[before] + share * curve[before + 1])


def _smoothing(here: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrix (P, P) of the weighted mean over `HASTE_LENGTH` of the way, ends kept where they are."""
    # The window shrinks towards the ends, so that strokes do not become shorter.
    width = np.minimum(HASTE_LENGTH, np.minimum(here, here[-1] - here) / 2 + 1e-3)[:, None]
    distance = (here - here[:, None]) / width
    weight = np.exp(-(distance**2) / 2)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))

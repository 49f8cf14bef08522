"""One attempt at a picture: what is ink, which pieces are the digit, and what clings to them that is no part of it.

What clings is a shadow that is narrower than the window, and the printed lines of a box that the digit touches.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from edge.picture.ink.binarisation import EvenLight, at_least, even_light, histogram, quantile, threshold
from edge.picture.ink.components import connect, find_runs, measure, stroke_width
from edge.picture.ink.digit import Digit, Pieces, choose_digit, find_pieces
from edge.picture.ink.morphology import dilate_mask, pad
from edge.picture.ink.ruled_lines import remove_lines
from edge.picture.luminance import Grey, Mask

# Components below this fraction of the longer side, in pixels, are noise.
SPECK: Final = 1 / 130
SMALLEST_WINDOW: Final = 5  # pixels

# Shadow that is narrower than the window is ink, only paler than what the pen wrote. Where that much of the digit is
# paler than this share of its darkest, a window that fits the pen is tried.
PALER: Final = 0.6
DARKEST: Final = 0.95  # quantile of the strength within the digit
LEAST_PALE: Final = 0.4  # of the digit's pixels
PEN_WINDOW: Final = 4  # times the width of the pen
WIDEST_PEN_WINDOW: Final = 0.15  # of the picture's shorter side
# A window that fits a wider pen has room for the shadows of fingers: there only what is that dark is tried as the ink.
# Not of a pen this thin, whose edges are as pale.
EDGES: Final = 6  # pixels
# A shadow as dark as that is told by its width: what is much narrower than the digit's strokes are on average, in one
# piece, is the pen's line, and the rest is no line.
WIDE: Final = 0.03  # of the picture's shorter side: a thinner digit holds no shadow
SHARP: Final = 0.985  # support: no more of a shadow's edge than of the pen's is soft; on 30 with shadows at most 0.984
COARSE: Final = 4  # pixels: half of that width; where it is more, every second pixel tells as much
NARROWER: Final = 0.6  # times the mean width of its strokes
LEAST_LINE: Final = (0.3, 0.06)  # shares of the digit: of its size, of its ink
LINE_DARKNESS: Final = 0.7  # quantile: the edges of a line are paler; a shadow is no darker than the line
LINE_WINDOW: Final = 3  # times the width of the line
# Printed lines of a box that touches the digit run along its own box: along three sides, or it is smaller without them.
SIDE: Final = 0.05  # of the box's size
INKED: Final = 0.9  # of such a side
THIN_LINE: Final = 0.4  # of its depth: a foot or a bar is thicker
LEAST_ASPECT: Final = 0.3  # of the box: the sides of a 1 are its stroke
BOX_SIDES: Final = 3
SMALLER: Final = 0.92
# What a window that fits the pen finds has no shadow, but less ink: half of the score is enough.
WELCOME: Final = 0.5


@dataclass(frozen=True, slots=True)
class Window:
    """How wide dark things may be to count as strokes.

    Attributes:
        share: of the picture's shorter side.
        overhang: whether darkness along the picture's edge is shadow, too.
        paper_share: of the picture that is blank paper, at least.
    """

    share: float
    overhang: bool = False
    paper_share: float = 0.5


@dataclass(frozen=True, slots=True)
class DarkInk:
    """A picture at working size whose ink is dark, as it is or inverted.

    Attributes:
        grey: uint8 (h, w).
        smoothed: uint8 (h, w), the same with less noise.
        noise: standard deviation, grey levels.
        inverted: whether it is light ink that was made dark.
    """

    grey: Grey
    smoothed: Grey
    noise: float
    inverted: bool


@dataclass(frozen=True, slots=True)
class Segmentation:
    """What an attempt made of a picture.

    Attributes:
        picture: at working size, with dark ink.
        light: its paper, and the ink's strength.
        without_lines: bool (h, w), what stands out of the noise, without lines.
        ink: bool (h, w).
        pieces: the ink in pieces; None where there is none.
        digit: the pieces that are the digit; None where there is none.
        handicap: of the attempt.
    """

    picture: DarkInk
    light: EvenLight
    without_lines: Mask
    ink: Mask
    pieces: Pieces | None
    digit: Digit | None
    handicap: float = 1.0

    @property
    def score(self) -> float:
        """How much the digit looks like one; 0 without."""
        return self.digit.score if self.digit else 0.0


def segment(picture: DarkInk, window: Window, handicap: float = 1.0) -> Segmentation:
    """One attempt to find the digit.

    Args:
        picture: at working size.
        window: how wide dark things may be to count as strokes.
        handicap: times the score of another attempt that this one must have to be better.

    Returns:
        What was found.
    """
    rows, columns = picture.grey.shape
    side = max(SMALLEST_WINDOW, int(min(rows, columns) * window.share))
    light = even_light(
        picture.grey, picture.smoothed, side, picture.noise, overhang=window.overhang, paper_share=window.paper_share
    )
    unruled = remove_lines(light.certain, light.strength)
    ink = threshold(light.strength, unruled, max(2, round(max(rows, columns) * SPECK)))
    pieces = find_pieces(ink, picture.smoothed, light.paper)
    digit = None if pieces is None else choose_digit(pieces)
    return Segmentation(picture, light, unruled, ink, pieces, digit, handicap)


def better(one: Segmentation, other: Segmentation) -> Segmentation:
    """The attempt that found what looks more like a written digit; the first of two equal ones."""
    return other if other.score / other.handicap > one.score / one.handicap else one


def without_shadow(found: Segmentation) -> Segmentation:
    """The digit without the shadow that is narrower than the window, and so was taken for ink; the same without one."""
    if (dark := _dark_part(found)) is not None:
        fitting = _pen_window(found, dark)
        found = better(found, _darker(found, dark) if fitting is None else segment(found.picture, fitting, WELCOME))
    narrower = _line_window(found)
    return found if narrower is None else better(found, segment(found.picture, narrower))


def _dark_part(found: Segmentation) -> Mask | None:
    """What is as dark as what the pen wrote, where much of the digit is paler."""
    if found.digit is None:
        return None
    top, left, bottom, right = found.digit.box
    box = slice(top, bottom), slice(left, right)
    strength, mask = found.light.strength[box], found.digit.mask[box]
    least = PALER * quantile(histogram(strength[mask]), DARKEST)
    of_digit = mask & found.ink[box] & at_least(strength, least)
    if np.count_nonzero(of_digit) > (1 - LEAST_PALE) * np.count_nonzero(mask):
        return None
    return found.ink & at_least(found.light.strength, least)


def _pen_window(found: Segmentation, dark: Mask) -> Window | None:
    """A window that fits the pen, unless that is a broad one."""
    assert found.digit is not None
    share = PEN_WINDOW * stroke_width(dark & found.digit.mask) / min(dark.shape)
    return Window(share, overhang=True) if share <= WIDEST_PEN_WINDOW else None


def _line_window(found: Segmentation) -> Window | None:
    """A window that fits the narrow part of a digit, a pen's line, where the rest is much wider."""
    digit, shorter = found.digit, min(found.ink.shape)
    if digit is None:
        return None
    top, left, bottom, right = digit.box
    size = max(bottom - top, right - left)
    width = digit.thickness * size
    reach = int(NARROWER / 2 * width)
    if reach < 1 or width < WIDE * shorter or digit.support >= SHARP:
        return None
    step = 2 if reach >= COARSE else 1
    ink, reach = digit.mask[top:bottom:step, left:right:step], reach // step
    wide = ~dilate_mask(~pad(ink, reach), reach)
    narrow = ink & ~dilate_mask(wide, reach)[reach:-reach, reach:-reach]
    least_size, least_area = LEAST_LINE
    least = least_area * np.count_nonzero(ink)
    if np.count_nonzero(narrow) < least:
        return None
    parts = measure(connect(find_runs(narrow)))
    line = int(np.argmax(parts.area))
    if step * parts.size[line] < least_size * size or parts.area[line] < least:
        return None
    strength = found.light.strength[top:bottom:step, left:right:step]
    dark_line, dark_rest = (quantile(histogram(strength[part]), LINE_DARKNESS) for part in (narrow, ink & ~narrow))
    if dark_line < dark_rest:
        return None
    return Window(LINE_WINDOW * step * float(parts.stroke_width[line]) / shorter, overhang=True)


def _darker(found: Segmentation, dark: Mask) -> Segmentation:
    """The digit of the dark part alone; the same as before where the pen is thin."""
    assert found.digit is not None
    if stroke_width(dark & found.digit.mask) < EDGES:
        return found
    pieces = find_pieces(dark, found.picture.smoothed, found.light.paper)
    if pieces is None:
        return found
    return replace(found, ink=dark, pieces=pieces, digit=choose_digit(pieces), handicap=WELCOME)


def without_box(found: Segmentation) -> Segmentation:
    """The digit without the printed lines around it that it touches; the same where there are none."""
    while found.digit is not None:
        top, left, bottom, right = found.digit.box
        box = slice(top, bottom), slice(left, right)
        inside = found.digit.mask[box]
        size = max(inside.shape)
        if min(inside.shape) < LEAST_ASPECT * size:
            break
        deep = max(2, int(SIDE * size))
        sides = (inside[:deep], inside[-deep:], inside[:, :deep].T, inside[:, -deep:].T)
        lined = sum(_is_lined(side) for side in sides)
        if not lined:
            break
        inside = np.ascontiguousarray(inside)
        lines = inside & ~remove_lines(inside, np.ascontiguousarray(found.light.strength[box]))
        if not lines.any():
            break
        ink = found.ink.copy()
        ink[box] &= ~lines
        pieces = find_pieces(ink, found.picture.smoothed, found.light.paper)
        digit = None if pieces is None else choose_digit(pieces)
        if digit is None:
            break
        top, left, bottom, right = digit.box
        if lined < BOX_SIDES and max(bottom - top, right - left) > SMALLER * size:
            break
        found = replace(found, ink=ink, pieces=pieces, digit=digit)
    return found


def _is_lined(side: Mask) -> bool:
    """Whether a thin line runs along a side of a box, bool (depth, length)."""
    along = int(np.count_nonzero(side.any(axis=0)))
    return along >= INKED * side.shape[1] and int(np.count_nonzero(side)) <= THIN_LINE * along * len(side)

"""Finds the digit in a grey picture, trying again where a first attempt is in doubt."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from edge.picture.arrays import Grey, Mask
from edge.picture.ink.binarisation import EvenLight, even_light, ink_polarity, threshold
from edge.picture.ink.components import stroke_width
from edge.picture.ink.digit import Digit, choose_digit
from edge.picture.ink.levels import histogram, noise_deviation, otsu_threshold, quantile, separability, shrink, stretch
from edge.picture.ink.pieces import Pieces, find_pieces
from edge.picture.ink.ruled_lines import remove_lines

# The picture is searched at this size: large enough for a thin pen, and quick.
WORKING_PIXELS: Final = 320 * 320
# Components below this fraction of the longer side, in pixels, are noise.
SPECK: Final = 1 / 130
# Below this lightness either way, both polarities are tried; the less likely must score this much better. A digit that
# fills its picture is not rare there, and looks like paper: hence the wide range.
DOUBT: Final = 0.35
OVERRULING: Final = 1.3
SLIGHT_DOUBT: Final = 0.65
CLEARLY_OVERRULING: Final = 1.8
SHEET_THICKER: Final = 1.5  # times the writing, both over their size
WRITING: Final = 0.3  # of the sheet's score, the least of what is written on it
SHARPER: Final = 0.05
SHARP_WRITING: Final = 0.7


LEAST_BORDER: Final = 0.15  # of the picture's border, ink and paper each, where a picture is cut to its digit
FILLING: Final = 0.95  # of the picture's height and width
FILLING_SUPPORT: Final = 0.6  # no edge carries the ink that the picture's edge cuts off
# A digit of a marker, cut out with a few pixels around it: as much of the picture is ink as paper, about.
BOLD_SHARE: Final = (0.25, 0.8)
BOLD_TWO_TONED: Final = 0.9  # and hardly anything in between: on 14 such pictures at least 0.96, on photos 0.5 to 0.95
BOLD_PIXELS: Final = 128 * 128  # what is thick shows in a small copy, for a sixth of the time
NEARLY_FILLING: Final = 0.85
BOLD_SUPPORT: Final = 0.8
BOLD_THICKNESS: Final = (0.1, 0.4)
BOLDER: Final = 1.3  # times the score of what was found without
SAME_BOX: Final = 0.03  # of the picture's longer side, between the sides of two boxes
LEAST_AS_FULL: Final = 0.95  # of the ink, in the same box


# Shadow that is narrower than the window is ink, only paler than what the pen wrote. Where that much of the digit is
# paler than this share of its darkest, the page is read again with a window that fits the pen.
PALER: Final = 0.6
DARKEST: Final = 0.95  # quantile of the strength within the digit
LEAST_PALE: Final = 0.4  # of the digit's pixels
PEN_WINDOW: Final = 4  # times the width of the pen
NARROWER: Final = 0.7  # of the window before
LEAST_PEN_INK: Final = 0.7  # of the dark pixels of the digit before


@dataclass(frozen=True, slots=True)
class Window:
    """How wide dark things may be to count as strokes."""

    share: float  # of the picture's shorter side
    overhang: bool  # whether darkness along the picture's edge is shadow, too
    paper_share: float = 0.5  # of the picture is blank paper, at least


# Narrow enough to leave shadows out, wide enough for a felt pen; and what is tried if edges do not carry the result: at
# last for a picture that its ink fills to the edges, which has no room for shadows.
WINDOWS: Final = (
    Window(0.22, overhang=False),
    Window(0.10, overhang=True),
    Window(0.40, overhang=False),
    Window(2.0, overhang=False, paper_share=0.2),
)
ENOUGH_SUPPORT: Final = 0.88
HOPELESS: Final = 0.25  # of the score of the other polarity: no further window makes up for that
SMALLEST_WINDOW: Final = 5  # pixels
# What edges carry by less than this is shading on a blank sheet. On 1800 pictures, real and synthetic, digits had at
# least 0.52, blurred ones included, and smooth slopes of light at most 0.2.
LEAST_SUPPORT: Final = 0.35
SMALLEST_SHADED: Final = 24  # pixels, the shorter side: in smaller pictures every edge is soft


@dataclass(frozen=True, slots=True)
class Segmentation:
    """One way to read a picture: what the steps made of it."""

    grey: Grey  # uint8 (h, w): the picture at working size, dark ink on light paper
    light_ink: bool  # whether it had to be inverted for that
    light: EvenLight
    without_lines: Mask  # what stands out of the noise, without lines
    ink: Mask
    pieces: Pieces | None
    digit: Digit | None


def find_digit(grey: Grey, working_pixels: int = WORKING_PIXELS) -> tuple[Grey, Segmentation]:
    """Finds the digit.

    Args:
        grey: uint8 (H, W), either polarity.
        working_pixels: the size, about, at which it is searched.

    Returns:
        The full picture with dark ink on light paper, its levels spread, uint8 (H, W); and what was found in it at
        working size.
    """
    small = shrink(grey, working_pixels)
    darkest, lightest = int(small.min()), int(small.max())
    full, small = stretch(grey, darkest, lightest), stretch(small, darkest, lightest)
    likely = ink_polarity(small)
    reading = _best(small, light_ink=likely > 0)
    if abs(likely) < SLIGHT_DOUBT:
        overruling = OVERRULING if abs(likely) < DOUBT else CLEARLY_OVERRULING
        # a picture cut to its ink shows what it is through its wider windows only
        other = _best(small, light_ink=likely <= 0, rival=None if _has_mixed_border(small) else reading)
        better = _score(other) > overruling * _score(reading)
        if (
            _is_written_on(reading, other)
            or (better and not _is_written_on(other, reading))
            or (_has_mixed_border(small) and _fills_the_picture(other, reading))
        ):
            reading = other
    elif _has_mixed_border(small):
        other = segment(small, WINDOWS[-1], light_ink=likely <= 0)
        if _fills_the_picture(other, reading):
            reading = other
    reading = _without_shadow(small, _bolder(small, reading))
    shaded = reading.digit is not None and reading.digit.support < LEAST_SUPPORT
    if shaded and min(small.shape) >= SMALLEST_SHADED:
        reading = replace(reading, digit=None)
    return (255 - full if reading.light_ink else full), reading


def _best(grey: Grey, *, light_ink: bool, rival: Segmentation | None = None) -> Segmentation:
    """The best reading of one polarity; of the one window alone where that is sound, or far behind a sound rival."""
    readings = [segment(grey, WINDOWS[0], light_ink=light_ink)]
    behind = rival is not None and _is_sound(rival) and _score(readings[0]) < HOPELESS * _score(rival)
    if not _is_sound(readings[0]) and not behind:
        readings += [segment(grey, window, light_ink=light_ink) for window in WINDOWS[1:]]
    return max(readings, key=_score)


def _is_sound(reading: Segmentation) -> bool:
    return reading.digit is not None and reading.digit.support >= ENOUGH_SUPPORT


def segment(grey: Grey, window: Window, *, light_ink: bool) -> Segmentation:
    """Reads a picture of working size, taking the ink to be light or dark."""
    if light_ink:
        grey = 255 - grey
    side = max(SMALLEST_WINDOW, int(min(grey.shape) * window.share))
    light = even_light(grey, side, noise_deviation(grey), overhang=window.overhang, paper_share=window.paper_share)
    unruled = remove_lines(light.certain, light.strength)
    inked = threshold(light.strength, unruled, max(2, round(max(grey.shape) * SPECK)))
    pieces = find_pieces(inked, grey, light.paper)
    return Segmentation(
        grey, light_ink, light, unruled, inked, pieces, None if pieces is None else choose_digit(pieces)
    )


def _is_written_on(outer: Segmentation, inner: Segmentation) -> bool:
    """Whether what one reading takes for ink is a sheet, and the other finds writing on it.

    The hole of a 0 lies inside the 0 as writing lies inside a sheet, but the hole is not the thinner of the two.
    """
    if outer.digit is None or inner.digit is None:
        return False
    top, left, bottom, right = outer.digit.box
    inner_top, inner_left, inner_bottom, inner_right = inner.digit.box
    inside = top < inner_top and left < inner_left and bottom > inner_bottom and right > inner_right
    thinner = SHEET_THICKER * inner.digit.thickness < outer.digit.thickness
    # what light and shadow leave of a sheet can be as thin as writing, but ends where no edge is
    sharper = inner.digit.support > outer.digit.support + SHARPER
    share = inner.digit.score / max(outer.digit.score, 1e-9)
    return inside and ((thinner and share > WRITING) or (sharper and share > SHARP_WRITING))


def _has_mixed_border(grey: Grey) -> bool:
    """Whether ink and paper both reach the edge of the picture, as where it is cut to its digit."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    light = np.mean(border > otsu_threshold(histogram(grey)))
    return bool(LEAST_BORDER < light < 1 - LEAST_BORDER)


def _fills_the_picture(outer: Segmentation, inner: Segmentation) -> bool:
    """Whether one reading finds a digit as large as the picture, and the other what lies between its strokes."""
    if outer.digit is None or inner.digit is None or outer.pieces is None or outer.pieces.framing[outer.digit.main]:
        return False
    top, left, bottom, right = outer.digit.box
    high, wide = outer.grey.shape
    inner_top, inner_left, inner_bottom, inner_right = inner.digit.box
    filling = bottom - top >= FILLING * high and right - left >= FILLING * wide
    smaller = inner_bottom - inner_top < FILLING * high and inner_right - inner_left < FILLING * wide
    return filling and smaller and outer.digit.support > FILLING_SUPPORT


def _bolder(grey: Grey, reading: Segmentation) -> Segmentation:
    """The digit that fills its picture with thick strokes, if there is one: no window but the widest sees it whole."""
    coarse = shrink(grey, BOLD_PIXELS)
    counts = histogram(coarse)
    if separability(counts) < BOLD_TWO_TONED:
        return reading
    light = float(np.mean(coarse > otsu_threshold(counts)))
    for light_ink, share in ((False, 1 - light), (True, light)):
        if BOLD_SHARE[0] < share < BOLD_SHARE[1] and _is_bold(
            segment(coarse, WINDOWS[-1], light_ink=light_ink), FILLING_SUPPORT
        ):
            bold = segment(grey, WINDOWS[-1], light_ink=light_ink)
            if _is_bold(bold, BOLD_SUPPORT) and not _is_written_on(bold, reading) and _gains(bold, reading):
                reading = bold
    return reading


def _is_bold(reading: Segmentation, support: float) -> bool:
    digit = reading.digit
    if digit is None or reading.pieces is None or reading.pieces.framing[digit.main]:
        return False
    top, left, bottom, right = digit.box
    filling = min((bottom - top) / reading.grey.shape[0], (right - left) / reading.grey.shape[1])
    thick = BOLD_THICKNESS[0] < digit.thickness < BOLD_THICKNESS[1]
    return filling >= NEARLY_FILLING and thick and digit.support >= support


def _gains(bold: Segmentation, reading: Segmentation) -> bool:
    """Whether a bold reading is better than another: by its score, or by as much ink in the same box."""
    if bold.digit is None or reading.digit is None or _score(bold) > BOLDER * _score(reading):
        return True
    same = np.abs(np.subtract(bold.digit.box, reading.digit.box)).max() <= SAME_BOX * max(bold.grey.shape)
    return bool(same and np.count_nonzero(bold.digit.mask) > LEAST_AS_FULL * np.count_nonzero(reading.digit.mask))


def _without_shadow(grey: Grey, reading: Segmentation) -> Segmentation:
    """The digit without what is paler than its pen, if a window that fits the pen finds all of it."""
    if reading.digit is None:
        return reading
    strength, mask = reading.light.strength, reading.digit.mask
    counts = histogram(strength[mask])
    dark = mask & (strength >= PALER * quantile(counts, DARKEST))
    if np.count_nonzero(dark) > (1 - LEAST_PALE) * np.count_nonzero(mask):
        return reading
    window = Window(PEN_WINDOW * stroke_width(dark) / min(grey.shape), overhang=True)
    if window.share > NARROWER * WINDOWS[0].share:
        return reading
    finer = segment(grey, window, light_ink=reading.light_ink)
    if finer.digit is None or finer.digit.support < reading.digit.support - SHARPER:
        return reading
    kept = np.count_nonzero(finer.digit.mask & dark) >= LEAST_PEN_INK * np.count_nonzero(dark)
    return finer if kept else reading


def _score(reading: Segmentation) -> float:
    return reading.digit.score if reading.digit else 0.0

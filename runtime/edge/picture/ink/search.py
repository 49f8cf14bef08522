"""Finds the digit in a grey picture: a list of attempts, each where it may help, and one comparison among them.

An attempt takes the ink to be dark or light, and everything wider than its window to be shadow. The pieces of ink that
it finds have a score, how much they look like a written digit; the attempt with the largest score for its handicap is
what the picture shows.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from PIL import Image

from edge.picture.arrays import Grey, Mask
from edge.picture.ink.binarisation import EvenLight, at_least, even_light, ink_polarity, threshold
from edge.picture.ink.components import connect, find_runs, measure, stroke_width
from edge.picture.ink.digit import CHUNKY, SHEET_ASPECT, Digit, Pieces, choose_digit, find_pieces
from edge.picture.ink.levels import (
    as_image,
    histogram,
    noise_deviation,
    otsu_threshold,
    quantile,
    separability,
    shrink,
    stretched,
)
from edge.picture.ink.morphology import dilate_mask, pad, smooth
from edge.picture.ink.ruled_lines import remove_lines

# The picture is searched at this size: large enough for a thin pen, and quick.
WORKING_PIXELS: Final = 320 * 320
# Polarity, and whether there are two tones, are questions of areas: a small copy answers them.
COARSE_PIXELS: Final = 128 * 128
# Components below this fraction of the longer side, in pixels, are noise.
SPECK: Final = 1 / 130
SMALLEST_WINDOW: Final = 5  # pixels

# Below this polarity either way, both are tried. A digit that fills its picture is not rare there, and looks like
# paper: hence the wide range.
DOUBT: Final = 0.5
# Edges carry a sound digit all around.
SOUND: Final = 0.88
# A digit of a marker, cut out with a few pixels around it: as much of the picture is ink as paper, about, and hardly
# anything is in between: on 14 such pictures at least 0.96, on photos 0.5 to 0.95.
BOLD_SHARE: Final = (0.25, 0.8)
TWO_TONED: Final = 0.9
# In a picture of two tones the ink is all of one of them, about. Where it is not, strokes may be wider than the window:
# then only their outline is ink, or the holes between them. A tone that is a single piece, and keeps clear of most of
# the picture's edge, is the digit, unless thin and sharp strokes were found, which are writing on a sheet.
LEAST_EVEN: Final = 0.95
LEAST_OF_TONE: Final = 0.8
MOST_OF_EDGE: Final = 0.3
LEAST_FILL: Final = 0.5  # of the box of a sheet, at least; a digit on it, and what sticks out of it, is not filled
RIM: Final = 0.05  # of its size: as wide are the sides of the box, which a sheet fills
LEAST_FILL_OF_RIM: Final = 0.85
LEAST_SUPPORT_OF_TONE: Final = 0.6
WRITTEN_SUPPORT: Final = 0.94  # on 92 sheets of two tones mostly 0.96 and more, in ten thick digits 0.68 to 0.98
WRITTEN_THICKNESS: Final = 0.18  # likewise mostly less; in thick digits, where support is above 0.9, at least 0.19
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
# What edges carry by less than this is shading on a blank sheet. On 1800 pictures, real and synthetic, digits had at
# least 0.52, blurred ones included, and smooth slopes of light at most 0.2.
LEAST_SUPPORT: Final = 0.35
SMALLEST_SHADED: Final = 24  # pixels, the shorter side: in smaller pictures every edge is soft


# How many times the score of another attempt one must have. Ink that is not what it looks like must be clearly better;
# what a window that fits the pen finds has no shadow, but less ink.
DOUBTFUL: Final = 1.3
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


# Narrow enough to leave shadows out, wide enough for a felt pen; where shadows are narrower; and for a picture that its
# ink fills to the edges, which has no room for shadows.
USUAL: Final = Window(0.22)
NARROW: Final = Window(0.10, overhang=True)
WHOLE: Final = Window(2.0, paper_share=0.2)


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


class Look:
    """A picture at working size, and what is known of it before any attempt.

    Args:
        small: uint8 (h, w), either polarity.

    Attributes:
        inverted: whether its ink looks lighter than its paper.
        is_in_doubt: whether it may as well be the other way round.
    """

    def __init__(self, small: Grey) -> None:
        self._small = small
        self._coarse = shrink(small, COARSE_PIXELS)
        self._noise = noise_deviation(small)
        self._pictures: dict[bool, DarkInk] = {}
        self._attempts: dict[tuple[bool, Window], Segmentation] = {}
        polarity = ink_polarity(self._coarse)
        self.inverted = polarity > 0
        self.is_in_doubt = abs(polarity) < DOUBT

    def picture(self, *, inverted: bool) -> DarkInk:
        """The picture as it is, or inverted."""
        if inverted not in self._pictures:
            grey = 255 - self._small if inverted else self._small
            self._pictures[inverted] = DarkInk(grey, smooth(grey), self._noise, inverted)
        return self._pictures[inverted]

    def attempt(self, inverted: bool, window: Window, handicap: float = 1.0) -> Segmentation:
        """One attempt to find the digit, made once."""
        if (inverted, window) not in self._attempts:
            self._attempts[inverted, window] = segment(self.picture(inverted=inverted), window)
        return replace(self._attempts[inverted, window], handicap=handicap)

    @cached_property
    def tones(self) -> tuple[int, float] | None:
        """Of a picture of two tones the level that parts them, and the share of the dark one; None for others."""
        counts = histogram(self._coarse)
        if separability(counts) < TWO_TONED:
            return None
        level = otsu_threshold(counts)
        return level, int(counts[: level + 1].sum()) / self._coarse.size

    def tone(self, *, inverted: bool) -> Mask:
        """The dark tone of a picture of two tones, or the light one if it is inverted, bool (h, w)."""
        assert self.tones is not None
        dark: Mask = self._small <= np.uint8(self.tones[0])
        return ~dark if inverted else dark

    def bold(self) -> list[bool]:
        """Whether to invert it, for each way in which it may be a digit of a marker that was cut out closely."""
        if self.tones is None:
            return []
        dark = self.tones[1]
        least, most = BOLD_SHARE
        ways = (self.inverted, not self.inverted)
        return [inverted for inverted in ways if least < (1 - dark if inverted else dark) < most]


def find_digit(picture: Grey | Image.Image, working_pixels: int = WORKING_PIXELS) -> tuple[Image.Image, Segmentation]:
    """Finds the digit.

    Args:
        picture: uint8 (H, W) or an image of mode L, either polarity.
        working_pixels: the size, about, at which it is searched.

    Returns:
        The full picture with dark ink on light paper, its levels spread, mode L; and what was found in it at working
        size.
    """
    small = shrink(picture, working_pixels)
    table = stretched(small)
    as_it_is = table == list(range(256))
    look = Look(small if as_it_is else np.asarray(as_image(small).point(table)))
    likely, unlikely = look.inverted, not look.inverted
    best = look.attempt(likely, USUAL)
    if look.is_in_doubt:
        best = _better(best, look.attempt(unlikely, USUAL, DOUBTFUL))
    for window in (NARROW, WHOLE):
        if not _is_sound(best):
            best = _better(best, look.attempt(likely, window))
        if not _is_sound(best) and look.is_in_doubt:
            best = _better(best, look.attempt(unlikely, window, DOUBTFUL))
    for inverted in look.bold():
        best = _better(best, look.attempt(inverted, WHOLE, DOUBTFUL))
    best = _on_a_sheet(look, _one_tone(look, best))
    if (dark := _dark_part(best)) is not None:
        fitting = _pen_window(best, dark)
        best = _better(best, _darker(best, dark) if fitting is None else segment(best.picture, fitting, WELCOME))
    if (narrower := _line_window(best)) is not None:
        best = _better(best, segment(best.picture, narrower))
    best = _without_box(best)
    if best.digit is not None and best.digit.support < LEAST_SUPPORT and min(small.shape) >= SMALLEST_SHADED:
        best = replace(best, digit=None)
    if best.picture.inverted:
        table = [255 - level for level in table]
    full = as_image(picture)  # once: a copy may take a hundred megabytes
    return (full if table == list(range(256)) else full.point(table)), best


def _one_tone(look: Look, best: Segmentation) -> Segmentation:
    """What was found, or the digit that one of two tones is, where what was found leaves out much of its tone."""
    if look.tones is None or _share(_even_ink(look, best), look.tone(inverted=best.picture.inverted)) >= LEAST_EVEN:
        return best
    digit = best.digit
    if digit is not None and digit.support >= WRITTEN_SUPPORT and digit.thickness <= WRITTEN_THICKNESS:
        return best
    for inverted in (look.inverted, not look.inverted):
        tone = look.tone(inverted=inverted)
        edge = np.concatenate([tone[0], tone[-1], tone[:, 0], tone[:, -1]])
        if np.count_nonzero(edge) > MOST_OF_EDGE * edge.size:
            continue
        whole = look.attempt(inverted, WHOLE)
        if whole.pieces is None or whole.digit is None or whole.pieces.framing[whole.digit.main]:
            continue
        is_digit = whole.digit.thickness <= CHUNKY and not _is_sheet(whole)
        if (
            is_digit
            and whole.digit.support >= LEAST_SUPPORT_OF_TONE
            and _share(whole.digit.mask, tone) >= LEAST_OF_TONE
        ):
            return whole
    return best


def _on_a_sheet(look: Look, best: Segmentation) -> Segmentation:
    """What was found, or what is written in the other tone where that is a sheet."""
    if not _is_sheet(best):
        return best
    written = look.attempt(not best.picture.inverted, USUAL)
    for window in (NARROW, WHOLE):
        written = _better(written, look.attempt(not best.picture.inverted, window))
    return best if written.digit is None or _is_sheet(written) else written


def _is_sheet(found: Segmentation) -> bool:
    """Whether the main piece fills all sides of a box, as a sheet does and no written digit."""
    if found.pieces is None or found.digit is None:
        return False
    measures, main = found.pieces.measures, found.digit.main
    top, left, bottom, right = (
        int(side[main]) for side in (measures.top, measures.left, measures.bottom, measures.right)
    )
    if measures.area[main] < LEAST_FILL * (bottom - top) * (right - left):
        return False
    inside = found.pieces.labels[top:bottom, left:right] == main
    for _ in range(2):  # what sticks out, the marks of an axis say, is no part of the sheet
        counts = np.count_nonzero(inside, axis=1)
        within = np.flatnonzero(2 * counts >= counts.max())
        inside = inside[within[0] : within[-1] + 1].T
    if min(inside.shape) < SHEET_ASPECT * max(inside.shape):
        return False
    rim = max(1, int(RIM * max(inside.shape)))
    return all(
        np.count_nonzero(side) >= LEAST_FILL_OF_RIM * side.size
        for side in (inside[:rim], inside[-rim:], inside.T[:rim], inside.T[-rim:])
    )


def _even_ink(look: Look, found: Segmentation) -> Mask:
    """The ink of an attempt without what its window took for dark paper."""
    assert look.tones is not None
    level = 254 - look.tones[0] if found.picture.inverted else look.tones[0]
    return np.asarray(found.ink & (found.light.paper > np.uint8(level)))


def _share(ink: Mask, tone: Mask) -> float:
    """How much of the tone is ink."""
    return int(np.count_nonzero(ink & tone)) / max(1, int(np.count_nonzero(tone)))


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


def _better(one: Segmentation, other: Segmentation) -> Segmentation:
    """The attempt that found what looks more like a written digit; the first of two equal ones."""
    return other if other.score / other.handicap > one.score / one.handicap else one


def _is_sound(found: Segmentation) -> bool:
    return found.digit is not None and found.digit.support >= SOUND


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


def _without_box(found: Segmentation) -> Segmentation:
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


def _darker(found: Segmentation, dark: Mask) -> Segmentation:
    """The digit of the dark part alone; the same as before where the pen is thin."""
    assert found.digit is not None
    if stroke_width(dark & found.digit.mask) < EDGES:
        return found
    pieces = find_pieces(dark, found.picture.smoothed, found.light.paper)
    if pieces is None:
        return found
    return replace(found, ink=dark, pieces=pieces, digit=choose_digit(pieces), handicap=WELCOME)

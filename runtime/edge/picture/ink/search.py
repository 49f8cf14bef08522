"""Finds the digit in a grey picture: a list of attempts, each where it may help, and one comparison among them.

An attempt takes the ink to be dark or light, and everything wider than its window to be shadow. The pieces of ink that
it finds have a score, how much they look like a written digit; the attempt with the largest score for its handicap is
what the picture shows.
"""

from dataclasses import replace
from functools import cached_property
from typing import Final

import numpy as np
from PIL import Image

from edge.picture.ink.binarisation import (
    as_image,
    histogram,
    ink_polarity,
    noise_deviation,
    otsu_threshold,
    separability,
    shrink,
    stretched,
)
from edge.picture.ink.digit import CHUNKY, SHEET_ASPECT
from edge.picture.ink.morphology import smooth
from edge.picture.ink.segmentation import DarkInk, Segmentation, Window, better, segment, without_box, without_shadow
from edge.picture.luminance import Grey, Mask

# The picture is searched at this size: large enough for a thin pen, and quick.
WORKING_PIXELS: Final = 320 * 320
# Polarity, and whether there are two tones, are questions of areas: a small copy answers them.
COARSE_PIXELS: Final = 128 * 128

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
# What edges carry by less than this is shading on a blank sheet. On 1800 pictures, real and synthetic, digits had at
# least 0.52, blurred ones included, and smooth slopes of light at most 0.2.
LEAST_SUPPORT: Final = 0.35
SMALLEST_SHADED: Final = 24  # pixels, the shorter side: in smaller pictures every edge is soft

# How many times the score of another attempt one of ink that is not what it looks like must have.
DOUBTFUL: Final = 1.3

# Narrow enough to leave shadows out, wide enough for a felt pen; where shadows are narrower; and for a picture that its
# ink fills to the edges, which has no room for shadows.
USUAL: Final = Window(0.22)
NARROW: Final = Window(0.10, overhang=True)
WHOLE: Final = Window(2.0, paper_share=0.2)


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
        best = better(best, look.attempt(unlikely, USUAL, DOUBTFUL))
    for window in (NARROW, WHOLE):
        if not _is_sound(best):
            best = better(best, look.attempt(likely, window))
        if not _is_sound(best) and look.is_in_doubt:
            best = better(best, look.attempt(unlikely, window, DOUBTFUL))
    for inverted in look.bold():
        best = better(best, look.attempt(inverted, WHOLE, DOUBTFUL))
    best = without_box(without_shadow(_on_a_sheet(look, _one_tone(look, best))))
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
        written = better(written, look.attempt(not best.picture.inverted, window))
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


def _is_sound(found: Segmentation) -> bool:
    return found.digit is not None and found.digit.support >= SOUND

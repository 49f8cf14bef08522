"""How much darker than the paper each point is, whatever the light."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.picture.ink.levels import histogram, quantile
from edge.picture.ink.windows import Bytes, Mask, closed, smoothed

# A point is told from noise if it lies this many standard deviations below the paper. With 100 000 points, five would
# leave none to chance; specks that pass are left out later.
CERTAIN: Final = 4.5
# What `smoothed` leaves of white noise, with a margin for noise that neighbours share.
NOISE_LEFT: Final = 0.45
# Two levels are never certain: rounding alone makes one.
LEAST_DEPTH: Final = 2
# Ink takes a share of the light, so strength is depth over paper; but in the dark a camera's noise takes over, so the
# paper is taken to be lighter by this many levels.
DARKNESS: Final = 32


@dataclass(frozen=True, slots=True)
class Evened:
    """A picture under even light."""

    paper: Bytes  # uint8 (H, W): what the picture would be without ink
    offset: int  # levels by which blank paper lies below `paper`, which is an upper bound
    strength: Bytes  # uint8 (H, W): 0 paper to 255 black, depth relative to the paper's light
    certain: Mask  # bool (H, W): deeper than noise


def even(grey: Bytes, window: int, noise: float, *, overhang: bool, paper_share: float = 0.5) -> Evened:
    """Removes uneven light and shadows from a picture of dark ink.

    Args:
        grey: uint8 (H, W), dark ink on lighter paper.
        window: pixels; strokes narrower than this are ink, wider dark areas are shadow.
        noise: standard deviation, grey levels.
        overhang: whether darkness along the picture's edge is taken as shadow, too.
        paper_share: of the picture that is blank paper, at least.

    Returns:
        The paper's light and the ink's strength.
    """
    paper = closed(smoothed(grey), window, overhang=overhang)
    depth = np.where(paper > grey, paper - grey, 0).astype(np.uint8)
    counts = histogram(depth)
    offset = quantile(counts, paper_share)
    # the spread of blank paper towards the light: grain counts as noise
    grain = (offset - quantile(counts, paper_share / 5)) / 1.2816
    clear = smoothed(np.where(depth > offset, depth - offset, 0).astype(np.uint8))
    least = max(LEAST_DEPTH, CERTAIN * NOISE_LEFT * max(noise, grain))
    return Evened(paper, offset, strength(clear, paper), clear >= least)


def strength(depth: Bytes, paper: Bytes) -> Bytes:
    """Depth below the paper, grey levels, as a share of the paper's light.

    Args:
        depth: uint8 (H, W).
        paper: uint8 (H, W).

    Returns:
        uint8 (H, W), 255 for black ink in full light.
    """
    share = depth.astype(np.int32) * (255 + DARKNESS) // np.maximum(paper.astype(np.int32) + DARKNESS, 2 * DARKNESS)
    return np.minimum(share, 255).astype(np.uint8)

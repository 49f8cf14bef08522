"""The golden images: what every bundle is replayed with on the target. Generated, never anybody's handwriting."""

import numpy as np
from numpy.typing import NDArray

from edge_train.strokes import strokes

STROKE = "stroke"
STROKE_SEED = 20_28
STROKES = 20  # two of each digit
NOISE_SEED = 28
NOISE = 3
# Grey levels of the golden images: as telling as 256, and a third of the bytes in every bundle.
STROKE_LEVELS = 4
NOISE_LEVELS = 16


def golden() -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """The golden images, uint8 (25, 28, 28), and what each is: the same ones for every model and version.

    Strokes decide as pictures do; all-zero, all-255 and noise drive the arithmetic to its ends, where a saturating
    int8 product shows first.
    """
    digits, labels = strokes.sample(STROKES, seed=STROKE_SEED)
    images, kinds = extremes()
    return np.concatenate([_coarse(digits, STROKE_LEVELS), images]), (
        *(f"{STROKE} {label}" for label in labels),
        *kinds,
    )


def extremes() -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """All-zero, all-255 and noise, uint8 (5, 28, 28): noise of many levels once, then of 0 and 255 alone."""
    noise = np.random.Generator(np.random.PCG64(NOISE_SEED)).integers(0, 256, (NOISE, 28, 28), np.uint8)
    noise = np.concatenate([_coarse(noise[:1], NOISE_LEVELS), _coarse(noise[1:], 2)])
    flat = np.stack([np.zeros((28, 28), np.uint8), np.full((28, 28), 255, np.uint8)])
    return np.concatenate([flat, noise]), ("all-zero", "all-255", *["noise"] * NOISE)


def _coarse(images: NDArray[np.uint8], levels: int) -> NDArray[np.uint8]:
    """The images with that many grey levels, from 0 to 255 in equal steps."""
    scaled = images.astype(np.uint16) * levels // 256
    return (scaled * 255 // (levels - 1)).astype(np.uint8)

"""A page with what was read on it: a box around every digit, its label above."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.classifier.page import Page, PageDigit
from edge.drawing import GREEN, RED, Pen

DOUBT: Final = 0.9  # below this confidence a box is red, as it is where the digit is rejected
LETTER: Final = 0.5  # height of a label, as a share of the usual height of the digits
SMALLEST_LETTER: Final = 11  # pixels


def annotate(grey: NDArray[np.uint8], page: Page) -> Image.Image:
    """The page with boxes and labels: green where the model is sure, red where it is not.

    Args:
        grey: uint8 (H, W), the picture that was read.
        page: what was read in it.

    Returns:
        A colour picture; higher than the page by the room for the labels of a line at its top.
    """
    digits = [digit for line in page.lines for digit in line.digits]
    heights = [digit.box[3] - digit.box[1] for digit in digits]
    size = max(SMALLEST_LETTER, round(LETTER * float(np.median(heights)))) if heights else SMALLEST_LETTER
    head = size + 4
    pen = Pen(grey.shape[1], grey.shape[0] + head, oversampling=1)
    pen.paste(Image.fromarray(np.ascontiguousarray(grey)), 0, head)
    for digit in digits:
        _mark(pen, digit, head, size)
    return pen.finished()


def _mark(pen: Pen, digit: PageDigit, head: int, size: int) -> None:
    left, top, right, bottom = digit.box
    colour = GREEN if digit.confidence >= DOUBT and not digit.rejected else RED
    width = max(1, size // 14)
    pen.frame(left - 1, top + head - 1, right + 1, bottom + head + 1, colour, width=width)
    pen.text((left + right) / 2, top + head - width - 2, digit.label, size=size, colour=colour, anchor="mb")

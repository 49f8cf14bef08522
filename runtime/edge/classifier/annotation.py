"""A page with what was read on it: a box around every digit, its label above."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from edge.classifier.reader import FoundDigit, Reading

SURE, UNSURE = "#1a7f37", "#cf222e"
DOUBT: Final = 0.9  # below this confidence a box is red, as it is where the digit is rejected
LETTER: Final = 0.5  # height of a label, as a share of the usual height of the digits
SMALLEST_LETTER: Final = 11  # pixels


def annotated(grey: NDArray[np.uint8], reading: Reading) -> Image.Image:
    """The page with boxes and labels: green where the model is sure, red where it is not.

    Args:
        grey: uint8 (H, W), the picture that was read.
        reading: what was read in it.

    Returns:
        A colour picture; higher than the page by the room for the labels of a line at its top.
    """
    digits = [digit for line in reading.lines for digit in line.digits]
    heights = [digit.box[3] - digit.box[1] for digit in digits]
    size = max(SMALLEST_LETTER, round(LETTER * float(np.median(heights)))) if heights else SMALLEST_LETTER
    head = size + 4
    page = Image.new("RGB", (grey.shape[1], grey.shape[0] + head), "white")
    page.paste(Image.fromarray(np.ascontiguousarray(grey)), (0, head))
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(size)
    for digit in digits:
        _mark(pen, digit, head, font, max(1, size // 14))
    return page


def _mark(
    pen: ImageDraw.ImageDraw,
    digit: FoundDigit,
    head: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    width: int,
) -> None:
    left, top, right, bottom = digit.box
    colour = SURE if digit.confidence >= DOUBT and not digit.rejected else UNSURE
    frame = left - width - 1, top + head - width - 1, right + width, bottom + head + width
    pen.rectangle(frame, outline=colour, width=width)
    pen.text(((left + right) / 2, top + head - width - 2), digit.label, fill=colour, font=font, anchor="mb")

"""Pages of digits: every digit read, lines from top to bottom, digits from left to right; and drawn upon the page.

The page goes through the same steps as a single digit. Its ink is then laid out in lines, and where digits touch or
fall into pieces, several ways to cut and join are tried: the model says how well each candidate reads, and the best way
through the line wins.
"""

import os
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from PIL import Image

from edge.bundle import shipped
from edge.classifier.classifier import Classifier, load
from edge.classifier.prediction import Prediction
from edge.classifier.signs import Sign, find_numbers, read_lines
from edge.drawing import GREEN, RED, Pen
from edge.picture import preprocessing
from edge.picture.ink import normalisation
from edge.picture.ink.lattice import Blob, joined
from edge.picture.ink.search import find_digit
from edge.picture.ink.segmentation import Segmentation
from edge.picture.ink.text_lines import find_lines
from edge.picture.luminance import Grey

# A page is searched at this size: a digit of a full sheet should keep some 25 pixels.
WORKING_PIXELS: Final = 900 * 900

DOUBT: Final = 0.9  # below this confidence a box is red, as it is where the digit is rejected
LETTER: Final = 0.5  # height of a label, as a share of the usual height of the digits
SMALLEST_LETTER: Final = 11  # pixels
NO_LABEL: Final = "?"  # of what is not read

# What is rejected and so wide is a word, or digits that touch, unless the model is rather sure of its label.
WIDE: Final = 1.3  # width over height
SURE: Final = 0.8
MARK_GAP: Final = 0.8  # usual heights of a digit, between letters of a word that is told as one

MOST_PLACES: Final = 3  # told in a warning

Bounds = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class PageDigit:
    """One digit of a page.

    Attributes:
        label: the most probable label.
        confidence: its probability, 0 to 1.
        box: left, top, right, bottom; pixels of the picture, half open.
        rejected: whether it is probably no digit.
    """

    label: str
    confidence: float
    box: Bounds
    rejected: bool = False


@dataclass(frozen=True, slots=True)
class PageLine:
    """One line of digits.

    Attributes:
        digits: from left to right.
    """

    digits: tuple[PageDigit, ...]

    @property
    def text(self) -> str:
        """The labels, one after the other."""
        return "".join(digit.label for digit in self.digits)


@dataclass(frozen=True, slots=True)
class Page:
    """What was read on a page.

    Attributes:
        lines: from top to bottom; none on a blank page.
        unread: the boxes of what looks written and is not read: letters, drawings, digits that are none to the model;
            left, top, right, bottom, pixels of the picture, half open.
    """

    lines: tuple[PageLine, ...]
    unread: tuple[Bounds, ...] = ()

    @property
    def text(self) -> str:
        """The lines, each on its own."""
        return "\n".join(line.text for line in self.lines)

    def record(self) -> list[dict[str, Any]]:
        """The lines as plain values, as `edge read --json` prints them."""
        return [{"text": line.text, "digits": [asdict(digit) for digit in line.digits]} for line in self.lines]

    def unread_record(self) -> list[dict[str, Any]]:
        """What is not read as plain values, as `edge read --json` prints it."""
        return [{"box": box} for box in self.unread]

    @property
    def warning(self) -> str:
        """How many marks are not read, and where, for people; empty if there are none."""
        if not self.unread:
            return ""
        many = "1 mark is" if len(self.unread) == 1 else f"{len(self.unread)} marks are"
        places = ", ".join(
            f"{left},{top} to {right},{bottom}" for left, top, right, bottom in self.unread[:MOST_PLACES]
        )
        more = ", ..." if len(self.unread) > MOST_PLACES else ""
        return f"{many} not read, at {places}{more} (left,top to right,bottom)"


@dataclass(frozen=True, slots=True)
class Signs:
    """What is written in the lines of a page.

    Attributes:
        lines: from top to bottom; of each, the ink from left to right, with what it is read as.
        digit_height: the usual height of a digit, pixels of the working size.
        unread: what looks written and is in no line.
        scale: pixels of the picture for each of the working size, down and across.
    """

    lines: list[list[Sign]]
    digit_height: float
    unread: list[Blob]
    scale: tuple[float, float]

    def bounds(self, blob: Blob) -> Bounds:
        """Left, top, right and bottom of some ink; pixels of the picture, half open."""
        down, across = self.scale
        right, bottom = (blob.left + blob.width) * across, (blob.top + blob.height) * down
        return int(blob.left * across), int(blob.top * down), round(right), round(bottom)


def read_page(source: preprocessing.Source, model: str | os.PathLike[str] | Classifier = shipped.DEFAULT) -> Page:
    """Reads every digit of a picture.

    Args:
        source: a path, the bytes of a picture file, a binary stream, a Pillow image, or pixels: uint8 (H, W) grey,
            (H, W, 3) RGB or (H, W, 4) RGBA.
        model: of single digits: a shipped name, the path of a bundle, or a classifier.

    Raises:
        PictureError: the picture cannot be read.
        InputError: an array that is no picture.
        BundleError: there is no such bundle, or it cannot be used.
        ProviderError: onnxruntime failed, or is missing.
    """
    classifier = model if isinstance(model, Classifier) else load(model)
    classifier.manifest.check_pictures()
    return read_grey_page(preprocessing.luminance(source, enough_pixels=preprocessing.EVERY_PIXEL), classifier)


def read_grey_page(grey: Grey, classifier: Classifier) -> Page:
    """Reads every digit of a grey picture.

    Args:
        grey: uint8 (H, W), dark ink on light paper or the reverse.
        classifier: a model of single digits.

    Raises:
        ProviderError: onnxruntime failed.
    """
    if preprocessing.is_ready(grey):
        return _only_digit(grey, classifier)
    signs = find_signs(grey, classifier)
    lines, unread = [], list(signs.unread)
    for line in signs.lines:
        digits, left_out = _parted(line, signs.digit_height, classifier)
        unread += left_out
        if digits:
            lines.append(PageLine(tuple(_digit(prediction, signs.bounds(blob)) for blob, prediction in digits)))
    return Page(tuple(lines), tuple(map(signs.bounds, _marks(unread, signs.digit_height))))


def find_signs(grey: Grey, classifier: Classifier) -> Signs:
    """Reads everything that is written in lines, before it is decided what of it is digits.

    Args:
        grey: uint8 (H, W), dark ink on light paper or the reverse.
        classifier: a model of single digits.

    Raises:
        ProviderError: onnxruntime failed.
    """
    full, segmentation = find_digit(grey, WORKING_PIXELS)
    found = find_lines(segmentation)
    lines = read_lines(found.lines, found.digit_height, lambda blob: _image(full, segmentation, blob), classifier)
    scale = grey.shape[0] / segmentation.light.paper.shape[0], grey.shape[1] / segmentation.light.paper.shape[1]
    return Signs(list(lines), found.digit_height, found.unread, scale)


def _parted(
    line: list[Sign], height: float, classifier: Classifier
) -> tuple[list[tuple[Blob, Prediction]], list[Blob]]:
    """The digits of a line, and what is none: words that are no numbers, what is wide and rejected."""
    of_numbers = {id(sign.blob) for sign in find_numbers(line, height, classifier)}
    digits, left_out = [], []
    for blob, prediction, _ in line:
        if prediction is not None and id(blob) in of_numbers and not _is_wide(blob, prediction):
            digits.append((blob, prediction))
        else:
            left_out.append(blob)
    return digits, left_out


def _is_wide(blob: Blob, prediction: Prediction) -> bool:
    """Whether ink is a word, or digits that touch and that no cut parts."""
    return prediction.rejected and prediction.confidence < SURE and blob.width > WIDE * blob.height


def _marks(unread: list[Blob], height: float) -> list[Blob]:
    """What is unread, the letters of a word as one."""
    marks: list[Blob] = []
    for blob in sorted(unread, key=lambda blob: blob.left):
        near = next((at for at, mark in enumerate(marks) if _is_beside(mark, blob, MARK_GAP * height)), None)
        if near is None:
            marks.append(blob)
        else:
            marks[near] = joined([marks[near], blob])
    return sorted(marks, key=lambda mark: (mark.top, mark.left))


def _is_beside(mark: Blob, blob: Blob, gap: float) -> bool:
    """Whether the blob goes on where the mark ends, on the same line."""
    level = min(mark.top + mark.height, blob.top + blob.height) > max(mark.top, blob.top)
    return level and blob.left - (mark.left + mark.width) <= gap


def annotate(grey: Grey, page: Page) -> Image.Image:
    """The page with boxes and labels: green where the model is sure, red where it is not, a ? where nothing is read.

    Args:
        grey: uint8 (H, W), the picture that was read.
        page: what was read in it.

    Returns:
        A colour picture; higher than the page by the room for the labels of a line at its top.
    """
    digits = [digit for line in page.lines for digit in line.digits]
    unread = [PageDigit(NO_LABEL, 0.0, box, rejected=True) for box in page.unread]
    heights = [digit.box[3] - digit.box[1] for digit in digits]
    size = max(SMALLEST_LETTER, round(LETTER * float(np.median(heights)))) if heights else SMALLEST_LETTER
    head = size + 4
    pen = Pen(grey.shape[1], grey.shape[0] + head, oversampling=1)
    pen.paste(Image.fromarray(np.ascontiguousarray(grey)), 0, head)
    for digit in digits + unread:
        _mark(pen, digit, head, size)
    return pen.finished()


def _only_digit(image: Grey, classifier: Classifier) -> Page:
    """An image as MNIST's is one digit already, or blank."""
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    if len(rows) == 0:
        return Page(())
    bounds = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    return Page((PageLine((_digit(classifier.predict_image(image), bounds),)),))


def _image(full: Image.Image, segmentation: Segmentation, blob: Blob) -> Grey:
    """What the model sees of a blob: uint8 (28, 28)."""
    near = normalisation.close_up(full, segmentation, blob.mask, blob.top, blob.left)
    return normalisation.fit_frame(normalisation.adjust_stroke_width(near.ink))


def _digit(prediction: Prediction, bounds: Bounds) -> PageDigit:
    return PageDigit(prediction.label, prediction.confidence, bounds, prediction.rejected)


def _mark(pen: Pen, digit: PageDigit, head: int, size: int) -> None:
    left, top, right, bottom = digit.box
    colour = GREEN if digit.confidence >= DOUBT and not digit.rejected else RED
    width = max(1, size // 14)
    pen.frame(left - 1, top + head - 1, right + 1, bottom + head + 1, colour, width=width)
    pen.text((left + right) / 2, top + head - width - 2, digit.label, size=size, colour=colour, anchor="mb")

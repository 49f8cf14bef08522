"""Reads every digit of a page: lines from top to bottom, digits from left to right.

The page goes through the same steps as a single digit. Its ink is then laid out in lines, and where digits touch or
fall into pieces, several ways to cut and join are tried: the model says how well each candidate reads, and the best way
through the line wins.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.classifier.classifier import Classifier
from edge.picture import picture
from edge.picture.ink import box, closeup, search, stroke
from edge.picture.ink.layout import Blot, lay_out
from edge.picture.ink.ways import Ways
from edge.picture.ink.windows import Bytes

# A page is searched at this size: a digit of a full sheet should keep some 25 pixels.
WORKING_PIXELS: Final = 900 * 900

Bounds = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class FoundDigit:
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
class Line:
    """One line of digits, from left to right."""

    digits: tuple[FoundDigit, ...]

    @property
    def text(self) -> str:
        """The labels, one after the other."""
        return "".join(digit.label for digit in self.digits)


@dataclass(frozen=True, slots=True)
class Reading:
    """All lines of a page, from top to bottom; none on a blank page."""

    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        """The lines, each on its own."""
        return "\n".join(line.text for line in self.lines)


def read(source: picture.Source, classifier: Classifier) -> Reading:
    """Reads every digit of a picture.

    Args:
        source: what `edge.picture.picture.read` takes.
        classifier: a model of single digits.

    Raises:
        PictureError: the picture cannot be read.
        InputError: an array that is no picture.
        ProviderError: onnxruntime failed.
    """
    return read_grey(picture.luminance(source, enough_pixels=picture.EVERY_PIXEL), classifier)


def read_grey(grey: Bytes, classifier: Classifier) -> Reading:
    """Reads every digit of a grey picture.

    Args:
        grey: uint8 (H, W), dark ink on light paper or the reverse.
        classifier: a model of single digits.

    Raises:
        ProviderError: onnxruntime failed.
    """
    if picture.is_ready(grey):
        return _only_digit(grey, classifier)
    full, page = search.find(grey, WORKING_PIXELS)
    layout = lay_out(page)
    lines = [Ways(line, layout.height) for line in layout.lines]
    images = [_image(full, page, each.blot) for line in lines for each in line.candidates]
    if not images:
        return Reading(())
    probabilities = classifier.classify(np.stack(images))
    scale = grey.shape[0] / page.grey.shape[0], grey.shape[1] / page.grey.shape[1]
    result, first = [], 0
    for line in lines:
        rows = probabilities[first : first + len(line.candidates)]
        chosen = line.cheapest(rows)
        scores = classifier.scores(np.stack([images[first + at] for at in chosen]))
        digits = [
            _found(rows[at], classifier, _box(line.candidates[at].blot, scale), score)
            for at, score in zip(chosen, scores, strict=True)
        ]
        result.append(Line(tuple(digits)))
        first += len(rows)
    return Reading(tuple(result))


def _only_digit(image: Bytes, classifier: Classifier) -> Reading:
    """An image as MNIST's is one digit already, or blank."""
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    if len(rows) == 0:
        return Reading(())
    bounds = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    (score,) = classifier.scores(image)
    return Reading((Line((_found(classifier.classify(image)[0], classifier, bounds, score),)),))


def _image(full: Bytes, page: search.Reading, blot: Blot) -> Bytes:
    """What the model sees of a blot: uint8 (28, 28)."""
    mask = np.zeros(page.grey.shape, np.bool_)
    bottom, right = blot.top + blot.height, blot.left + blot.width
    mask[blot.top : bottom, blot.left : right] = blot.mask
    near = closeup.close_up(full, page, mask, (blot.top, blot.left, bottom, right))
    return box.boxed(stroke.adjusted(near.ink))


def _box(blot: Blot, scale: tuple[float, float]) -> Bounds:
    """The box of a blot in the picture, for a scale down and across."""
    down, across = scale
    right, bottom = (blot.left + blot.width) * across, (blot.top + blot.height) * down
    return int(blot.left * across), int(blot.top * down), round(right), round(bottom)


def _found(row: NDArray[np.float32], classifier: Classifier, bounds: Bounds, score: float | None) -> FoundDigit:
    best = int(row.argmax())
    return FoundDigit(classifier.labels[best], float(row[best]), bounds, classifier.rejects(score))

"""Digits that touch: the cheapest way through a lattice of cuts, and a rejected picture looked at once more.

A model that was trained with two digits side by side as outliers rejects them. What it rejects as one digit and reads
well as two is two.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from edge.bundle.input import DIGITS
from edge.picture.ink.binarisation import resize
from edge.picture.ink.lattice import Blob, Lattice, can_be_cut, doubt, is_sound
from edge.picture.ink.normalisation import BOX, FINENESS, adjust_stroke_width, fit_frame
from edge.picture.luminance import Grey, Mask

if TYPE_CHECKING:
    from edge.classifier.classifier import Classifier
    from edge.classifier.prediction import Prediction

HALF: Final = 128  # grey level from which a pixel is ink
# Of each of the digits that are seen in place of one: a part of a digit is lower than the whole.
LEAST_CONFIDENCE: Final = 0.9
LEAST_HEIGHT: Final = 0.78  # of all the ink


def read_lines(
    lines: Sequence[Sequence[Blob]], height: float, seen_as: Callable[[Blob], Grey], classifier: "Classifier"
) -> "Iterator[list[tuple[Blob, Prediction | None]]]":
    """Reads lines of digits: the cheapest way through the lattice of each.

    Args:
        lines: of each, the connected ink from left to right.
        height: the usual height of a digit, pixels.
        seen_as: what the model sees of some ink: uint8 (28, 28).
        classifier: a model of single digits.

    Yields:
        For each line its ink from left to right, each with what it is read as, or None where it is left out.

    Raises:
        ProviderError: onnxruntime failed.
    """

    def predictions(blobs: Sequence[Blob]) -> "list[Prediction]":
        return classifier.predictions(np.stack([seen_as(blob) for blob in blobs])) if blobs else []

    # cuts take time, and most ink that is wide enough for them is one digit
    wide = [(at, place) for at, line in enumerate(lines) for place, blob in enumerate(line) if can_be_cut(blob, height)]
    first = dict(zip(wide, predictions([lines[at][place] for at, place in wide]), strict=True))
    sound = {key for key, each in first.items() if is_sound(each.confidence, oddity(each, classifier))}
    lattices = [
        Lattice(line, height, {place for place in range(len(line)) if (at, place) in sound})
        for at, line in enumerate(lines)
    ]
    seen: list[dict[int, Prediction]] = [{} for _ in lines]
    for (at, place), prediction in first.items():
        if (index := lattices[at].whole(place)) is not None:
            seen[at][index] = prediction
    while True:
        paths = [
            lattice.cheapest_path(
                {
                    index: doubt(each.confidence, oddity(each, classifier), lattice.candidates[index].digits)
                    for index, each in known.items()
                }
            )
            for lattice, known in zip(lattices, seen, strict=True)
        ]
        unseen = [
            (at, index)
            for at, path in enumerate(paths)
            for index in path
            if index not in seen[at] and lattices[at].candidates[index].is_digit
        ]
        if not unseen:
            break
        blobs = [lattices[at].blob(lattices[at].candidates[index]) for at, index in unseen]
        for (at, index), prediction in zip(unseen, predictions(blobs), strict=True):
            seen[at][index] = prediction
    for lattice, path, known in zip(lattices, paths, seen, strict=True):
        yield [(lattice.blob(lattice.candidates[index]), known.get(index)) for index in path]


def oddity(prediction: "Prediction", classifier: "Classifier") -> float:
    """How odd the model finds an image.

    Args:
        prediction: what it says of it.
        classifier: the model.

    Returns:
        The score as a share of the threshold of rejection: about 0 for a usual digit, 1 or more for what is rejected.
    """
    facts, score = classifier.manifest.rejection, prediction.score
    if facts is None or score is None or facts.threshold >= 0:
        return float(prediction.rejected)
    return score / facts.threshold


def count_digits(image: Grey, classifier: "Classifier") -> int:
    """How many digits a rejected image shows.

    Args:
        image: uint8 (28, 28), ink 255 on background 0.
        classifier: the model that rejected it.

    Returns:
        2 or more where they touch, and each is read well for itself; 1 otherwise, and where labels are no digits.

    Raises:
        ProviderError: onnxruntime failed.
    """
    ink = _enlarged(image, FINENESS)
    if classifier.manifest.labels != DIGITS or not ink.any():
        return 1
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    blob = Blob(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 0, 0)
    ((*reading,),) = read_lines([[blob]], blob.height, lambda part: _image(part.mask), classifier)
    sound = [
        each is not None
        and not each.rejected
        and each.confidence >= LEAST_CONFIDENCE
        and part.height >= LEAST_HEIGHT * blob.height
        for part, each in reading
    ]
    return len(sound) if all(sound) else 1


def _image(ink: Mask) -> Grey:
    """What the model sees of a part of an image: uint8 (28, 28)."""
    return fit_frame(adjust_stroke_width(_enlarged(ink * np.uint8(255), BOX * FINENESS / max(ink.shape))))


def _enlarged(image: Grey, scale: float) -> Mask:
    height, width = (max(1, round(side * scale)) for side in image.shape)
    enlarged: Mask = resize(image, height, width) >= HALF
    return enlarged

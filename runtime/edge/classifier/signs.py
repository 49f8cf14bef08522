"""What is written in a line: digits, where they touch too, and which words are numbers.

Where digits touch, the cheapest way through a lattice of cuts is taken. A model that was trained with two digits side
by side as outliers rejects them: what it rejects as one digit and reads well as two is two.

Letters, print and drawn signs are read as digits, too, but as odd ones, a second opinion takes them for none, and their
ink differs from that of digits: a logistic regression over a whole word tells them apart. One sign is too little for
that, and a line may hold both.
"""

from collections.abc import Callable, Iterator, Sequence
from math import exp, log
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from edge.bundle.input import DIGITS
from edge.picture.ink.binarisation import resize
from edge.picture.ink.lattice import MOST_ODD, Blob, Lattice, can_be_cut, doubt, is_sound
from edge.picture.ink.normalisation import BOX, FINENESS, adjust_stroke_width, fit_frame, strokes_crossed
from edge.picture.ink.opinion import oddness
from edge.picture.luminance import Grey, Mask

if TYPE_CHECKING:
    from edge.classifier.classifier import Classifier
    from edge.classifier.prediction import Prediction

HALF: Final = 128  # grey level from which a pixel is ink
# Of each of the digits that are seen in place of one: a part of a digit is lower than the whole.
LEAST_CONFIDENCE: Final = 0.9
LEAST_HEIGHT: Final = 0.78  # of all the ink

WORD_GAP: Final = 0.35  # usual heights of a digit: wider gaps part words
UNREAD_DOUBT: Final = 2.0  # of what is left out: as of a sign that is read at 0.14
MOST_OPINION: Final = 4.0  # of the logarithm of the odds, either way, and of what is left out: letters have 3.9
# Letters stand closer to each other than a word to a number; and what is so far beyond the threshold of rejection is
# clearly no digit: of 1360 digits on drawn pages 1.5 % are beyond the threshold and 0.7 % beyond this, of letters 77 %.
WIDE_GAP: Final = 0.45
CLEARLY: Final = 1.15
MOSTLY: Final = 2 / 3
NEAR: Final = 0.5  # usual heights, between two signs: so much further, what is beside counts 0.37 times as much

# Fitted by `benchmarks/word_weights.py`, with the features of `word_features`; above 0 a word is a number.
WEIGHTS: Final = {
    "doubt": -1.89,
    "oddity": -2.48,
    "opinion": -0.98,
    "strokes down": 1.71,
    "lowness": -19.09,
    "width": 5.18,
    "alone": 2.73,
    "oddity beside": -4.55,
}
BIAS: Final = -2.06


class Sign(NamedTuple):
    """What one sign of a line is taken for.

    Attributes:
        blob: its ink.
        prediction: what it is read as; None where it is left out.
        opinion: by a second opinion, the logarithm of the odds that it is no digit, at most `MOST_OPINION` either way.
    """

    blob: Blob
    prediction: "Prediction | None"
    opinion: float


def read_lines(
    lines: Sequence[Sequence[Blob]], height: float, seen_as: Callable[[Blob], Grey], classifier: "Classifier"
) -> Iterator[list[Sign]]:
    """Reads lines of digits: the cheapest way through the lattice of each.

    Args:
        lines: of each, the connected ink from left to right.
        height: the usual height of a digit, pixels.
        seen_as: what the model sees of some ink: uint8 (28, 28).
        classifier: a model of single digits.

    Yields:
        For each line its signs from left to right.

    Raises:
        ProviderError: onnxruntime failed.
    """

    def looks(blobs: Sequence[Blob]) -> "list[tuple[Prediction, Grey]]":
        images = [seen_as(blob) for blob in blobs]
        return list(zip(classifier.predictions(np.stack(images)), images, strict=True)) if images else []

    # cuts take time, and most ink that is wide enough for them is one digit
    wide = [(at, place) for at, line in enumerate(lines) for place, blob in enumerate(line) if can_be_cut(blob, height)]
    first = dict(zip(wide, looks([lines[at][place] for at, place in wide]), strict=True))
    sound = {key for key, (each, _) in first.items() if is_sound(each.confidence, oddity(each, classifier))}
    lattices = [
        Lattice(line, height, {place for place in range(len(line)) if (at, place) in sound})
        for at, line in enumerate(lines)
    ]
    seen: list[dict[int, tuple[Prediction, Grey]]] = [{} for _ in lines]
    for (at, place), look in first.items():
        if (index := lattices[at].whole(place)) is not None:
            seen[at][index] = look
    while True:
        paths = [
            lattice.cheapest_path(
                {
                    index: doubt(each.confidence, oddity(each, classifier), lattice.candidates[index].digits)
                    for index, (each, _) in known.items()
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
        for (at, index), look in zip(unseen, looks(blobs), strict=True):
            seen[at][index] = look
    for lattice, path, known in zip(lattices, paths, seen, strict=True):
        yield [_sign(lattice.blob(lattice.candidates[index]), known.get(index), classifier) for index in path]


def _sign(blob: Blob, look: "tuple[Prediction, Grey] | None", classifier: "Classifier") -> Sign:
    """What a sign is taken for; of labels that are no digits there is no second opinion."""
    if look is None:
        return Sign(blob, None, MOST_OPINION)
    prediction, image = look
    odds = oddness(image) if classifier.manifest.labels == DIGITS else -MOST_OPINION
    return Sign(blob, prediction, min(MOST_OPINION, max(-MOST_OPINION, odds)))


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
        for part, each, _ in reading
    ]
    return len(sound) if all(sound) else 1


def _image(ink: Mask) -> Grey:
    """What the model sees of a part of an image: uint8 (28, 28)."""
    return fit_frame(adjust_stroke_width(_enlarged(ink * np.uint8(255), BOX * FINENESS / max(ink.shape))))


def _enlarged(image: Grey, scale: float) -> Mask:
    height, width = (max(1, round(side * scale)) for side in image.shape)
    enlarged: Mask = resize(image, height, width) >= HALF
    return enlarged


def find_words(line: Sequence[Sign], gap: float) -> list[list[Sign]]:
    """The line cut where it is blank.

    Args:
        line: from left to right.
        gap: wider blanks part words, pixels.
    """
    words: list[list[Sign]] = []
    end = 0
    for sign in line:
        if not words or sign.blob.left - end > gap:
            words.append([])
        words[-1].append(sign)
        end = max(end, sign.blob.left + sign.blob.width)
    return words


def find_numbers(line: Sequence[Sign], height: float, classifier: "Classifier") -> list[Sign]:
    """The signs of a line that belong to numbers, those among them too that are left out in the reading.

    Args:
        line: from left to right.
        height: the usual height of a digit, pixels.
        classifier: that has read it.
    """
    words = find_words(line, WORD_GAP * height)
    found = [sign for word in words if _is_number(word_features(word, line, height, classifier)) for sign in word]
    wide_words = find_words(line, WIDE_GAP * height)
    letters = [word for word in wide_words if len(wide_words) > 1 and _is_mostly_none(word, classifier)]
    return [sign for sign in found if not any(sign is other for word in letters for other in word)]


def _is_mostly_none(word: Sequence[Sign], classifier: "Classifier") -> bool:
    """Whether most of several signs are clearly no digits: then one like a digit, an O say, is none either."""
    none = sum(_limited_oddity(sign.prediction, classifier) > CLEARLY for sign in word)
    return len(word) > 1 and none >= MOSTLY * len(word)


def _is_number(features: dict[str, float]) -> bool:
    return BIAS + sum(weight * features[name] for name, weight in WEIGHTS.items()) > 0


def word_features(
    word: Sequence[Sign], line: Sequence[Sign], height: float, classifier: "Classifier"
) -> dict[str, float]:
    """What tells a number from other writing.

    Args:
        word: one of `find_words`.
        line: all of its line.
        height: the usual height of a digit, pixels.
        classifier: that has read it.

    Returns:
        The means over the signs of the word: doubt, the negative logarithm of the confidence; oddity, from 0 to
        `MOST_ODD`; the second opinion; how many strokes a column with ink crosses; lowness, by how much the ink is
        lower than usual, in usual heights; width over height. And of a word of one sign, alone, 1, and how odd the rest
        of the line is, what is near counting more.
    """
    blobs = [sign.blob for sign in word]
    odd = [_limited_oddity(sign.prediction, classifier) for sign in word]
    doubts = [UNREAD_DOUBT if sign.prediction is None else -log(sign.prediction.confidence) for sign in word]
    return {
        "doubt": _mean(doubts),
        "oddity": _mean(odd),
        "opinion": _mean([sign.opinion for sign in word]),
        "strokes down": _mean([strokes_crossed(blob.mask) for blob in blobs]),
        "lowness": _mean([max(0.0, 1 - blob.height / height) for blob in blobs]),
        "width": _mean([blob.width / blob.height for blob in blobs]),
        "alone": float(len(word) == 1),
        "oddity beside": _oddity_beside(blobs[0], line, height, classifier) if len(word) == 1 else 0.0,
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _limited_oddity(prediction: "Prediction | None", classifier: "Classifier") -> float:
    """How odd a sign is, 0 for a digit written plainly; what is left out is as odd as can be."""
    return MOST_ODD if prediction is None else min(MOST_ODD, max(0.0, oddity(prediction, classifier)))


def _oddity_beside(blob: Blob, line: Sequence[Sign], height: float, classifier: "Classifier") -> float:
    """How odd the other signs of a line are, what is near counting more; 0 where there is none."""
    total = weights = 0.0
    for other, prediction, _ in line:
        if other is not blob:
            gap = max(0, other.left - blob.left - blob.width, blob.left - other.left - other.width)
            weight = exp(-gap / (NEAR * height))
            total += weight * _limited_oddity(prediction, classifier)
            weights += weight
    return total / weights if weights else 0.0

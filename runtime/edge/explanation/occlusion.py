"""The places that an answer hangs on: how its probability falls while a patch of background hides a part of the digit.

Works for any model, because it only asks for answers.

Source: Zeiler and Fergus, 2014, Visualizing and Understanding Convolutional Networks, section 4.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.bundle.input import COLUMNS, ROWS
from edge.classifier.classifier import Classifier
from edge.classifier.images import as_batch
from edge.errors import InputError
from edge.text.table import percent

# Of 28: a stroke and a half, which parts what it lies on. A narrower patch leaves ink at its side that a network sees
# through, a wider one costs nearly every answer everything wherever it lies: the map has no places any more.
PATCH: Final = 5

# An answer that loses less than this to every patch hangs on none of them.
HANGS: Final = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Occlusion:
    """What a model answers while a patch is hidden, for every place of the patch.

    Attributes:
        answer: column of the label of the whole image.
        confidence: its probability, 0 to 1.
        patch: side of the patch in pixels.
        hidden: float32 (28, 28, classes), the probabilities with the patch around that pixel; a patch at the border is
            cut off there.
    """

    answer: int
    confidence: float
    patch: int
    hidden: NDArray[np.float32]

    @property
    def drop(self) -> NDArray[np.float32]:
        """float32 (28, 28): how far the answer's probability falls; negative where hiding makes it surer."""
        return np.float32(self.confidence) - self.hidden[:, :, self.answer]

    @property
    def most(self) -> tuple[int, int]:
        """Row and column, from 0, of the middle of the patch that costs most."""
        row, column = divmod(int(self.drop.argmax()), COLUMNS)
        return row, column


def measure(classifier: Classifier, image: ArrayLike, *, patch: int = PATCH) -> Occlusion:
    """Asks for the answer with each patch of the image hidden.

    Args:
        classifier: of any model.
        image: uint8 (28, 28) or (1, 28, 28), ink 255 on background 0.
        patch: side of the patch in pixels, odd, so that it has a middle; 1 to 27.

    Raises:
        InputError: not exactly one image, another shape or type, or another patch.
        ProviderError: onnxruntime failed.
    """
    batch = as_batch(image)
    if len(batch) != 1:
        raise InputError(f"{len(batch)} images cannot be explained at once; give one, uint8 (28, 28)")
    if patch % 2 == 0 or not 1 <= patch < ROWS:
        raise InputError(f"a patch of {patch} pixels has no middle inside the image; give an odd number from 1 to 27")
    whole = classifier.classify(batch)[0]
    covered = _covered(batch[0], patch)
    # Most places hide nothing but background: their answer is known.
    changed = np.flatnonzero((covered != batch[0]).any(axis=(1, 2)))
    hidden = np.repeat(whole[None], ROWS * COLUMNS, axis=0)
    hidden[changed] = classifier.classify(covered[changed])
    answer = int(whole.argmax())
    return Occlusion(answer, float(whole[answer]), patch, hidden.reshape(ROWS, COLUMNS, -1))


def sentence(found: Occlusion, labels: Sequence[str]) -> str:
    """Where the answer hangs most, in a sentence; rows and columns count from 1."""
    row, column = found.most
    label, patch = labels[found.answer], f"{found.patch}x{found.patch} pixels"
    if found.drop[row, column] < HANGS:
        worst = 100 * float(found.drop[row, column])
        return f"{label} hangs on no single place: no hidden patch of {patch} costs it more than {worst:.1f} points"
    hidden = found.hidden[row, column]
    leader = int(hidden.argmax())
    where = f"row {row + 1}, column {column + 1}"
    fall = f"{percent(found.confidence)} to {percent(float(hidden[found.answer]))}"
    rest = f", and {labels[leader]} leads with {percent(float(hidden[leader]))}" if leader != found.answer else ""
    return f"{label} hangs most on {where}: with {patch} hidden there it falls from {fall}{rest}"


def _covered(image: NDArray[np.uint8], patch: int) -> NDArray[np.uint8]:
    """uint8 (784, 28, 28): the image with a patch of background around each of its pixels."""
    place = np.arange(ROWS)
    near = np.abs(place[:, None] - place) <= patch // 2  # (places, pixels) along one axis
    inside = near[:, None, :, None] & near[None, :, None, :]  # (row place, column place, row, column)
    return np.where(inside, np.uint8(0), image).reshape(ROWS * COLUMNS, ROWS, COLUMNS)

"""Why a model answers as it does: the belief after each row of the picture, or the places that the answer hangs on.

belief          a recurrent model's probabilities after each row, and the row that settles the answer: told and drawn
occlusion       any model's answer while a patch of background hides a part of the digit: told and drawn

Here is what `edge.explain` returns: one of the two, as text and as a picture.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.bundle import shipped
from edge.classifier.classifier import Classifier, load
from edge.classifier.prediction import Prediction, as_batch
from edge.errors import InputError
from edge.explanation import belief, occlusion
from edge.explanation.belief import BeliefChart
from edge.explanation.occlusion import Occlusion

if TYPE_CHECKING:
    from edge.picture.preprocessing import Source

_DIGITS = 6  # of a probability in a record


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What an answer hangs on: the belief row by row of a recurrent model, the occlusion map of any other.

    Attributes:
        name: of the picture.
        image: uint8 (28, 28), what the model sees, ink 255 on background 0.
        prediction: what the model says.
        labels: of the columns of `beliefs`, and of the last axis of `occlusion.hidden`.
        beliefs: float32 (28, classes), the probabilities after each row; None where the model is not recurrent.
        settled_row: the row, from 1, from which on the answer leads; None where another label leads at the end, and
            where the model is not recurrent.
        occlusion: the answers with each patch hidden; None where the model is recurrent.
    """

    name: str
    image: NDArray[np.uint8]
    prediction: Prediction
    labels: tuple[str, ...]
    beliefs: NDArray[np.float32] | None = None
    settled_row: int | None = None
    occlusion: Occlusion | None = None

    def lines(self, *, unicode: bool = True) -> list[str]:
        """The explanation as text.

        Args:
            unicode: whether blocks may be drawn; signs of ASCII otherwise.
        """
        if self.occlusion is not None:
            return [occlusion.sentence(self.occlusion, self.labels)]
        beliefs = self._beliefs()
        leader = self.labels[int(beliefs[-1].argmax())]
        return [
            *belief.lines(self.image, beliefs, self.labels, self.settled_row, unicode=unicode),
            belief.settlement(self.settled_row, self.prediction.label, leader),
        ]

    def record(self) -> dict[str, Any]:
        """The explanation as plain values, as `edge explain --json` prints it."""
        record = {
            "label": self.prediction.label,
            "confidence": round(self.prediction.confidence, _DIGITS),
            "rejected": self.prediction.rejected,
            "model": self.prediction.model,
        }
        if self.occlusion is not None:
            row, column = self.occlusion.most
            most = {"row": row + 1, "column": column + 1}
            return {**record, "patch": self.occlusion.patch, "drop": _rounded(self.occlusion.drop), "most": most}
        rows = _rounded(self._beliefs())
        return {**record, "labels": list(self.labels), "rows": rows, "settled_row": self.settled_row}

    def png(self) -> bytes:
        """The explanation as a picture, a PNG file."""
        if self.occlusion is None:
            return belief.png(self._chart())
        shown = occlusion.OcclusionMap(self.name, self.prediction.model, self.labels, self.image, self.occlusion)
        return occlusion.png(shown)

    def gif(self) -> bytes:
        """The rows revealed one by one, as a GIF file that starts again after a while.

        Raises:
            InputError: the model is not recurrent.
        """
        return belief.gif(self._chart())

    def _chart(self) -> BeliefChart:
        return BeliefChart(
            name=self.name,
            model=self.prediction.model,
            labels=self.labels,
            image=self.image,
            beliefs=self._beliefs(),
            answer=self.labels.index(self.prediction.label),
            settled=self.settled_row,
        )

    def _beliefs(self) -> NDArray[np.float32]:
        if self.beliefs is None:
            raise InputError(f"{self.prediction.model} does not read row by row; its map is drawn by `png`")
        return self.beliefs


def explain(source: "Source", model: str | os.PathLike[str] | Classifier = shipped.DEFAULT) -> Explanation:
    """Says why a model reads a picture of one digit as it does.

    Args:
        source: a path, the bytes of a picture file, a binary stream, a Pillow image, or pixels: uint8 (H, W) grey,
            (H, W, 3) RGB or (H, W, 4) RGBA.
        model: a shipped name, the path of a bundle, or a classifier; by name and path it runs on the CPU.

    Raises:
        PictureError: the picture cannot be read, is blank, or shows several digits.
        InputError: an array that is no picture.
        BundleError: there is no such bundle, it cannot be used, or it lacks what its rows are computed with.
        ProviderError: onnxruntime failed, or is missing.
    """
    from edge.picture import preprocessing  # Pillow is not needed by those who bring arrays

    classifier = model if isinstance(model, Classifier) else load(model, provider="cpu")
    classifier.manifest.check_pictures()
    name = Path(os.fsdecode(source)).name if isinstance(source, str | os.PathLike) else "picture"
    seen = preprocessing.read_digit(source)
    return explain_image(seen.image, classifier, name, seen.likeness)


def explain_image(
    image: ArrayLike, classifier: Classifier, name: str = "picture", likeness: float = 0.0
) -> Explanation:
    """Says why a model answers as it does to a prepared image.

    Args:
        image: uint8 (28, 28) or (1, 28, 28), ink 255 on background 0.
        classifier: the model.
        name: of the picture, for what is drawn.
        likeness: what reading adds to its score.

    Raises:
        InputError: not exactly one image, or another shape or type.
        BundleError: the bundle does not carry what its rows are computed with.
        ProviderError: onnxruntime failed.
    """
    batch = as_batch(image)
    if len(batch) != 1:
        raise InputError(f"{len(batch)} images cannot be explained at once; give one, uint8 (28, 28)")
    prediction, labels = classifier.predictions(batch, (likeness,))[0], classifier.labels
    if not belief.is_recurrent(classifier.manifest):
        found = occlusion.measure(classifier, batch)
        return Explanation(name, batch[0], prediction, labels, occlusion=found)
    beliefs = belief.rows(classifier, batch)
    settled = belief.settled_row(beliefs, labels.index(prediction.label))
    return Explanation(name, batch[0], prediction, labels, beliefs, settled)


def _rounded(table: NDArray[np.float32]) -> list[list[float]]:
    return [[round(value, _DIGITS) for value in row] for row in table.tolist()]

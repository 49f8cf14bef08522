"""What a recurrent model believes after each row: its probabilities when it has read the first t rows and no more.

That is the network itself on a sequence of t rows, not a look inside the one that reads all 28: a bidirectional network
begins its way back at row t, and a stack of layers knows nothing of what is still to come.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.bundle import ort_format
from edge.bundle.input import COLUMNS
from edge.bundle.manifest import Manifest
from edge.classifier.classifier import Classifier
from edge.classifier.images import as_batch
from edge.classifier.softmax import softmax
from edge.errors import BundleError, InputError
from edge.session import session
from edge.text.table import percent

OUTPUT: Final = "row_logits"

BAR: Final = 16  # columns of a full belief
_LABEL: Final = 8  # columns of a label at most

# From no ink to full ink; two signs a pixel, because a terminal's cells are twice as high as wide.
_SHADES: Final = " ░▒▓█"
_ASCII_SHADES: Final = " .:+#"


def is_recurrent(manifest: Manifest) -> bool:
    """Whether the model is one of edge's that read a picture row by row."""
    return manifest.architecture.get("kind") == "recurrent"


def rows(classifier: Classifier, image: ArrayLike) -> NDArray[np.float32]:
    """The probabilities of the labels after each row.

    They are computed on the CPU, in floating point, whatever the classifier runs on: an int8 bundle's integer weights
    count, but not the rounding of its state, so that the last row differs a little from its `probabilities`.

    Args:
        classifier: of a recurrent model.
        image: uint8 (28, 28) or (1, 28, 28), ink 255 on background 0.

    Returns:
        float32 (28, classes), calibrated as the bundle's `probabilities`; row t is after the first t + 1 rows of the
        image. The columns follow `classifier.labels`.

    Raises:
        BundleError: the bundle does not carry what its rows are computed with.
        InputError: not exactly one image, or another shape or type.
        ProviderError: onnxruntime failed.
    """
    batch = as_batch(image)
    if len(batch) != 1:
        raise InputError(f"{len(batch)} images cannot be explained at once; give one, uint8 (28, 28)")
    manifest = classifier.manifest
    if (data := classifier.bundle.data_with_rows) is None:
        raise BundleError(_missing(manifest, in_ort_format=ort_format.is_ort(classifier.bundle.data)))
    running = session.create(data, provider="cpu", threads=1, manifest=manifest)
    (logits,) = running.fetch((OUTPUT,), batch)
    return softmax(logits.astype(np.float64) / manifest.temperature).astype(np.float32)


def settled_row(beliefs: NDArray[np.float32], answer: int) -> int | None:
    """The row, counted from 1, from which on the answer leads without interruption.

    Args:
        beliefs: float32 (rows, classes), as `rows` gives them.
        answer: column of the answer.

    Returns:
        None where another label leads after the last row: int8 arithmetic can decide a close call the other way.
    """
    elsewhere = np.flatnonzero(beliefs.argmax(axis=1) != answer)
    last = int(elsewhere[-1]) + 1 if len(elsewhere) else 0
    return None if last == len(beliefs) else last + 1


def lines(
    image: NDArray[np.uint8],
    beliefs: NDArray[np.float32],
    labels: Sequence[str],
    settled: int | None,
    *,
    unicode: bool = True,
) -> list[str]:
    """A line for each row: its number, its pixels, the leading label, its belief as a number and as a bar.

    Args:
        image: uint8 (28, 28), ink 255 on background 0.
        beliefs: float32 (28, classes), the probabilities after each row.
        labels: of the columns.
        settled: the row, from 1, from which on the answer leads; None where another one leads at the end.
        unicode: whether the terminal can show blocks; signs of ASCII otherwise.
    """
    left, right = _inked(image)
    shades, full = (_SHADES, "█") if unicode else (_ASCII_SHADES, "#")
    leaders = beliefs.argmax(axis=1)
    names = [label[:_LABEL] for label in labels]
    width = max(5, *(len(names[column]) for column in leaders.tolist()))
    lines = [f"row  {'':{2 * (right - left)}}  {'leads':{width}}  belief"]
    for row, (column, pixels) in enumerate(zip(leaders.tolist(), image[:, left:right].tolist(), strict=True), 1):
        ink = "".join(2 * shades[(level * len(shades) - 1) // 255 if level else 0] for level in pixels)
        belief = float(beliefs[row - 1, column])
        mark = "  <- settled" if row == settled else ""
        bar = full * round(BAR * belief)
        lines.append(f"{row:3}  {ink}  {names[column]:{width}}  {percent(belief):>8}  {bar:{BAR}}{mark}".rstrip())
    return lines


def settlement(settled: int | None, label: str, leader: str) -> str:
    """The row after which the answer no longer changes, in a sentence.

    Args:
        settled: the row, from 1; None where another label leads at the end.
        label: the model's answer.
        leader: the label that leads after the last row.
    """
    if settled is None:
        return f"a close call: in floating point {leader} leads after the last row, in the bundle's integers {label}"
    if settled == 1:
        return f"{label} leads from the first row on"
    return f"after row {settled} the answer no longer changes: {label}"


def _missing(manifest: Manifest, *, in_ort_format: bool) -> str:
    if not is_recurrent(manifest):
        return f"{manifest.name} does not read row by row; `edge explain` draws its occlusion map instead"
    if in_ort_format:
        return f"{manifest.name} in ORT format cannot be read row by row; explain the bundle that it was made from"
    option = "" if manifest.precision == "fp32" else f" --precision {manifest.precision}"
    return (
        f"{manifest.name} was packed without its rows, by an older edge; export it again with "
        f"`edge export --model {manifest.model}{option}`"
    )


def _inked(image: NDArray[np.uint8]) -> tuple[int, int]:
    """The first column with ink and the one behind the last, with one to spare on each side."""
    columns = np.flatnonzero(image.any(axis=0))
    if not len(columns):
        return 0, COLUMNS
    return max(0, int(columns[0]) - 1), min(COLUMNS, int(columns[-1]) + 2)

"""The flip sheet: the pictures whose label changed, for people to judge what int8 costs."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_export.parity.parity import Logits, Reference, margins
from edge_train.data.sheet import contact_sheet

COLUMNS = 8
SCALE = 4


def flip_sheet(reference: Reference, logits: Logits, indices: NDArray[np.int64], labels: Sequence[str]) -> bytes:
    """A PNG with each flipped picture, both answers and how narrowly each was decided.

    Args:
        reference: PyTorch's answers.
        logits: float32 (N, classes), the other model's, of the same pictures.
        indices: which pictures flipped, at least one.
        labels: names of the classes.
    """
    before, after = reference.logits[indices], logits[indices]
    truth = [f"is {labels[label]}\n" for label in reference.split.labels[indices]] if reference.labelled else None
    captions = [
        f"{what}torch {labels[old]}  +{old_margin:.2f}\nnow {labels[new]}  +{new_margin:.2f}"
        for what, old, old_margin, new, new_margin in zip(
            truth or [""] * len(indices), before.argmax(1), margins(before), after.argmax(1), margins(after),
            strict=True,
        )
    ]  # fmt: skip
    buffer = io.BytesIO()
    sheet = contact_sheet(reference.split.images[indices], captions, columns=COLUMNS, scale=SCALE)
    sheet.save(buffer, "PNG")
    return buffer.getvalue()

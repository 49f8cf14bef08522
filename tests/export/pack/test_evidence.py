"""The evidence that an export packs."""

import numpy as np

from edge.bundle.input import DIGITS
from edge_export.model.trained_model import TrainedModel
from edge_export.pack import packing


def test_a_digit_that_the_packed_graph_reads_otherwise_is_no_evidence(lstm):
    """`edge verify` lets no digit flip, and a bundle must not fail by what its own parity allowed."""
    trained = TrainedModel("lstm", "lstm", lstm.model(), 10, DIGITS, {"kind": "recurrent"}, "0" * 64)
    images, kinds = packing.golden_images()
    expected = packing.exact_logits(trained.module, images)
    changed = images[3]

    def run(pictures):
        by_content = {image.tobytes(): logits for image, logits in zip(images, expected, strict=True)}
        logits = np.array([by_content[picture.tobytes()] for picture in pictures], np.float32)
        for index, picture in enumerate(pictures):
            if np.array_equal(picture, changed):
                logits[index] = np.roll(logits[index], 1)
        return logits, logits

    evidence = packing.evidence(trained, "int8", run)
    assert packing.left_out(evidence) == 1
    assert evidence.kinds == tuple(kind for at, kind in enumerate(kinds) if at != 3)
    assert not any(np.array_equal(image, changed) for image in evidence.images)
    np.testing.assert_array_equal(evidence.logits, np.delete(expected, 3, 0))
    assert max(evidence.limits) < np.abs(np.roll(expected[3], 1) - expected[3]).max()

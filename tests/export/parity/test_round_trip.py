"""The packed bundle through files: only pictures that a 28x28 file stands for bit for bit."""

import numpy as np

from edge_export.graph import session
from edge_export.model import trained_model
from edge_export.pack import packing
from edge_export.parity import comparison, round_trip
from edge_train.data.splits import Split
from edge_train.models.specification import Recurrent
from edge_train.training import checkpoint


def test_pictures_that_fill_their_frame_are_compared_as_tensors_only(drawn, digits, tmp_path):
    images = digits.images[:6].copy()
    images[[1, 4]] = np.maximum(images[[1, 4]], 90)  # a coat to the edges: as a file it would pass for a photograph
    assert round_trip._as_files(images).tolist() == [0, 2, 3, 5]
    rows = compare(drawn, Split("coats-validation", images, digits.labels[:6]), tmp_path)
    assert [(row.stage, row.images) for row in rows] == [("runtime", 6), ("PNG file", 4)]


def test_where_no_picture_can_be_a_file_the_tensors_still_count(drawn, digits, tmp_path):
    rows = compare(drawn, Split("coats-validation", np.maximum(digits.images[:3], 90), digits.labels[:3]), tmp_path)
    assert [(row.stage, row.images) for row in rows] == [("runtime", 3)]


def compare(drawn, split: Split, folder) -> list[comparison.ParityRow]:
    """The rows of a small bundle on these pictures."""
    path = folder / "gru-6.safetensors"
    checkpoint.save(path, drawn(Recurrent("gru", hidden=6), name="gru-6"))
    chosen = trained_model.find(None, path, None)
    model = chosen.convert().model
    running = session.open_session(model)
    facts = packing.manifest(chosen, model=model, precision="fp32", quantised=None, cpu_only=False, accuracy=())
    proof = packing.evidence(chosen, "fp32", lambda images: session.run(running, images, len(images)))
    reference = comparison.reference(chosen.module, split, packing.extreme_images()[0], temperature=chosen.temperature)
    return round_trip.compare(packing.pack(model, facts, proof), "fp32", reference)

"""The logits after each row: PyTorch's on as many rows, read by a piece of graph that holds no weight of its own."""

import dataclasses

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, numpy_helper

from edge.bundle import bundle
from edge.bundle.input import DIGITS
from edge.classifier import classifier
from edge.explanation import belief
from edge_export.graph import session
from edge_export.graph.builder import IMAGE, Converted
from edge_export.model import trained_model
from edge_export.pack import row_logits
from edge_export.parity.comparison import ParityError
from edge_train.models.specification import Recurrent

KINDS = ["lstm", "bilstm", "bilstm-2", "gru", "bigru-2", "rnn", "rnn-relu", "birnn-relu-2"]
CANDIDATES = [
    (kind, candidate)
    for kind in KINDS
    for candidate in ("weight-only", "dynamic-lstm", "stepped", "branched")
    if candidate != "dynamic-lstm" or "lstm" in kind
]
# As in the tests of each form of int8: 7 bits are 1/63 of the largest number in each product.
TOLERANCE_INT8 = 0.05


def truncated(model: torch.nn.Module, image: np.ndarray) -> np.ndarray:
    """PyTorch's logits of the first 1, 2, ... 28 rows, as sequences of that length."""
    pixels = torch.from_numpy(image.copy()).float()[None] / 255
    with torch.no_grad():
        return np.concatenate([model(pixels[:, :count]).numpy() for count in range(1, 29)])


def appended(model: ModelProto, piece: bytes) -> ModelProto:
    return onnx.load_from_string(model.SerializeToString() + piece)


def row_logits_of(model: ModelProto, piece: bytes, images: np.ndarray) -> list[np.ndarray]:
    running = session.open_session(appended(model, piece))
    return [running.run([belief.OUTPUT], {IMAGE: image[None]})[0] for image in images]


def carried(piece: bytes) -> dict[str, np.ndarray]:
    """The constants in a piece, without those that are about rows."""
    graph = onnx.load_from_string(piece).graph
    arrays = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    return {name: array for name, array in arrays.items() if name not in ("r.lengths", "r.shape")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.sampled(4)
def test_each_row_says_what_pytorch_says_of_so_many_rows(kind, converted, digits):
    stored, graph = converted(kind)
    piece = row_logits.fragment(graph.model, graph.model)
    images = digits.images[:3]
    for image, found in zip(images, row_logits_of(graph.model, piece, images), strict=True):
        np.testing.assert_allclose(found, truncated(stored.model(), image), atol=2e-5)


@pytest.mark.parametrize(("kind", "candidate"), CANDIDATES)
@pytest.mark.sampled(6)
def test_each_row_of_an_int8_bundle_says_it_within_the_rounding(kind, candidate, converted, quantised, digits):
    model = converted(kind)[0].model()
    one = quantised(kind, candidate)
    piece = row_logits.fragment(one.model, one.dequantised)
    images = digits.images[:2]
    for image, found in zip(images, row_logits_of(one.model, piece, images), strict=True):
        expected = truncated(model, image)
        assert np.abs(found - expected).max() < TOLERANCE_INT8 * np.abs(expected).max()
        assert not np.array_equal(found, expected), "rows from fp32 weights are not an int8 bundle's"


@pytest.mark.parametrize("kind", KINDS)
def test_the_fp32_piece_holds_no_weight(kind, converted):
    model = converted(kind)[1].model
    piece = row_logits.fragment(model, model)
    assert not carried(piece)
    assert len(piece) < 1000


@pytest.mark.parametrize(("kind", "candidate"), CANDIDATES)
def test_the_int8_piece_holds_biases_at_most(kind, candidate, quantised):
    one = quantised(kind, candidate)
    arrays = carried(row_logits.fragment(one.model, one.dequantised))
    assert all(array.dtype != np.int8 for array in arrays.values())
    biases = {array.size for array in arrays.values() if array.dtype == np.float32 and array.ndim == 2}
    if candidate == "stepped":
        assert biases, "its own biases are corrected for the zero of its state"
    else:
        assert not biases


@pytest.mark.parametrize(("kind", "candidate"), CANDIDATES)
@pytest.mark.sampled(6)
def test_a_model_with_the_piece_is_valid_and_answers_as_before(kind, candidate, quantised, digits):
    one = quantised(kind, candidate)
    both = appended(one.model, row_logits.fragment(one.model, one.dequantised))
    onnx.checker.check_model(both)
    image = digits.images[:1]
    np.testing.assert_array_equal(
        session.run(session.open_session(both), image, 1), session.run(session.open_session(one.model), image, 1)
    )


@pytest.mark.represented(name=("lstm", "rnn"))
@pytest.mark.parametrize(("name", "precision"), [("lstm", "fp32"), ("gru", "fp16"), ("gru", "int8"), ("rnn", "int8")])
def test_an_export_of_a_recurrent_model_carries_its_rows(name, precision, stored, export, digits):
    one = dataclasses.replace(stored[name], temperature=2.5)
    exported = export(one, precision=precision)
    loaded = classifier.load(exported.path, provider="cpu")
    image = digits.images[0]
    beliefs = belief.rows(loaded, image)
    expected = torch.softmax(torch.from_numpy(truncated(one.model(), image)).double() / 2.5, 1).numpy()
    np.testing.assert_allclose(beliefs, expected, atol={"fp32": 1e-6, "fp16": 2e-3, "int8": 2e-2}[precision])
    np.testing.assert_allclose(beliefs[-1], loaded.classify(image)[0], atol=1e-6 if precision == "fp32" else 2e-2)


def test_an_export_of_another_model_carries_none(exported):
    assert bundle.read(exported("cnn").path).rows_base64 is None


def test_of_somebody_s_own_model_no_rows_are_known(converted):
    own = trained_model.TrainedModel("own", "own:make", torch.nn.LSTM(28, 10), 10, DIGITS, {"kind": "own"}, "0" * 64)
    assert row_logits.of(own, converted("lstm")[1].model, None) is None


def test_rows_that_end_elsewhere_are_refused_and_nothing_is_written(drawn, export, tmp_path, monkeypatch):
    real = row_logits.fragment

    def one_row_less(model: ModelProto, dequantised: ModelProto) -> bytes:
        piece = onnx.load_from_string(real(model, dequantised))
        piece.graph.initializer[0].int32_data[-1] = 27
        return piece.SerializeToString()

    monkeypatch.setattr(row_logits, "fragment", one_row_less)
    with pytest.raises(ParityError, match=r"the rows of lstm end .* off its logits on the golden image stroke 8"):
        export(drawn(Recurrent("lstm", hidden=10), name="lstm"))
    assert not (tmp_path / "out").exists()


def test_the_same_graph_gives_the_same_piece(converted):
    graph: Converted = converted("bigru-2")[1]
    assert row_logits.fragment(graph.model, graph.model) == row_logits.fragment(graph.model, graph.model)

"""Row by row in integers: PyTorch's answers at every batch size, and exact products on the processor at hand."""

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from edge_export.graph import conversion, form, session
from edge_export.int8 import candidates
from edge_export.int8.processors import PROFILES
from edge_export.int8.recurrent import forms, quantised_layers, scan
from edge_train.models.specification import Recurrent
from edge_train.training.evaluation import logits_of

# 7 bits are 1/63 of the largest number in each product; over 28 steps and two layers errors partly cancel.
TOLERANCE = 0.05


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.abs(found - expected).max() < TOLERANCE * np.abs(expected).max())


def with_bits(model: onnx.ModelProto, images: np.ndarray, bits: int) -> onnx.ModelProto:
    """The model row by row, with weights of that many bits."""
    stack = quantised_layers.calibrate_stack(model, images)
    layers = quantised_layers.quantise_layers(stack, bits)

    def write(builder, layers, features):
        scan.write_batch_size(builder)
        scan.write(builder, builder, layers, features)

    written = forms.replace_layers(stack, layers, write)
    written.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return written


@pytest.mark.sampled(3)
def test_it_says_what_pytorch_says_at_every_batch_size(kind, quantised, converted, digits, answers):
    expected = logits_of(converted(kind)[0].model(), digits.images)
    found = answers(quantised(kind, "stepped").model, digits.images)
    assert close(found, expected)
    assert not np.array_equal(found, expected), "int8 that changes nothing is no int8"


def test_one_picture_says_the_same_whatever_stands_beside_it(kind, quantised, digits):
    running = session.open_session(quantised(kind, "stepped").model)
    alone = session.run(running, digits.images[:1], 1)[0]
    beside = session.run(running, np.concatenate([digits.images[:1], np.full((4, 28, 28), 255, np.uint8)]), 5)[0]
    np.testing.assert_allclose(beside[:1], alone, atol=1e-5)


def test_the_graph_is_valid(kind, quantised, operators):
    model = quantised(kind, "stepped").model
    onnx.checker.check_model(model)
    form.check_form(model, classes=10, lean=False)
    layers = 2 if kind in ("lstm", "gru", "rnn-relu") or kind.endswith("-2") else 1
    assert operators(model)["Scan"] == layers * (2 if kind.startswith("bi") else 1)
    assert not set(operators(model)) & {"LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"}


def test_every_product_of_a_step_is_an_integer_product(kind, quantised):
    for node in quantised(kind, "stepped").model.graph.node:
        if node.op_type != "Scan":
            continue
        body = next(one.g for one in node.attribute if one.name == "body")
        products = {one.op_type for one in body.node} & {"MatMul", "Gemm", "MatMulIntegerToFloat", "MatMulInteger"}
        assert products == {scan.PRODUCT_OPERATOR}


def uniform(checkpoint, size: float):
    """The checkpoint with weights of one size and sign in every row, so that all of them round to the largest integer.

    A pixel is worth 1/255 and a step of a state 1/127: in these proportions no weight is larger than another.
    """
    for name, tensor in checkpoint.weights.items():
        if "recurrent.weight" in name:
            signs = torch.where(torch.arange(len(tensor)) % 2 == 0, 1.0, -1.0)[:, None]
            tensor.copy_(signs * size * (1.0 if "_ih" in name else 127 / 255))
        elif "recurrent.bias" in name:
            tensor.zero_()
    return checkpoint


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn-tanh", "rnn-relu"])
@pytest.mark.parametrize("candidate", ["stepped", "branched"])
@pytest.mark.sampled(3)
def test_products_at_their_extremes_do_not_saturate_on_this_processor(cell, candidate, drawn):
    """Every weight at its largest and every pixel at 255: half of each sum would be lost in 16 bits."""
    checkpoint = uniform(drawn(Recurrent(cell, hidden=16)), 0.8 / 28)
    model = conversion.convert(checkpoint).model
    images = np.stack([np.full((28, 28), level, np.uint8) for level in (0, 60, 120, 200, 255)])
    built = candidates.build(model, images, PROFILES["any"], candidate)[candidate].model
    weights = next(one for one in built.graph.initializer if one.name.endswith(".weights"))
    largest = np.abs(onnx.numpy_helper.to_array(weights).astype(int))
    if cell != "rnn-relu":  # whose states have their own scale
        assert (largest >= largest.max() - 1).all()
    expected = logits_of(checkpoint.model(), images)
    for batch in (1, 5):
        found = session.run(session.open_session(built), np.tile(images, (8, 1, 1)), 8 * batch)[0]
        assert np.abs(found - np.tile(expected, (8, 1))).max() < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize("bits", [7, 8])
def test_the_integers_are_the_largest_of_their_bits_and_no_larger(bits, converted, digits, arrays):
    model = with_bits(converted("gru")[1].model, digits.images, bits)
    for name, array in arrays(model).items():
        if name.startswith("recurrent"):
            assert array.dtype != np.int8 or np.abs(array.astype(int)).max() == {7: 63, 8: 127}[bits]


def test_inputs_and_state_of_rectified_layers_have_a_scale_each(quantised, arrays):
    rectified, bounded = (set(arrays(quantised(kind, "stepped").model)) for kind in ("rnn-relu", "rnn"))
    assert {"recurrent.0.input_scale", "recurrent.0.state_scale"} <= rectified
    assert "recurrent.0.weights_scale" in bounded
    assert "recurrent.0.state_scale" not in bounded


def test_the_features_of_a_rectified_layer_are_scaled_back(quantised, operators):
    assert (
        operators(quantised("rnn-relu", "stepped").model)["Mul"] > operators(quantised("rnn", "stepped").model)["Mul"]
    )

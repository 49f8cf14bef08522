"""Static int8: channels that are balanced first, int8 on both sides of a product, ranges from calibration images."""

import logging
from logging.handlers import QueueHandler
from queue import SimpleQueue

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edge_export.graph import conversion, session
from edge_export.int8.convolutional.static_qdq import equalise, quantise_statically
from edge_train.models.specification import Convolutional, Recurrent

CHAINS = [
    "conv5x6 relu conv3x8 relu flatten linear10",
    "conv5x6 bn relu pool conv3x8 bn relu average conv3x4 flatten linear10",
    "conv3x4 conv3x4 conv3x4 relu flatten linear10",
    "conv5x6 relu pool conv3x8 relu pool conv1x10 average average flatten",
]


def arrays(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}


def logits(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    return session.run(session.open_session(model), images, 17)[0]


def unbalanced(stored, first: str = "chain.0", second: str = "chain.2"):
    """Channels from 1/100 to 100 times as large after one convolution, undone in the next."""
    factor = torch.logspace(-2, 2, len(stored.weights[f"{first}.bias"]))
    stored.weights[f"{first}.weight"] *= factor.reshape(-1, 1, 1, 1)
    stored.weights[f"{first}.bias"] *= factor
    stored.weights[f"{second}.weight"] /= factor.reshape(1, -1, 1, 1)
    return stored


@pytest.mark.parametrize("chain", CHAINS)
def test_it_changes_weights_but_no_answer(chain, drawn, images):
    model = conversion.convert(drawn(Convolutional(chain), gains="positive")).model
    equal = equalise(model, images)
    assert equal != model
    expected = logits(model, images)
    np.testing.assert_allclose(logits(equal, images), expected, atol=1e-4 * max(1, np.abs(expected).max()))
    onnx.checker.check_model(equal, full_check=True)


def test_channels_of_very_different_size_become_alike(drawn, images):
    model = conversion.convert(unbalanced(drawn(Convolutional(CHAINS[0])))).model
    equal = equalise(model, images)

    def spread(one: onnx.ModelProto) -> float:
        largest = np.abs(arrays(one)["chain.0.weight"]).max(axis=(1, 2, 3))
        return float(largest.max() / largest.min())

    assert spread(model) > 1000
    assert spread(equal) < 100
    np.testing.assert_allclose(logits(equal, images), logits(model, images), atol=1e-4)


def test_a_channel_that_is_always_empty_is_not_scaled_beyond_measure(drawn, images):
    stored = drawn(Convolutional(CHAINS[0]))
    stored.weights["chain.0.weight"][1] = 0
    stored.weights["chain.0.bias"][1] = -1  # the ReLU that follows leaves nothing of it
    model = conversion.convert(stored).model
    equal = equalise(model, images)
    assert all(np.isfinite(array).all() for array in arrays(equal).values())
    np.testing.assert_allclose(logits(equal, images), logits(model, images), atol=1e-4)


def test_scaled_tensors_are_no_longer_called_as_in_pytorch(drawn, images):
    model = conversion.convert(drawn(Convolutional(CHAINS[0]))).model
    outputs = [output for node in equalise(model, images).graph.node for output in node.output]
    assert "chain.0.output" not in outputs
    assert "chain.0.output.equalised" in outputs
    assert {"chain.2.output", "logits", "probabilities"} <= set(outputs)


def test_the_callers_model_stays_as_it_was(drawn, images):
    model = conversion.convert(drawn(Convolutional(CHAINS[0]))).model
    before = model.SerializeToString(deterministic=True)
    equalise(model, images)
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    "sizes",
    [
        Recurrent("lstm", hidden=4),
        Convolutional("flatten linear10"),
        Convolutional("conv5x4 relu flatten linear10"),
        Convolutional("conv5x4 relu bn pool relu conv3x4 flatten linear10"),  # a norm in between that stays
    ],
)
def test_without_a_pair_of_convolutions_nothing_happens(sizes, drawn, images):
    model = conversion.convert(drawn(sizes)).model
    assert equalise(model, images) == model


def two_convolutions(*, second: str = "second", group: int = 1, both: bool = False) -> onnx.ModelProto:
    """Somebody's own network of two convolutions; `second` names the weights of the second one."""
    random = np.random.default_rng(8)
    middle = 4 * group
    weights = {
        "lift": random.normal(size=(4, 1, 3, 3)) / 255,
        "lift_bias": random.normal(size=4),
        "first": random.normal(size=(4, 4, 3, 3)),
        "first_bias": random.normal(size=4),
        "second": random.normal(size=(middle, 4 // group, 3, 3)),
        "second_bias": random.normal(size=middle),
        "head": random.normal(size=(middle, 10)) / 100,
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=1),
        helper.make_node("Unsqueeze", ["pixels", "channel"], ["picture"]),
        helper.make_node("Conv", ["picture", "lift", "lift_bias"], ["lifted"]),
        helper.make_node("Tanh", ["lifted"], ["lifted_tanh"]),
        helper.make_node("Conv", ["lifted_tanh", "first", "first_bias"], ["one"]),
        helper.make_node("Relu", ["one"], ["one_relu"]),
        helper.make_node("Conv", ["one_relu", second, f"{second}_bias"], ["two"], group=group),
        helper.make_node("ReduceMean", ["two"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["mean", "head"], ["scores"]),
        helper.make_node("ReduceMean", ["one_relu"], ["side"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["side", "channel"], ["column"]),
        helper.make_node("Add", ["scores", "column" if both else "zero"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    if not both:
        del nodes[9:11]
    initialisers = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    initialisers += [
        numpy_helper.from_array(np.array([1], np.int64), "channel"),
        numpy_helper.from_array(np.zeros(10, np.float32), "zero"),
    ]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "own",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 28, 28])],
            [helper.make_tensor_value_info(name, 1, ["batch", 10]) for name in ("logits", "probabilities")],
            initialisers,
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=7,
    )


def test_two_convolutions_of_its_own_are_a_pair(images):
    model = two_convolutions()
    equal = equalise(model, images)
    assert not np.array_equal(arrays(equal)["first"], arrays(model)["first"])
    expected = logits(model, images)
    np.testing.assert_allclose(logits(equal, images), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    "form",
    [{"second": "first"}, {"group": 4}, {"both": True}],
    ids=["both convolutions share their weights", "a grouped convolution", "somebody else reads the tensor between"],
)
def test_where_a_channel_has_no_scale_of_its_own_nothing_is_scaled(form, images):
    model = two_convolutions(**form)
    assert equalise(model, images) == model


# --- the stock quantiser ---


def sides(model: onnx.ModelProto) -> list[bool]:
    """For each layer with weights, whether both its factors are int8."""
    makers = {output: node.op_type for node in model.graph.node for output in node.output}
    products = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    return [{makers.get(name) for name in node.input[:2]} == {"DequantizeLinear"} for node in products]


@pytest.mark.parametrize(("kind", "products"), [("cnn", [True] * 4), ("mlp", [True, False])])
def test_products_have_int8_on_both_sides_except_in_a_small_last_layer(kind, products, quantised):
    assert sides(quantised(kind, "static-qdq").model) == products


def test_a_last_layer_with_much_of_the_weights_is_int8_too(drawn, digits):
    one = drawn(Convolutional("conv5x4 relu flatten linear10"))
    assert sides(quantise_statically(conversion.convert(one).model, digits.images, 7)) == [True, True]


def test_every_output_channel_has_its_own_scale(quantised, arrays):
    constants = arrays(quantised("cnn", "static-qdq").model)
    kernels = {name: array for name, array in constants.items() if array.dtype == np.int8 and array.ndim == 4}
    assert kernels
    for name, array in kernels.items():
        assert constants[name.replace("_quantized", "_scale")].shape == (len(array),)


def test_calibration_data_decide_the_ranges(converted, digits):
    model = converted("cnn")[1].model
    assert quantise_statically(model, digits.images // 8, 7) != quantise_statically(model, digits.images, 7)


@pytest.mark.parametrize("bits", [7, 8])
def test_the_weights_have_as_many_bits_as_asked_for(bits, converted, digits, arrays):
    found = quantise_statically(converted("cnn")[1].model, digits.images, bits)
    largest = {
        np.abs(array.astype(int)).max()
        for array in arrays(found).values()
        if array.dtype == np.int8 and array.size > 100
    }
    assert largest <= ({63, 64} if bits == 7 else {127})


def test_the_stock_quantiser_gives_no_advice_to_the_user(converted, digits, capfd):
    advice = QueueHandler(SimpleQueue())
    logging.getLogger().addHandler(advice)
    try:
        quantise_statically(converted("mlp")[1].model, digits.images, 7)
    finally:
        logging.getLogger().removeHandler(advice)
    assert advice.queue.empty()
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("count", [1, 7, 130])
def test_any_number_of_calibration_images_will_do(count, converted, digits):
    images = np.resize(digits.images, (count, 28, 28))
    onnx.checker.check_model(quantise_statically(converted("mlp")[1].model, images, 7))


def test_nothing_of_how_it_was_made_is_left_in_the_model(converted, digits):
    found = quantise_statically(converted("mlp")[1].model, digits.images, 7)
    assert not found.metadata_props
    assert (found.ir_version, found.opset_import[0].version) == (7, 13)

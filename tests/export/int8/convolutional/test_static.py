"""Static int8: products with int8 on both sides, ranges from calibration images, and a small last layer left alone."""

import numpy as np
import onnx
import pytest

from edge_export.graph import conversion
from edge_export.int8.convolutional.static import static
from edge_train.models.specification import Convolutional


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
    assert sides(static(conversion.convert(one).model, digits.images, 7)) == [True, True]


def test_every_output_channel_has_its_own_scale(quantised, arrays):
    constants = arrays(quantised("cnn", "static-qdq").model)
    kernels = {name: array for name, array in constants.items() if array.dtype == np.int8 and array.ndim == 4}
    assert kernels
    for name, array in kernels.items():
        assert constants[name.replace("_quantized", "_scale")].shape == (len(array),)


def test_calibration_data_decide_the_ranges(converted, digits):
    model = converted("cnn")[1].model
    assert static(model, digits.images // 8, 7) != static(model, digits.images, 7)


@pytest.mark.parametrize("bits", [7, 8])
def test_the_weights_have_as_many_bits_as_asked_for(bits, converted, digits, arrays):
    found = static(converted("cnn")[1].model, digits.images, bits)
    largest = {
        np.abs(array.astype(int)).max()
        for array in arrays(found).values()
        if array.dtype == np.int8 and array.size > 100
    }
    assert largest <= ({63, 64} if bits == 7 else {127})


def test_the_stock_quantiser_gives_no_advice_to_the_user(converted, digits, caplog, capfd):
    static(converted("mlp")[1].model, digits.images, 7)
    assert not caplog.records
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("count", [1, 7, 130])
def test_any_number_of_calibration_images_will_do(count, converted, digits):
    images = np.resize(digits.images, (count, 28, 28))
    onnx.checker.check_model(static(converted("mlp")[1].model, images, 7))


def test_nothing_of_how_it_was_made_is_left_in_the_model(converted, digits):
    found = static(converted("mlp")[1].model, digits.images, 7)
    assert not found.metadata_props
    assert (found.ir_version, found.opset_import[0].version) == (7, 13)

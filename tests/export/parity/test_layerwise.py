"""Where a difference begins: the layer, and the step, that was damaged is the one that is named."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from edge_export.graph import conversion, exporters, fp16, recurrent_graph
from edge_export.parity import layerwise
from edge_export.parity.tolerances import TOLERANCES
from edge_train.models.specification import Convolutional, Recurrent

FP32 = TOLERANCES["fp32"].logit_error


def damaged(model: onnx.ModelProto, name: str, by: float = 0.2) -> onnx.ModelProto:
    """The graph with noise on one of its weights."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    (weight,) = [one for one in copy.graph.initializer if one.name == name]
    array = numpy_helper.to_array(weight)
    noise = np.random.default_rng(0).normal(size=array.shape) * by * max(1e-3, float(np.abs(array).max()))
    weight.CopyFrom(numpy_helper.from_array((array + noise).astype(array.dtype), name))
    return copy


def first(stored, model, images, *, budget=FP32, taps=None):
    taps = conversion.convert(stored).taps if taps is None else taps
    return layerwise.first_excess(stored.model(), model, taps, images, budget=budget)


@pytest.mark.parametrize("kind", ["lstm", "bilstm", "gru", "rnn", "rnn-relu", "cnn", "mlp"])
def test_an_intact_graph_exceeds_nothing(kind, converted, images):
    stored, one = converted(kind)
    assert first(stored, one.model, images) is None


@pytest.mark.parametrize(
    ("weight", "layer", "step"),
    [
        ("recurrent.0.W", "recurrent layer 0", 0),
        ("recurrent.0.B", "recurrent layer 0", 0),
        ("recurrent.0.R", "recurrent layer 0", 1),  # the first step starts from zeros, which hide it
        ("recurrent.1.W", "recurrent layer 1", 0),
        ("recurrent.1.R", "recurrent layer 1", 1),
        ("head.weight", "head", None),
        ("head.bias", "head", None),
    ],
)
@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.sampled(6)
def test_a_damaged_weight_of_a_recurrent_model_is_found_in_its_layer_and_step(
    *, kind, weight, layer, step, converted, images
):
    stored, one = converted(kind)
    excess = first(stored, damaged(one.model, weight), images)
    assert (excess.layer, excess.step) == (layer, step)
    assert excess.error > excess.share > 0


def test_the_backward_direction_is_compared_too(converted, images):
    stored, one = converted("bilstm")
    copy = onnx.ModelProto()
    copy.CopyFrom(one.model)
    weight = next(entry for entry in copy.graph.initializer if entry.name == "recurrent.0.W")
    array = numpy_helper.to_array(weight).copy()
    array[1] *= 1.5
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    assert first(stored, copy, images).layer == "recurrent layer 0"


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_swapped_gates_show_at_the_first_step_of_the_first_layer(cell, drawn, images, monkeypatch):
    stored = drawn(Recurrent(cell, hidden=8, layers=2))
    monkeypatch.setitem(recurrent_graph._GATE_ORDER, cell, tuple(range(len(recurrent_graph._GATE_ORDER[cell]))))
    excess = first(stored, conversion.convert(stored).model, images)
    assert str(excess).startswith("first at recurrent layer 0, step 0: error ")
    assert "its share is" in str(excess)


@pytest.mark.parametrize(
    ("weight", "layer"),
    [
        ("chain.1.weight", "chain.1"),  # conv and the norm behind it are one convolution, called by its last layer
        ("chain.4.bias", "chain.4"),
        ("chain.7.weight", "chain.7"),  # the norm in front of it is folded into it
        ("chain.9.mean", "chain.9"),
        ("chain.11.weight", "chain.11"),
    ],
)
def test_a_damaged_weight_of_a_cnn_is_found_in_its_layer(weight, layer, cnn, images):
    model = conversion.convert(cnn).model
    excess = first(cnn, damaged(model, weight), images)
    assert (excess.layer, excess.step) == (layer, None)


def test_a_damaged_weight_is_found_without_folding_too(cnn, images):
    one = conversion.convert(cnn, fold_forward=False)
    assert first(cnn, damaged(one.model, "chain.6.shift"), images, taps=one.taps).layer == "chain.6"


@pytest.mark.parametrize(
    ("kind", "candidate"),
    [
        ("lstm", "dynamic-lstm"),
        ("lstm", "branched"),
        ("gru", "weight-only"),
        ("gru", "stepped"),
        ("rnn-relu", "weight-only"),
        ("cnn", "static-qdq"),
        ("mlp", "static-qdq"),
    ],
)
def test_int8_as_it_should_be_exceeds_nothing(kind, candidate, converted, quantised, digits):
    stored, one = converted(kind)
    model = quantised(kind, candidate).model
    assert first(stored, model, digits.images, budget=None, taps=one.taps) is None


@pytest.mark.parametrize(
    ("kind", "candidate", "scale", "layer"),
    [
        ("lstm", "dynamic-lstm", "recurrent.1.weights_scale", "recurrent layer 1"),
        ("gru", "weight-only", "recurrent.1.weights_scale", "recurrent layer 1"),
        ("gru", "weight-only", "head.weight_scale", "head"),
    ],
)
def test_a_wrong_scale_of_int8_is_found(*, kind, candidate, scale, layer, converted, quantised, digits):
    stored, _ = converted(kind)
    model = damaged(quantised(kind, candidate).model, scale, by=3.0)
    assert first(stored, model, digits.images, budget=None).layer == layer


@pytest.mark.parametrize(
    ("kind", "candidate", "scale"),
    [
        ("rnn-relu", "weight-only", "recurrent.1.state_scale"),  # its states are scaled: nothing to compare
        ("gru", "stepped", "recurrent.1.weights_scale"),  # row by row there is no tensor of all states
    ],
)
def test_a_layer_that_cannot_be_seen_is_not_blamed_on_the_next_one(
    *, kind, candidate, scale, converted, quantised, digits
):
    stored, _ = converted(kind)
    model = damaged(quantised(kind, candidate).model, scale, by=3.0)
    assert first(stored, model, digits.images, budget=None) is None


@pytest.mark.parametrize("kind", ["lstm", "cnn"])
def test_fp16_is_compared_in_its_own_type(kind, converted, images):
    stored, one = converted(kind)
    model = fp16.to_fp16(one.model)
    assert first(stored, model, images, budget=TOLERANCES["fp16"].logit_error) is None
    weight = {"lstm": "recurrent.1.W", "cnn": "chain.7.weight"}[kind]
    excess = first(stored, damaged(model, weight), images, budget=TOLERANCES["fp16"].logit_error)
    assert excess.layer == {"lstm": "recurrent layer 1", "cnn": "chain.7"}[kind]


def test_taps_that_were_optimised_away_are_passed_over(drawn, images):
    stored = drawn(Convolutional("flatten linear10"))
    one = conversion.convert(stored)
    assert layerwise.first_excess(stored.model(), one.model, (), images, budget=FP32) is None


def test_nan_is_an_excess(converted, images):
    stored, one = converted("lstm")
    copy = onnx.ModelProto()
    copy.CopyFrom(one.model)
    weight = next(entry for entry in copy.graph.initializer if entry.name == "recurrent.1.B")
    weight.CopyFrom(numpy_helper.from_array(np.full((1, 96), np.nan, np.float32), weight.name))
    assert first(stored, copy, images).layer == "recurrent layer 1"


class InPlace(nn.Module):
    """Somebody's network, whose activations overwrite what the layer before them put out."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(1, 3, 5)
        self.two = nn.Conv2d(3, 4, 5)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(4 * 20 * 20, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        pixels = self.act(self.one(pixels.unsqueeze(1)))
        return self.head(self.act(self.two(pixels)).flatten(1))


def test_a_layer_is_compared_before_the_next_one_works_in_place(images):
    torch.manual_seed(5)
    module = InPlace().eval()
    one = exporters.convert(module, classes=10, temperature=1.0)
    assert layerwise.first_excess(module, one.model, one.taps, images, budget=FP32) is None
    excess = layerwise.first_excess(module, damaged(one.model, "model.two.weight"), one.taps, images, budget=FP32)
    assert excess.layer == "two"


def test_looking_leaves_no_hooks_behind(converted, images):
    module = converted("lstm")[0].model()
    layerwise.layer_outputs(module, images)
    assert not any(layer._forward_hooks for layer in module.modules())


def test_the_layers_outputs_are_laid_out_as_in_onnx(converted, images):
    outputs = layerwise.layer_outputs(converted("bilstm")[0].model(), images)
    assert outputs["recurrent layer 0"].shape == (28, 2, len(images), 10)
    assert outputs["head"].shape == (len(images), 10)

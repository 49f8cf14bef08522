"""Where a difference begins: the layers of PyTorch and the taps of the graph, side by side, in order.

The tolerance on the logits is a budget that the layers share. Error grows on the way, so the k-th of n layers may
use k/n of it, measured against the size of its own values; inside a recurrent layer, step t of 28 may use its part,
unless its weights are rounded (fp16, int8), which is as wrong at the first step as at the last.
The first layer, and step, that used more than its share is named.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto
from torch import Tensor, nn

from edge.bundle.input import ROWS
from edge_export.graph.builder import IMAGE, Tap
from edge_export.graph.session import open_session
from edge_train.models.networks import RecurrentClassifier

Array = NDArray[np.float32]

# int8 has no limit on the logits' error in the table; this one stands for it when a cause is sought. It is relative
# to the largest logit: 8 bits give steps of 1/127.
RELATIVE_BUDGET_INT8 = 0.05

_ROUNDED = (TensorProto.INT8, TensorProto.FLOAT16)


@dataclass(frozen=True, slots=True)
class Excess:
    """The first point at which the difference to PyTorch exceeds its share of the tolerance.

    Attributes:
        layer: its name in the PyTorch model.
        step: of the sequence, from 0; `None` where there is no time axis.
        error: largest absolute difference there.
        share: what that may be there.
    """

    layer: str
    step: int | None
    error: float
    share: float

    def __str__(self) -> str:
        where = self.layer if self.step is None else f"{self.layer}, step {self.step}"
        return f"first at {where}: error {self.error:.2g}, its share is {self.share:.2g}"


def first_excess(
    model: nn.Module, graph: ModelProto, taps: tuple[Tap, ...], images: NDArray[np.uint8], *, budget: float | None
) -> Excess | None:
    """Finds the first tap that exceeds its share of the budget; `None` when none does, or none can be named.

    Args:
        model: the PyTorch model, in evaluation mode.
        graph: its ONNX form, in which every tap's tensor exists or was optimised away.
        taps: in order from input to logits.
        images: uint8 (N, 28, 28) that show the difference.
        budget: the tolerance on the logits, absolute; `None` takes the relative budget of int8.
    """
    present = {output for node in graph.graph.node for output in node.output}
    if any(tap.steps and tap.tensor not in present for tap in taps):
        return None  # a recurrent layer inside a branch or a loop: what comes behind it would be blamed for its error
    taps = tuple(_as_computed(tap, present) for tap in taps if tap.tensor in present)
    if not taps:
        return None
    expected = layer_outputs(model, images)
    found = _graph_outputs(graph, taps, images)
    logits = expected[taps[-1].layer]
    relative = RELATIVE_BUDGET_INT8 if budget is None else budget / max(1.0, float(np.abs(logits).max()))
    rounded = any(weight.data_type in _ROUNDED for weight in graph.graph.initializer)
    for position, tap in enumerate(taps):
        if tap.layer not in expected or expected[tap.layer].size != found[tap.tensor].size:
            continue  # a layer that gives no tensor, or that another way of computing left without an output of its own
        wanted, got = expected[tap.layer], found[tap.tensor]
        scale = max(1.0, float(np.abs(wanted).max())) * relative
        if not tap.steps:
            got = got.reshape(wanted.shape)
            error, share = float(np.abs(wanted - got).max()), scale * (position + 1) / len(taps)
            if not error <= share:
                return Excess(tap.layer, None, error, share)
            continue
        for step in range(ROWS):
            error = float(np.abs(wanted[step] - got[step]).max())
            grown = 1.0 if rounded else (step + 1) / ROWS
            share = scale * (position + grown) / len(taps)
            if not error <= share:
                return Excess(tap.layer, step, error, share)
    return None


def _as_computed(tap: Tap, present: set[str]) -> Tap:
    """The tap behind its quantiser, where there is one: a ReLU that ends in int8 is nothing but its lower limit."""
    quantised = f"{tap.tensor}_DequantizeLinear_Output"
    return dataclasses.replace(tap, tensor=quantised) if quantised in present else tap


def layer_outputs(model: nn.Module, images: NDArray[np.uint8]) -> dict[str, Array]:
    """What each layer of a PyTorch model puts out.

    Args:
        model: in evaluation mode.
        images: uint8 (N, 28, 28).

    Returns:
        float32, by the name that the layer's tap has; recurrent layers are (28, directions, N, hidden), as ONNX lays
        them out.
    """
    outputs: dict[str, Array] = {}

    def hook(path: str) -> "torch.utils.hooks.RemovableHandle":
        def record(_layer: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor):
                outputs[path] = output.detach().clone().numpy()  # the next layer may work in place

        return model.get_submodule(path).register_forward_hook(record)

    handles = [hook(path) for path, layer in model.named_modules() if path and not list(layer.children())]
    try:
        pixels = torch.from_numpy(images.copy()).float() / 255
        with torch.no_grad():
            outputs["output"] = model(pixels).numpy()
            if isinstance(model, RecurrentClassifier):
                outputs |= _recurrent_outputs(model, pixels)
    finally:
        for handle in handles:
            handle.remove()
    return outputs


def _recurrent_outputs(model: RecurrentClassifier, pixels: Tensor) -> dict[str, Array]:
    outputs: dict[str, Array] = {}
    stack = model.recurrent
    sequence = pixels
    for layer in range(stack.num_layers):
        single = _single_layer(stack, layer, sequence.shape[-1])
        sequence = single(sequence)[0]  # (batch, 28, directions * hidden)
        split = sequence.unflatten(2, (model.directions, stack.hidden_size))
        outputs[f"recurrent layer {layer}"] = split.permute(1, 2, 0, 3).numpy()
    return outputs


def _single_layer(stack: nn.RNNBase, layer: int, inputs: int) -> nn.RNNBase:
    """A recurrent network of one layer with the weights of one layer of a stack."""
    more = {"nonlinearity": stack.nonlinearity} if isinstance(stack, nn.RNN) else {}
    make: Callable[..., nn.RNNBase] = type(stack)
    single = make(inputs, stack.hidden_size, batch_first=True, bidirectional=stack.bidirectional, **more)
    own = {name: tensor for name, tensor in stack.state_dict().items() if f"_l{layer}" in name}
    single.load_state_dict({name.replace(f"_l{layer}", "_l0"): tensor for name, tensor in own.items()})
    return single


def _graph_outputs(graph: ModelProto, taps: tuple[Tap, ...], images: NDArray[np.uint8]) -> dict[str, Array]:
    """The tensors of the taps, as a session gives them when they are declared as outputs."""
    tapped = onnx.ModelProto()
    tapped.CopyFrom(graph)
    declared = {output.name for output in tapped.graph.output}
    names = [tap.tensor for tap in taps]
    # Without a type: a tap of an fp16 graph is float16, and the session infers it.
    tapped.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in declared)
    values = open_session(tapped).run(names, {IMAGE: images})
    return {name: np.asarray(values[position], np.float32) for position, name in enumerate(names)}

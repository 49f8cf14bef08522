"""Anybody's `nn.Module` as a lean graph: traced by torch, then cleaned.

`torch.onnx.export` is used in its tracing form (`dynamo=False`): it keeps recurrent layers as the fused ONNX operators,
where the newer exporter slices them into dozens of nodes and unrolls a plain RNN. The passes that follow take out what
a fixed sequence of 28 rows does not need:

1. an initial state of zeros, made from the batch size at run time: omitted, which means zeros in ONNX;
2. a Reshape whose target is computed from the batch size: a constant target with the batch axis left free;
3. what is then constant, or leads nowhere (onnxscript's optimizer).
"""

import io
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import onnx
import torch
from onnx import ModelProto, NodeProto, helper, numpy_helper
from torch import Tensor, nn

from edge.bundle.input import COLUMNS, ROWS
from edge_export.graph import form
from edge_export.graph.builder import (
    IMAGE,
    IR_VERSION,
    LOGITS,
    OPSET,
    PROBABILITIES,
    PRODUCER,
    ConversionError,
    Converted,
    Tap,
)

# Each opset with the IR version of the ONNX release that brought it; the first that has every operator is taken.
OPSETS = {OPSET: IR_VERSION, 17: 8, 20: 9}
BATCH = "batch"  # the name of the only free axis
TRACE_BATCH = 2  # 1 would let a frozen or broadcast batch axis pass for a dynamic one
_INITIAL_STATES = {"LSTM": (5, 6), "GRU": (5,), "RNN": (5,)}
# Operators that keep a tensor of zeros a tensor of zeros.
_KEEPS_ZERO = frozenset({"Slice", "Expand", "Unsqueeze", "Squeeze", "Identity", "Cast", "Reshape", "Transpose"})


# The axes of a tensor, or the elements of a tensor of sizes: numbers, and BATCH for the batch size.
Sizes = list[int | str]

# What the operators that exporters compute sizes with make of such lists. An axis is always 0 there.
_ON_SIZES: dict[str, Callable[..., Sizes]] = {
    "Cast": lambda whole: whole,
    "Identity": lambda whole: whole,
    "Squeeze": lambda whole, _axis=None: whole,
    "Unsqueeze": lambda whole, _axis=None: whole,
    "Concat": lambda *parts: [size for part in parts for size in part],
    "Gather": lambda whole, places: [whole[place] for place in places],
    "Slice": lambda whole, start, end, _axis=(0,), step=(1,): whole[start[0] : end[0] : step[0]],
}


class _Whole(nn.Module):
    """From raw pixels to logits and probabilities."""

    def __init__(self, model: nn.Module, temperature: float) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.model(image.float() / 255)
        scores = logits if self.temperature == 1.0 else logits / self.temperature
        return logits, torch.softmax(scores, dim=1)


def convert(module: nn.Module, *, classes: int, temperature: float) -> Converted:
    """The graph of any module that maps float images [batch, 28, 28] in [0, 1] to logits.

    Args:
        module: in evaluation mode, on the CPU.
        classes: number of logits.
        temperature: `probabilities` is softmax(logits / temperature).

    Raises:
        ConversionError: torch cannot trace the module, an operator has no ONNX form, or the batch axis is frozen.
    """
    model = _traced(_Whole(module, temperature).eval())
    _omit_zero_states(model)
    _fix_reshapes(model)
    model = _optimised(model)
    _declare(model, classes)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ConversionError(f"the traced graph is not valid ONNX: {error}; simplify the model's forward") from error
    form.check_form(model, classes=classes, lean=False)
    return Converted(model, _taps(module, model))


def _traced(whole: nn.Module) -> ModelProto:
    example = torch.zeros(TRACE_BATCH, ROWS, COLUMNS, dtype=torch.uint8)
    failure: Exception | None = None
    for opset, ir_version in OPSETS.items():
        buffer = io.BytesIO()
        try:
            with _silence(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that tracing is not the newest exporter; parity judges the result
                torch.onnx.export(
                    whole,
                    (example,),
                    buffer,  # type: ignore[arg-type]
                    input_names=[IMAGE],
                    output_names=[LOGITS, PROBABILITIES],
                    dynamic_axes={name: {0: BATCH} for name in (IMAGE, LOGITS, PROBABILITIES)},
                    opset_version=opset,
                    dynamo=False,
                )
        except Exception as error:  # noqa: BLE001 - the exporter raises anything; the last reason is told
            failure = error
            continue
        model = onnx.load_from_string(buffer.getvalue())
        model.ir_version, model.producer_name, model.producer_version = ir_version, PRODUCER, ""
        return model
    reason = str(failure).strip().splitlines()[0]
    raise ConversionError(f"torch cannot export the model: {reason}; change its forward") from failure


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps off stdout what torch prints there, past Python, when an opset lacks an operator: the whole graph."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _omit_zero_states(model: ModelProto) -> None:
    """Pass 1."""
    makers = {output: node for node in model.graph.node for output in node.output}
    constants = _constants(model)

    def is_zero(name: str) -> bool:
        if name in constants:
            return not constants[name].any()
        node = makers.get(name)
        if node is None:
            return False
        if node.op_type == "ConstantOfShape":
            return not any(numpy_helper.to_array(attribute.t).any() for attribute in node.attribute)
        return node.op_type in _KEEPS_ZERO and is_zero(node.input[0])

    for node in model.graph.node:
        for position in _INITIAL_STATES.get(node.op_type, ()):
            if position < len(node.input) and node.input[position] and is_zero(node.input[position]):
                node.input[position] = ""
        while node.input and not node.input[-1]:
            node.input.pop()


def _fix_reshapes(model: ModelProto) -> None:
    """Pass 2: a target that holds the batch size becomes a constant one, in which -1 stands for the batch axis."""
    makers = {output: node for node in model.graph.node for output in node.output}
    constants = _constants(model)
    for node in model.graph.node:
        if node.op_type != "Reshape" or node.input[1] in constants:
            continue
        axes = _axes(model)  # anew each time: the shapes behind a Reshape are known when its target is
        sizes, data = _sizes(node.input[1], makers, constants, axes), axes.get(node.input[0], [])
        if sizes is None or sizes.count(BATCH) != 1 or data.count(BATCH) != 1 or 0 in sizes:
            continue
        values = math.prod(int(size) for size in data if size != BATCH)  # of one image
        known = math.prod(int(size) for size in sizes if size not in (BATCH, -1))
        target = [-1 if size == BATCH else values // known if size == -1 else int(size) for size in sizes]
        name = f"{node.output[0]}_target"
        model.graph.initializer.append(numpy_helper.from_array(np.array(target, np.int64), name))
        node.input[1] = name


def _axes(model: ModelProto) -> dict[str, Sizes]:
    """The axes of every tensor of which each is known: a size, or `batch`."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    found = {
        entry.name: [axis.dim_value or axis.dim_param for axis in entry.type.tensor_type.shape.dim]
        for entry in (*graph.input, *graph.value_info)
    }
    return {name: axes for name, axes in found.items() if all(axis == BATCH or isinstance(axis, int) for axis in axes)}


def _sizes(
    name: str, makers: dict[str, NodeProto], constants: dict[str, np.ndarray], axes: dict[str, Sizes]
) -> Sizes | None:
    """The elements of a tensor of sizes; `None` when one of them is neither a number nor the batch size."""
    if name in constants:
        return [int(size) for size in constants[name].reshape(-1)]
    node = makers.get(name)
    if node is None or (node.op_type == "Shape" and node.attribute):  # newer opsets give a part of a shape
        return None
    if node.op_type == "Shape":
        return axes.get(node.input[0])
    parts = [_sizes(part, makers, constants, axes) for part in node.input]
    known = node.op_type in _ON_SIZES and None not in parts
    return _ON_SIZES[node.op_type](*parts) if known else None


def _constants(model: ModelProto) -> dict[str, np.ndarray]:
    found = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            found[node.output[0]] = np.asarray(helper.get_node_attr_value(node, node.attribute[0].name))
            if node.attribute[0].name == "value":
                found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def _optimised(model: ModelProto) -> ModelProto:
    from onnxscript import optimizer

    optimised = optimizer.optimize(model)
    del optimised.metadata_props[:], optimised.graph.value_info[:]
    for node in optimised.graph.node:
        del node.metadata_props[:]  # notes of the optimiser about itself
    return optimised


def _declare(model: ModelProto, classes: int) -> None:
    for output in model.graph.output:
        axes = output.type.tensor_type.shape.dim
        if len(axes) == 2:
            axes[1].dim_value = classes


def _taps(module: nn.Module, model: ModelProto) -> tuple[Tap, ...]:
    """The layers whose name the tracer left in the names of the tensors; the last tensor of a layer is its output."""
    # The tracer folds a BatchNorm into the convolution before it, whose own output then exists nowhere.
    folded = any(isinstance(layer, nn.BatchNorm2d) for layer in module.modules())
    leaves = {
        path
        for path, layer in module.named_modules()
        if path and not list(layer.children()) and not (folded and isinstance(layer, nn.Conv2d))
    }
    last: dict[str, str] = {}
    for node in model.graph.node:
        # "/model/c/c.0/Conv_output_0" is of the layer "c.0": a child of a Sequential repeats its parent's name
        scopes = node.output[0].split("/")[2:-1]
        path = ".".join(scope.rpartition(".")[2] for scope in scopes)
        if path in leaves:
            last[path] = node.output[0]
    return (*(Tap(path, tensor) for path, tensor in last.items()), Tap("output", LOGITS))

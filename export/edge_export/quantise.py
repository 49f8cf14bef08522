"""int8 for every operator that carries weights, chosen by the operator.

| operator            | becomes                                   | arithmetic | what is gained         |
|---------------------|-------------------------------------------|------------|------------------------|
| LSTM                | DynamicQuantizeLSTM, a scale per gate row | int8       | bytes, and speed       |
| GRU, RNN            | int8 weights, Cast and Mul at session load| fp32       | bytes                  |
| Gemm beside those   | the same                                  | fp32       | bytes                  |
| Conv, and Gemm      | QuantizeLinear and DequantizeLinear around| int8       | bytes, and speed       |
| beside those        | it, channels equalised, activations       |            |                        |
|                     | calibrated; a small last layer stays fp32 |            |                        |

ONNX Runtime has no int8 kernel for GRU and RNN: naming their arithmetic int8 would be untrue, so the method says so.
"""

import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edge.errors import EdgeError
from edge_export.draft import INPUT
from edge_export.equalise import equalise

MICROSOFT = "com.microsoft"
CALIBRATION_BATCH = 100

# A last layer that holds more of the weights than this is quantised too: int8 without it would be int8 by name.
LAST_LAYER_SHARE = 0.1

DYNAMIC_LSTM = "dynamic-lstm"
WEIGHT_ONLY = "weight-only"
STATIC_QDQ = "static-qdq"

ARITHMETIC = {
    DYNAMIC_LSTM: "int8 weights and int8 products in the LSTM",
    WEIGHT_ONLY: "int8 weights, fp32 arithmetic: smaller, not faster",
    STATIC_QDQ: "int8 weights and int8 products, a small last layer in fp32",
}


class QuantisationError(EdgeError):
    """A model has nothing that can be quantised honestly."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """An int8 model, how it came about, and the operators that exist for the CPU only."""

    model: ModelProto
    method: str
    cpu_only: tuple[str, ...] = ()
    calibrated: bool = False  # whether the calibration images decided anything


def quantise(model: ModelProto, calibration: NDArray[np.uint8]) -> Quantised:
    """The model in int8, by the table above.

    Args:
        model: fp32, as converted.
        calibration: uint8 (N, 28, 28), ink 255 on background 0: training data, for the ranges of activations. Only
            convolutions need it: a recurrent state is bounded, or quantised as it comes.

    Raises:
        QuantisationError: nothing in the model carries weights that int8 can hold.
    """
    quantised = _by_operator(model, calibration)
    if not int8_share(quantised.model):
        raise QuantisationError("no weight of this model can be stored as int8; export it without --quantize")
    return quantised


def _by_operator(model: ModelProto, calibration: NDArray[np.uint8]) -> Quantised:
    operators = {node.op_type for node in model.graph.node}
    if "Conv" in operators:
        return Quantised(_static(model, calibration), STATIC_QDQ, calibrated=True)
    if "LSTM" in operators:
        dynamic = _rewrite(model, {"LSTM": _dynamic_lstm, "Gemm": _weight_only, "MatMul": _weight_only})
        dynamic.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
        return Quantised(dynamic, DYNAMIC_LSTM, cpu_only=("DynamicQuantizeLSTM",))
    if operators & {"GRU", "RNN"}:
        rules: dict[str, Rule] = dict.fromkeys(("GRU", "RNN", "Gemm", "MatMul"), _weight_only)
        return Quantised(_rewrite(model, rules), WEIGHT_ONLY)
    if operators & {"Gemm", "MatMul"}:
        return Quantised(_static(model, calibration), STATIC_QDQ, calibrated=True)
    raise QuantisationError(f"nothing to quantise among {', '.join(sorted(operators))}; export it without --quantize")


def int8_share(model: ModelProto) -> float:
    """The share of the bytes of all weights that are stored as int8, in [0, 1].

    Scales, zero points and shapes are no weights; biases are (stored as int32 or float32).
    """
    int8_bytes = other_bytes = 0
    for weight in model.graph.initializer:
        array = numpy_helper.to_array(weight)
        if array.size <= 1 or weight.name.endswith(("_scale", "_zero_point")) or weight.data_type == TensorProto.INT64:
            continue
        if weight.data_type in (TensorProto.INT8, TensorProto.UINT8):
            int8_bytes += array.nbytes
        else:
            other_bytes += array.nbytes
    return int8_bytes / max(1, int8_bytes + other_bytes)


# --- recurrent models: rewritten node by node ------------------------------------------------------------------------

Rule = Callable[[NodeProto, dict[str, NDArray[Any]]], "tuple[list[NodeProto], dict[str, NDArray[Any]], set[str]]"]


def _rewrite(model: ModelProto, rules: dict[str, Rule]) -> ModelProto:
    """The model with every node that a rule is for replaced by what the rule gives."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    arrays = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
    added: dict[str, NDArray[Any]] = {}
    replaced: set[str] = set()
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if node.op_type in rules:
            new_nodes, new_arrays, gone = rules[node.op_type](node, arrays)
            nodes += new_nodes
            added |= new_arrays
            replaced |= gone
        else:
            nodes.append(node)
    # Layers may share a weight: it is rebuilt once, and kept where another node still takes it as it was.
    once = {node.output[0]: node for node in reversed(nodes)}
    nodes = [node for node in nodes if once[node.output[0]] is node]
    used = {name for node in nodes for name in node.input}
    kept = [weight for weight in model.graph.initializer if weight.name not in replaced or weight.name in used]
    del result.graph.node[:], result.graph.initializer[:]
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(kept)
    result.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in added.items())
    return result


def _dynamic_lstm(
    node: NodeProto, arrays: dict[str, NDArray[Any]]
) -> tuple[list[NodeProto], dict[str, NDArray[Any]], set[str]]:
    """LSTM -> DynamicQuantizeLSTM: W and R int8 with a scale per direction and gate row, transposed as it wants them.

    Source: com.microsoft.DynamicQuantizeLSTM in ONNX Runtime's ContribOperators.md.
    """
    added: dict[str, NDArray[Any]] = {}
    inputs = list(node.input) + [""] * (8 - len(node.input))
    scales: list[str] = []
    for position in (1, 2):
        name = inputs[position]
        quantised, scale = _per_row(arrays[name])  # (directions, 4 * hidden, inputs)
        added[f"{name}_int8"] = np.ascontiguousarray(quantised.transpose(0, 2, 1))
        added[f"{name}_scale"] = scale[..., 0]
        added[f"{name}_zero_point"] = np.zeros(scale.shape[:-1], np.int8)
        inputs[position] = f"{name}_int8"
        scales += [f"{name}_scale", f"{name}_zero_point"]
    fused = helper.make_node(
        "DynamicQuantizeLSTM", [*inputs, *scales], list(node.output), name=node.name, domain=MICROSOFT
    )
    fused.attribute.extend(attribute for attribute in node.attribute if attribute.name != "layout")
    return [fused], added, {node.input[1], node.input[2]}


def _weight_only(
    node: NodeProto, arrays: dict[str, NDArray[Any]]
) -> tuple[list[NodeProto], dict[str, NDArray[Any]], set[str]]:
    """Weights as int8 with a scale per row, made float again by Cast and Mul, which fold when the session loads.

    DequantizeLinear in their place is not folded by ONNX Runtime, and costs time in every run.
    """
    positions = (1, 2) if node.op_type in ("GRU", "RNN") else (1,)
    added: dict[str, NDArray[Any]] = {}
    nodes: list[NodeProto] = []
    gone: set[str] = set()
    rebuilt = onnx.NodeProto()
    rebuilt.CopyFrom(node)
    for position in positions:
        name = node.input[position]
        if name not in arrays:
            continue  # the product of two activations
        columns = node.op_type == "MatMul"
        quantised, scale = _per_row(arrays[name].swapaxes(-1, -2) if columns else arrays[name])
        if columns:
            quantised, scale = quantised.swapaxes(-1, -2), scale.swapaxes(-1, -2)
        added[f"{name}_int8"], added[f"{name}_scale"] = np.ascontiguousarray(quantised), np.ascontiguousarray(scale)
        nodes.append(helper.make_node("Cast", [f"{name}_int8"], [f"{name}_float"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{name}_float", f"{name}_scale"], [f"{name}_rescaled"]))
        rebuilt.input[position] = f"{name}_rescaled"
        gone.add(name)
    return [*nodes, rebuilt], added, gone


def _per_row(array: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8 values and float32 scales of the rows (last axis), symmetric: value * scale is the row again."""
    largest = np.abs(array).max(axis=-1, keepdims=True)
    scale = (np.where(largest > 0, largest, 1) / 127).astype(np.float32)
    return np.clip(np.rint(array / scale), -127, 127).astype(np.int8), scale


# --- convolutional models: the stock static quantiser ----------------------------------------------------------------


def _static(model: ModelProto, calibration: NDArray[np.uint8]) -> ModelProto:
    """QDQ after cross-layer equalisation; a small last layer stays fp32.

    The logits are what labels are decided by: rounding them to 8 bits costs as much as everything before together, and
    the last layer usually holds a hundredth of the weights.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the stock package has no types
        def __init__(self) -> None:
            self.batches: Iterator[NDArray[np.uint8]] = iter(
                np.array_split(calibration, max(1, len(calibration) // CALIBRATION_BATCH))
            )

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch}

    marked = onnx.ModelProto()
    marked.CopyFrom(equalise(model, calibration))
    add_pre_process_metadata(marked)  # the graph is lean: the advice to simplify it first would only worry people
    with tempfile.TemporaryDirectory() as folder:
        source, path = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(marked, source)  # given the model itself, the quantiser moves its weights to an external file
        quantize_static(
            source,
            path,
            Reader(),
            quant_format=QuantFormat.QDQ,
            nodes_to_exclude=_from_last_layer(model),
            op_types_to_quantize=["Conv", "Gemm", "MatMul", "Relu", "MaxPool", "AveragePool"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        quantised = onnx.load(path)
    quantised.ir_version = model.ir_version
    del quantised.metadata_props[:]
    assert _opset(quantised) == _opset(model), "the stock quantiser raised the opset"
    return quantised


def _opset(model: ModelProto) -> int:
    version: int = next(entry.version for entry in model.opset_import if entry.domain == "")
    return version


def _from_last_layer(model: ModelProto) -> list[str]:
    """The names of the last node with weights and of all after it; none where too many of the weights are its own."""
    sizes = {weight.name: math.prod(weight.dims) for weight in model.graph.initializer}
    products = [
        (index, sum(sizes.get(name, 0) for name in node.input[:2]))
        for index, node in enumerate(model.graph.node)
        if node.op_type in ("Conv", "Gemm", "MatMul")
    ]
    last, size = products[-1]
    small = size <= LAST_LAYER_SHARE * sum(size for _, size in products)
    return [node.name for node in model.graph.node[last:]] if small else []

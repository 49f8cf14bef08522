"""torch's tracing exporter: it keeps recurrent layers as the fused operators of ONNX, and takes a tenth of a second."""

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnx
import torch
from onnx import ModelProto, numpy_helper
from torch import nn

from edge.bundle.input import COLUMNS, NAME, ROWS
from edge_export.graph.builder import IR_VERSION, LOGITS, OPSET, PROBABILITIES, PRODUCER, ConversionError
from edge_export.graph.recurrent_graph import GATES

# Each opset with the IR version of the ONNX release that brought it; the first that has every operator is taken.
OPSETS = {OPSET: IR_VERSION, 17: 8, 20: 9}
BATCH = "batch"  # the name of the only free axis
# A size that no layer has: where a model took the size of the batch for a number, that number stands in the graph.
TRACED = 23
FEW = 2  # pictures that a graph is tried with


def export(whole: nn.Module, *, alone: bool = False) -> ModelProto:
    """The graph of a module, as it was traced.

    Args:
        whole: uint8 images [batch, 28, 28] to logits and probabilities, in evaluation mode, on the CPU.
        alone: whether it is traced with one picture, and the graph takes one only.

    Raises:
        ConversionError: torch cannot trace the module, or an operator has no ONNX form.
    """
    example = torch.zeros(1 if alone else TRACED, ROWS, COLUMNS, dtype=torch.uint8)
    free = {} if alone else {name: {0: BATCH} for name in (NAME, LOGITS, PROBABILITIES)}
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
                    input_names=[NAME],
                    output_names=[LOGITS, PROBABILITIES],
                    dynamic_axes=free,
                    opset_version=opset,
                    dynamo=False,
                )
        except Exception as error:  # noqa: BLE001 - the exporter raises anything; the last reason is told
            failure = error
            continue
        model = onnx.load_from_string(buffer.getvalue())
        model.ir_version, model.producer_name, model.producer_version = ir_version, PRODUCER, ""
        if not alone:
            _free_batch(model)
            _refuse_empty_sequences(model)
        return model
    reason = next(iter(str(failure).strip().splitlines()), type(failure).__name__)
    raise ConversionError(f"torch cannot trace the model: {reason}") from failure


def _free_batch(model: ModelProto) -> None:
    """Frees the batch axis where a Reshape has the size of the traced batch among its constant sizes."""
    stored = {weight.name: weight for weight in model.graph.initializer}
    stored |= {node.output[0]: node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"}
    for node in model.graph.node:
        tensor = stored.get(node.input[1]) if node.op_type == "Reshape" else None
        if tensor is None:
            continue
        sizes = numpy_helper.to_array(tensor)
        if list(sizes).count(TRACED) == 1:
            free = 0 if -1 in sizes else -1  # 0 is the axis at the same place of what is reshaped
            tensor.CopyFrom(numpy_helper.from_array(np.where(sizes == TRACED, free, sizes), tensor.name))


def _refuse_empty_sequences(model: ModelProto) -> None:
    """Refuses a graph in which a recurrent layer gets no picture at all: ONNX Runtime ends the process at that.

    A forward that loops over the pictures of its batch is traced with as many layers as there were pictures.
    """
    if not any(node.op_type in GATES for node in model.graph.node):
        return
    sized = ModelProto()
    sized.CopyFrom(model)
    sized.graph.input[0].type.tensor_type.shape.dim[0].dim_value = FEW
    del sized.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(sized, data_prop=True).graph
    empty = {
        value.name
        for value in inferred.value_info
        if any(axis.HasField("dim_value") and axis.dim_value == 0 for axis in value.type.tensor_type.shape.dim)
    }
    if any(node.op_type in GATES and node.input[0] in empty for node in inferred.node):
        raise ConversionError(
            f"the exported graph leaves a recurrent layer without a picture where there are {FEW}: its forward loops "
            "over the pictures of the batch"
        )


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

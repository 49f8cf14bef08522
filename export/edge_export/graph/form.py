"""The promises about the form of a bundle's graph, which are asserted, not assumed."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import ModelProto

from edge.bundle.input import COLUMNS, INPUT, ROWS, SCORE
from edge_export.graph.builder import IMAGE, LOGITS, PROBABILITIES, ConversionError
from edge_export.graph.session import open_session

# What a graph needs only when it computes shapes at run time: in a lean graph every shape is known.
SHAPE_ARITHMETIC = frozenset({"Shape", "Size", "ConstantOfShape", "Expand", "Range", "Loop", "Scan"})

BATCHES = (1, 2, 3)


def check_form(model: ModelProto, *, classes: int, lean: bool = True) -> None:
    """Asserts the form of a bundle's graph: names, types, 28 fixed rows, dynamic batch, no run-time shape arithmetic.

    Args:
        model: the graph.
        classes: number of logits.
        lean: whether run-time shape arithmetic is refused; anybody's own model may need it.

    Raises:
        ConversionError: it has another form; the message says which part.
    """
    inputs = [_signature(entry) for entry in model.graph.input]
    expected = (IMAGE, onnx.TensorProto.UINT8, INPUT.shape)
    if inputs != [expected]:
        raise ConversionError(f"the graph takes {inputs}; a bundle takes {expected}")
    outputs = [_signature(entry) for entry in model.graph.output if entry.name != SCORE]  # put there when it is packed
    wanted = [(name, onnx.TensorProto.FLOAT, ("batch", classes)) for name in (LOGITS, PROBABILITIES)]
    if outputs != wanted:
        raise ConversionError(
            f"the graph gives {outputs}; a bundle gives {wanted}: take the batch size from the input, do not fix it"
        )
    shapely = sorted({node.op_type for node in model.graph.node} & SHAPE_ARITHMETIC)
    if lean and shapely:
        raise ConversionError(f"the graph computes shapes at run time: {', '.join(shapely)}; it must not need them")
    _check_axes(model, classes)


def _check_axes(model: ModelProto, classes: int) -> None:
    session = open_session(model)
    for batch in BATCHES:
        try:
            logits = session.run([LOGITS], {IMAGE: np.zeros((batch, ROWS, COLUMNS), np.uint8)})[0]
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise ConversionError(
                f"the graph does not run with {batch} images: {' '.join(str(error).split())}; the batch axis may be "
                "frozen: write the model without a fixed batch size"
            ) from error
        if logits.shape != (batch, classes):
            raise ConversionError(
                f"{batch} images give logits of shape {logits.shape}, not {(batch, classes)}: the batch axis is "
                "frozen; write the model without a fixed batch size"
            )


def _signature(entry: onnx.ValueInfoProto) -> tuple[str, int, tuple[str | int, ...]]:
    tensor = entry.type.tensor_type
    shape: Sequence[str | int] = [axis.dim_param or axis.dim_value for axis in tensor.shape.dim]
    return entry.name, tensor.elem_type, tuple(shape)

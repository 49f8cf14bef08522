"""A module that looks at one picture at a time, as a graph that does so for every picture of a batch.

Some models loop over the pictures of their batch, and some take one picture only. torch unrolls the loop, so that no
exporter leaves the batch free. Such a module is traced with a single picture, cleaned as a graph of constant sizes, and
put into ONNX's `Scan`, which runs it for each picture in turn. It costs a batch what that many single pictures cost.
"""

from onnx import ModelProto, TensorProto, helper
from torch import nn

from edge.bundle.input import COLUMNS, INPUT, NAME, ROWS
from edge_export.graph import cleaning, pixels, tracing
from edge_export.graph.builder import LOGITS, PROBABILITIES, ConversionError

PICTURE = "picture"  # one of the batch, inside the Scan
SIZES = (1, 1)  # of the batches that the graph inside is measured with
_INSIDE = {NAME: "images", LOGITS: "logits_of_one", PROBABILITIES: "probabilities_of_one"}


def export(whole: nn.Module) -> ModelProto:
    """The graph of a module, for each picture alone.

    Args:
        whole: uint8 images [1, 28, 28] to logits and probabilities, in evaluation mode, on the CPU.

    Raises:
        ConversionError: torch cannot trace the module, or an operator has no ONNX form.
    """
    traced = tracing.export(whole, alone=True)
    one = pixels.fold(cleaning.clean(traced, SIZES))
    graph = one.graph
    classes = graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    if not classes:
        raise ConversionError("the model gives another number of classes for each picture; give it a fixed one")
    for node in graph.node:
        node.input[:] = [_INSIDE.get(name, name) for name in node.input]
        node.output[:] = [_INSIDE.get(name, name) for name in node.output]
    axis = helper.make_tensor("axis_of_batch", TensorProto.INT64, [1], [0])
    rows = {name: f"{name}_row" for name in (LOGITS, PROBABILITIES)}
    ends = [helper.make_node("Squeeze", [_INSIDE[name], axis.name], [row]) for name, row in rows.items()]
    body = helper.make_graph(
        [helper.make_node("Unsqueeze", [PICTURE, axis.name], [_INSIDE[NAME]]), *graph.node, *ends],
        "of_one_picture",
        [helper.make_tensor_value_info(PICTURE, TensorProto.UINT8, [ROWS, COLUMNS])],
        [helper.make_tensor_value_info(row, TensorProto.FLOAT, [classes]) for row in rows.values()],
    )
    outer = helper.make_graph(
        [helper.make_node("Scan", [NAME], list(rows), num_scan_inputs=1, body=body)],
        "picture_by_picture",
        [helper.make_tensor_value_info(NAME, TensorProto.UINT8, list(INPUT.shape))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [tracing.BATCH, classes]) for name in rows],
        initializer=[*graph.initializer, axis],
    )
    model = helper.make_model(outer, opset_imports=list(one.opset_import), ir_version=one.ir_version)
    model.producer_name, model.producer_version = one.producer_name, ""
    return model

"""fp16 for CUDA: half the bytes, tensor-core arithmetic; inputs and outputs keep their types."""

import onnx
from onnx import ModelProto, NodeProto

from edge_export.graph.builder import LOGITS


def to_fp16(model: ModelProto) -> ModelProto:
    """The model with fp16 weights and arithmetic up to the logits; the image stays uint8, the outputs float32.

    Temperature and softmax are taken in fp32, so that probabilities keep their precision. On the CPU, where most
    operators have no fp16 kernel, ONNX Runtime casts around them: correct, but not fast.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    behind = _behind_logits(model)
    trunk = onnx.ModelProto()
    trunk.CopyFrom(model)
    del trunk.graph.node[:], trunk.graph.output[:]
    trunk.graph.node.extend(node for node in model.graph.node if node not in behind)
    trunk.graph.output.extend(output for output in model.graph.output if output.name == LOGITS)
    converted: ModelProto = convert_float_to_float16(trunk, keep_io_types=True)
    OnnxModel(converted).topological_sort(is_deterministic=True)  # the converter puts its casts at the end
    converted.graph.node.extend(behind)
    del converted.graph.output[:]
    converted.graph.output.extend(model.graph.output)
    return converted


def _behind_logits(model: ModelProto) -> list[NodeProto]:
    tensors, nodes = {LOGITS}, []
    for node in model.graph.node:
        if not tensors.isdisjoint(node.input):
            tensors.update(node.output)
            nodes.append(node)
    return nodes

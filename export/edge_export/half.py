"""fp16 for CUDA: half the bytes, tensor-core arithmetic; inputs and outputs keep their types."""

from typing import cast

import onnx
from onnx import ModelProto

# Softmax is taken in fp32, so that probabilities keep their precision; Mul is the temperature in front of it.
_STAYS_FP32 = ["Softmax", "Mul"]


def to_fp16(model: ModelProto) -> ModelProto:
    """The model with fp16 weights and arithmetic up to the logits; the image stays uint8, the outputs float32.

    On the CPU, where most operators have no fp16 kernel, ONNX Runtime casts around them: correct, but not fast.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return cast(ModelProto, convert_float_to_float16(copy, keep_io_types=True, op_block_list=_STAYS_FP32))

"""What this machine could do at best: products and copies measured here, and the work that a model asks for.

A latency says little without its limit. The work of a model is counted from its specification, the speed of this
machine is measured by large square products, which reach what a core can do; their quotient is a time that no runtime
can go below with that arithmetic.
"""

from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge.bench.turns import time_in_turns
from edge.bundle.input import COLUMNS, ROWS
from edge_train.models.specification import CLASSES, Recurrent, Specification

GATES = {"lstm": 4, "gru": 3, "rnn-tanh": 1, "rnn-relu": 1}
SIDE = 512  # of the square matrices: large enough for full speed, and done before another process takes the core
COPIED_BYTES = 64 * 2**20  # larger than the level-3 cache of small machines, so that memory is what is measured
SECONDS = 0.8  # for all figures
OPSET, IR_VERSION = 13, 7


def flop(specification: Specification) -> int:
    """Floating-point operations of the products of one image, a multiplication and an addition counted as two.

    Activations, pooling and BatchNorm are left out: a few percent, and a bound must not count too much.
    """
    return _recurrent(specification) if isinstance(specification, Recurrent) else _chain(specification.layers)


def _recurrent(sizes: Recurrent) -> int:
    directions = 2 if sizes.bidirectional else 1
    total, width = 0, COLUMNS
    for _ in range(sizes.layers):
        total += directions * 2 * ROWS * GATES[sizes.cell] * sizes.hidden * (width + sizes.hidden)
        width = directions * sizes.hidden
    return total + 2 * width * CLASSES


def _chain(layers: str) -> int:
    total, channels, side, features = 0, 1, ROWS, 0
    for word in layers.split():
        if word.startswith("conv"):
            kernel, wanted = (int(number) for number in word.removeprefix("conv").split("x"))
            side -= kernel - 1
            total += 2 * side * side * wanted * channels * kernel * kernel
            channels = wanted
        elif word in {"pool", "average"}:
            side //= 2
        elif word == "flatten":
            features = channels * side * side
        elif word.startswith("linear"):
            wanted = int(word.removeprefix("linear"))
            total += 2 * features * wanted
            features = wanted
    return total


def measure() -> dict[str, float]:
    """The limits of one thread of this machine.

    Returns:
        `fp32_gflops`: the better of torch's and ONNX Runtime's product. `int8_gops`: ONNX Runtime's MatMulInteger,
        uint8 times int8. `memory_gb_per_s`: bytes read and written by a copy.
    """
    torch.set_num_threads(1)
    dice = np.random.default_rng(0)
    left = dice.standard_normal((SIDE, SIDE), np.float32)
    right = dice.standard_normal((SIDE, SIDE), np.float32)
    # Seven bits, so that no product saturates: the limit is one of right results.
    unsigned = dice.integers(0, 256, (SIDE, SIDE), np.uint8)
    signed = dice.integers(-63, 64, (SIDE, SIDE), np.int8)
    fp32 = _product("MatMul", right, TensorProto.FLOAT, TensorProto.FLOAT)
    int8 = _product("MatMulInteger", signed, TensorProto.UINT8, TensorProto.INT32)
    torch_left, torch_right = torch.from_numpy(left), torch.from_numpy(right)
    source = np.ones(COPIED_BYTES, np.uint8)
    target = np.zeros_like(source)
    work = 2 * SIDE**3 / 1e9
    series = time_in_turns(
        {
            "torch": lambda: torch.mm(torch_left, torch_right),
            "onnxruntime": lambda: fp32.run(None, {"a": left}),
            "int8": lambda: int8.run(None, {"a": unsigned}),
            "copy": lambda: np.copyto(target, source),
        },
        rounds=1,
        seconds=SECONDS,
    )
    # The shortest time, not the median: a limit is asked for, and other work only ever adds time.
    seconds = {name: one.ordered()[0] / 1e9 for name, one in series.items()}
    return {
        "fp32_gflops": work / min(seconds["torch"], seconds["onnxruntime"]),
        "int8_gops": work / seconds["int8"],
        "memory_gb_per_s": 2 * COPIED_BYTES / 1e9 / seconds["copy"],
    }


def better(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    """The higher of two measurements of each limit: other work on the machine only ever lowers one."""
    return {name: max(figure, other.get(name, 0.0)) for name, figure in one.items()}


def bounds_us(operations: int, limits: dict[str, float]) -> tuple[float, float]:
    """The least time for one image with fp32 and with int8 products, in microseconds."""
    return operations / limits["fp32_gflops"] / 1e3, operations / limits["int8_gops"] / 1e3


def _product(operator: str, right: NDArray[Any], left_type: int, result_type: int) -> Any:  # noqa: ANN401 - untyped
    """A session that multiplies its input by a constant: as a model's weights, it is packed once."""
    graph = helper.make_graph(
        [helper.make_node(operator, ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", left_type, [SIDE, SIDE])],
        [helper.make_tensor_value_info("c", result_type, [SIDE, SIDE])],
        [numpy_helper.from_array(right, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

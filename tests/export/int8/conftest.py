"""Graphs of somebody's own, small stacks of recurrent layers, and ways to look into a graph."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_export.graph.builder import Converted
from edge_export.int8.recurrent import cells, quantised_layers
from edge_export.int8.recurrent.cells import RecurrentStack
from edge_export.int8.recurrent.quantised_layers import ObservedStates

# Every form of a recurrent stack that `converted` knows.
STACKS = ["lstm", "lstm-40", "bilstm", "bilstm-2", "gru", "bigru-2", "rnn", "rnn-relu", "birnn-relu-2"]


@pytest.fixture(scope="session", params=STACKS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each form of a recurrent stack."""
    return str(request.param)


@pytest.fixture(scope="session")
def own_graph() -> Callable[..., onnx.ModelProto]:
    """A model of somebody's: from `pixels`, float [batch, 28, 28], to `logits`."""

    def write(*nodes: onnx.NodeProto, **arrays: np.ndarray) -> onnx.ModelProto:
        head = [helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT)]
        tail = [helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1)]
        return helper.make_model(
            helper.make_graph(
                [*head, *nodes, *tail],
                "own",
                [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 28, 28])],
                [helper.make_tensor_value_info(name, 1, ["batch", 10]) for name in ("logits", "probabilities")],
                [numpy_helper.from_array(array, name) for name, array in arrays.items()],
            ),
            opset_imports=[helper.make_opsetid("", 13)],
            ir_version=7,
        )

    return write


@pytest.fixture(scope="session")
def arrays() -> Callable[[onnx.ModelProto], dict[str, np.ndarray]]:
    """The constants of a graph by name."""
    return lambda model: {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}


@pytest.fixture(scope="session")
def operators() -> Callable[[onnx.ModelProto], Counter[str]]:
    """How often each operator stands in a graph, outside of branches and bodies."""
    return lambda model: Counter(node.op_type for node in model.graph.node)


@pytest.fixture(scope="session")
def read_stack(converted, digits) -> Callable[[str], tuple[Converted, RecurrentStack, ObservedStates]]:
    """The graph of a kind, the stack in it, and its states on the digits."""

    def read(kind: str) -> tuple[Converted, RecurrentStack, ObservedStates]:
        one = converted(kind)[1]
        stack = cells.read(one.model)
        assert stack is not None
        return one, stack, quantised_layers.observe(one.model, stack, digits.images)

    return read

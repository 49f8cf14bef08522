"""The passes over a traced graph, one by one, on the smallest graphs in which they have something to do."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_export.graph import traced

# --- pass 1: initial states of zeros ----------------------------------------------------------------------------------


def recurrent(
    operator: str, states: list[str], nodes: list[onnx.NodeProto], **constants: np.ndarray
) -> onnx.ModelProto:
    """A graph in which a recurrent operator gets those initial states."""
    inputs = ["rows", "W", "R", "B", "", *states]
    node = helper.make_node(operator, inputs, ["sequence"], hidden_size=4)
    graph = helper.make_graph(
        [*nodes, node],
        "one layer",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [28, "batch", 28])],
        [helper.make_tensor_value_info("sequence", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])


def without_zero_states(*given, **constants) -> list[str]:
    model = recurrent(*given, **constants)
    traced._omit_zero_states(model)
    return list(model.graph.node[-1].input)


def filled(name: str, value: float | None) -> onnx.NodeProto:
    tensor = None if value is None else numpy_helper.from_array(np.array([value], np.float32))
    return helper.make_node("ConstantOfShape", ["shape"], [name], **({} if tensor is None else {"value": tensor}))


PLAIN = ["rows", "W", "R", "B"]


@pytest.mark.parametrize("value", [0.0, None])
@pytest.mark.parametrize(("operator", "states"), [("LSTM", ["h", "c"]), ("GRU", ["h"]), ("RNN", ["h"])])
def test_zeros_made_when_the_model_runs_are_left_out(operator, states, value):
    assert without_zero_states(operator, states, [filled(state, value) for state in states]) == PLAIN


@pytest.mark.parametrize(
    "operator", ["Expand", "Slice", "Unsqueeze", "Squeeze", "Identity", "Cast", "Reshape", "Transpose"]
)
def test_zeros_stay_zeros_through_operators_that_only_move_them(operator):
    nodes = [filled("zeros", 0.0), helper.make_node(operator, ["zeros"], ["h"])]
    assert without_zero_states("GRU", ["h"], nodes) == PLAIN


def test_stored_zeros_are_left_out():
    assert without_zero_states("RNN", ["h"], [], h=np.zeros((1, 1, 4), np.float32)) == PLAIN


def test_a_constant_node_of_zeros_is_left_out():
    node = helper.make_node("Constant", [], ["h"], value=numpy_helper.from_array(np.zeros((1, 1, 4), np.float32)))
    assert without_zero_states("RNN", ["h"], [node]) == PLAIN


@pytest.mark.parametrize(
    "node",
    [
        filled("h", 1.0),
        helper.make_node("Add", ["rows", "rows"], ["h"]),
        helper.make_node("Exp", ["zeros"], ["h"]),
    ],
    ids=["ones", "computed", "a function of zeros"],
)
def test_a_state_that_may_not_be_zero_is_kept(node):
    assert without_zero_states("GRU", ["h"], [filled("zeros", 0.0), node]) == [*PLAIN, "", "h"]


def test_a_state_that_comes_from_outside_is_kept():
    assert without_zero_states("GRU", ["rows"], []) == [*PLAIN, "", "rows"]


def test_each_state_of_an_lstm_is_judged_alone():
    learned = np.ones((1, 1, 4), np.float32)
    assert without_zero_states("LSTM", ["h", "c"], [filled("c", 0.0)], h=learned) == [*PLAIN, "", "h"]
    assert without_zero_states("LSTM", ["h", "c"], [filled("h", 0.0)], c=learned) == [*PLAIN, "", "", "c"]


# --- pass 2: reshapes by the batch size -------------------------------------------------------------------------------


def reshaped(
    data: list[int | str], parts: dict[str, list[int] | tuple[int, int] | int], *, source: list[int | str] | None = None
) -> list[int] | None:
    """The constant target that a Reshape gets, or `None` when it keeps its computed one.

    A part of the target is a list of constants, the number of an axis of the source, or a pair: axes from, to.
    """
    nodes, constants, names = [helper.make_node("Shape", ["source"], ["shape"])], {}, []
    for name, part in parts.items():
        if isinstance(part, list):
            constants[name] = np.array(part, np.int64)
        elif isinstance(part, tuple):
            constants |= {f"{name}_from": np.array(part[:1]), f"{name}_to": np.array(part[1:])}
            constants[f"{name}_axis"] = np.array([0])
            nodes.append(helper.make_node("Slice", ["shape", f"{name}_from", f"{name}_to", f"{name}_axis"], [name]))
        else:
            constants |= {f"{name}_index": np.array(part), f"{name}_axis": np.array([0])}
            nodes.append(helper.make_node("Gather", ["shape", f"{name}_index"], [f"{name}_scalar"]))
            nodes.append(helper.make_node("Unsqueeze", [f"{name}_scalar", f"{name}_axis"], [name]))
        names.append(name)
    nodes.append(helper.make_node("Concat", names, ["target"], axis=0))
    nodes.append(helper.make_node("Reshape", ["data", "target"], ["result"]))
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "reshape",
            [
                helper.make_tensor_value_info("data", TensorProto.FLOAT, data),
                helper.make_tensor_value_info("source", TensorProto.FLOAT, source or data),
            ],
            [helper.make_tensor_value_info("result", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(array, name) for name, array in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
    )
    traced._fix_reshapes(model)
    name = model.graph.node[-1].input[1]
    found = {weight.name: numpy_helper.to_array(weight).tolist() for weight in model.graph.initializer}
    return found.get(name)


@pytest.mark.parametrize(
    ("data", "parts", "target"),
    [
        (["batch", 28, 28], {"n": 0, "rest": [784]}, [-1, 784]),
        (["batch", 6, 10, 10], {"n": 0, "rest": [-1]}, [-1, 600]),
        (["batch", 6, 10, 10], {"n": 0, "rest": [6, -1]}, [-1, 6, 100]),
        ([1, "batch", 12], {"n": 1, "rest": [-1]}, [-1, 12]),
        ([28, 2, "batch", 9], {"t": [28], "n": 2, "rest": [-1]}, [28, -1, 18]),
        (["batch", 24, 3, 24], {"leading": (0, 2), "rest": [-1]}, [-1, 24, 72]),
        (["batch", 24, 3, 24], {"leading": (0, 1), "rest": [72, 24]}, [-1, 72, 24]),
        (["batch", 24, 3, 24], {"n": 0, "rows": 1, "rest": [-1]}, [-1, 24, 72]),
    ],
)
def test_a_target_by_the_batch_size_becomes_a_constant_that_leaves_it_free(data, parts, target):
    assert reshaped(data, parts) == target


def test_the_batch_size_may_come_from_another_tensor():
    assert reshaped([1, "batch", 12], {"n": 0, "rest": [-1]}, source=["batch", 28, 28]) == [-1, 12]


@pytest.mark.parametrize(
    ("data", "parts", "source"),
    [
        (["batch", "rows", 28], {"n": 0, "rest": [-1]}, None),  # how many numbers an image has is not known
        (["batch", 28, 28], {"n": 0, "rest": [-1]}, ["other", 28]),  # another free axis
        (["batch", 28, 28], {"n": 0, "keep": [0], "rest": [-1]}, None),  # 0 copies an axis
        (["batch", "batch", 4], {"n": 0, "m": 1, "rest": [4]}, None),  # two free axes
        (["batch", 28], {"n": 0, "m": 0, "rest": [28]}, None),
    ],
)
def test_a_target_that_is_not_understood_is_left_alone(data, parts, source):
    assert reshaped(data, parts, source=source) is None

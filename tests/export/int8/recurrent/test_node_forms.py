"""Recurrent nodes among any others as integers: the same answers, whatever stands before, between and behind them."""

import copy

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edge_export.graph import session
from edge_export.graph.recurrent_graph import GATES
from edge_export.int8 import calibration, candidates
from edge_export.int8.processors import PROFILES
from edge_export.int8.recurrent import nodes

INTEGERS = ["dynamic-lstm", "stepped", "branched"]
TOLERANCE = 0.08  # of the largest logit, as for a stack of layers
STATES = {"LSTM": 2, "GRU": 1, "RNN": 1}


class Own:
    """A graph that is being written, node by node, with weights that are drawn."""

    def __init__(self, seed: int = 5) -> None:
        self.draw = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.arrays: dict[str, np.ndarray] = {}

    def weight(self, name: str, *shape: int, scale: float = 1.0) -> str:
        drawn = self.draw.normal(0, scale / np.sqrt(shape[-1]), shape)
        self.arrays[name] = drawn.astype(np.float32)
        return name

    def constant(self, *values: int) -> str:
        name = "_".join(map(str, ("numbers", *values))).replace("-", "m")
        self.arrays[name] = np.array(values, np.int64)
        return name

    def node(self, operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def layer(
        self, cell: str, entering: str, width: int, hidden: int, name: str, *, starts: tuple[str, ...] = (), **told
    ) -> str:
        """A recurrent node with all of its outputs: NAME, NAME_h, NAME_c."""
        directions = 2 if told.get("direction") == "bidirectional" else 1
        gates = GATES[cell] * hidden
        first = 1 / 255 if entering in ("rows", "x") else 1.0
        weights = [
            self.weight(f"{name}.W", directions, gates, width, scale=first),
            self.weight(f"{name}.R", directions, gates, hidden),
            self.weight(f"{name}.B", directions, 2 * gates),
        ]
        outputs = [name, f"{name}_h", f"{name}_c"][: 1 + STATES[cell]]
        inputs = [entering, *weights, *(["", *starts] if starts else [])]
        if cell == "GRU":
            told["linear_before_reset"] = 1
        self.nodes.append(helper.make_node(cell, inputs, outputs, hidden_size=hidden, **told))
        return name

    def rows(self) -> str:
        """The rows of the picture, time first."""
        return self.node("Transpose", ["pixels"], "rows", perm=[1, 0, 2])

    def head(self, features: str, width: int) -> None:
        self.node("Gemm", [features, self.weight("head.W", 10, width), self.weight("head.B", 10)], "logits", transB=1)

    def joined(self, sequence: str, width: int) -> str:
        """Both directions side by side, [T, N, 2 * hidden]."""
        turned = self.node("Transpose", [sequence], f"{sequence}_turned", perm=[0, 2, 1, 3])
        return self.node("Reshape", [turned, self.constant(0, 0, width)], f"{sequence}_joined")

    def mean(self, sequence: str) -> str:
        """The mean of all steps, [N, hidden]."""
        one = self.node("Squeeze", [sequence, self.constant(1)], f"{sequence}_one")
        return self.node("ReduceMean", [one], f"{sequence}_mean", axes=[0], keepdims=0)


def both_directions_twice(own: Own) -> int:
    """As torch's nn.LSTM of two layers is exported when the last step is read."""
    lower = own.layer("LSTM", own.rows(), 28, 10, "lower", direction="bidirectional")
    upper = own.layer("LSTM", own.joined(lower, 20), 20, 9, "upper", direction="bidirectional")
    last = own.node("Gather", [own.joined(upper, 18), own.node("Identity", [own.constant(-1)], "last")], "step")
    own.head(own.node("Squeeze", [last, own.constant(0)], "features"), 18)
    return 4


def attention(own: Own) -> int:
    states = own.joined(own.layer("LSTM", own.rows(), 28, 40, "states", direction="bidirectional"), 80)
    score = own.node("MatMul", [states, own.weight("score.W", 80, 1)], "score_of_rows")
    weighted = own.node("Mul", [own.node("Softmax", [score], "shares", axis=0), states], "weighted")
    own.head(own.node("ReduceSum", [weighted, own.constant(0)], "features", keepdims=0), 80)
    return 2


def product_before_and_norm_between(own: Own) -> int:
    before = own.node("MatMul", [own.rows(), own.weight("before.W", 28, 20, scale=1 / 255)], "before")
    lower = own.layer("GRU", own.node("Relu", [before], "rectified"), 20, 12, "lower")
    flat = own.node("Squeeze", [lower, own.constant(1)], "flat")
    normed = own.node("Mul", [flat, own.weight("gains", 12, scale=9)], "normed")
    upper = own.layer("GRU", own.node("Add", [normed, own.weight("shift", 12)], "shifted"), 12, 11, "upper")
    own.head(own.node("Squeeze", [f"{upper}_h", own.constant(0)], "features"), 11)
    return 2


def rectified_mean(own: Own) -> int:
    own.head(own.mean(own.layer("RNN", own.rows(), 28, 12, "states", activations=["Relu"])), 12)
    return 1


def cell_and_state_and_mean(own: Own) -> int:
    states = own.layer("LSTM", own.rows(), 28, 12, "states")
    ends = [own.node("Squeeze", [f"{states}_{one}", own.constant(0)], f"last_{one}") for one in "hc"]
    own.head(own.node("Concat", [*ends, own.mean(states)], "features", axis=1), 36)
    return 1


def first_states(own: Own) -> int:
    """States that it begins with, learned, and the same for every picture."""
    shape = own.node("Shape", [own.rows()], "shape")
    count = own.node("Gather", [shape, own.constant(1)], "count", axis=0)
    wanted = own.node("Concat", [own.constant(2), count, own.constant(12)], "wanted", axis=0)
    starts = [own.node("Expand", [own.weight(f"{one}0", 2, 1, 12, scale=3), wanted], f"{one}_start") for one in "hc"]
    states = own.layer("LSTM", "rows", 28, 12, "states", starts=tuple(starts), direction="bidirectional")
    own.head(own.node("ReduceMean", [own.joined(states, 24)], "features", axes=[0], keepdims=0), 24)
    return 2


def names_of_a_step(own: Own) -> int:
    """Tensors that are called as those of a step or its constants are."""
    x = own.node("Add", [own.rows(), own.weight("one", 28)], "x")
    states = own.mean(own.layer("GRU", x, 28, 12, "h"))
    gates = own.node("Tanh", [states], "z")
    own.head(own.node("Sigmoid", [own.node("Mul", [gates, own.weight("input_zero", 12, scale=9)], "n")], "row"), 12)
    return 1


def upwards_alone(own: Own) -> int:
    """Layers of one direction that read the rows from the last to the first, and one that begins with a state."""
    lower = own.layer("LSTM", own.rows(), 28, 12, "lower", direction="reverse")
    flat = own.node("Squeeze", [lower, own.constant(1)], "flat")
    middle = own.layer("RNN", flat, 12, 11, "middle", direction="reverse", activations=["Relu"])
    flat = own.node("Squeeze", [middle, own.constant(1)], "flat_again")
    count = own.node("Gather", [own.node("Shape", ["rows"], "shape"), own.constant(1)], "count", axis=0)
    wanted = own.node("Concat", [own.constant(1), count, own.constant(10)], "wanted", axis=0)
    start = own.node("Expand", [own.weight("h0", 1, 1, 10, scale=3), wanted], "start")
    upper = own.layer("GRU", flat, 11, 10, "upper", direction="reverse", starts=(start,))
    ends = [own.node("Squeeze", [f"{upper}_h", own.constant(0)], "features"), own.mean(upper), own.mean(lower)]
    own.head(own.node("Concat", ends, "all", axis=1), 32)
    return 3


FORMS = [
    both_directions_twice,
    attention,
    product_before_and_norm_between,
    rectified_mean,
    cell_and_state_and_mean,
    first_states,
    names_of_a_step,
    upwards_alone,
]


@pytest.fixture(scope="module", params=FORMS, ids=lambda form: form.__name__.replace("_", " "))
def wild(request, own_graph, digits):
    """A graph, how many directions of layers it has, and its int8 candidates by name."""
    own = Own()
    directions = request.param(own)
    model = own_graph(*own.nodes, **own.arrays)
    onnx.checker.check_model(model, full_check=True)
    return model, directions, candidates.build(model, digits.images, PROFILES["any"])


def branch_of(model: onnx.ModelProto, name: str) -> onnx.GraphProto:
    (choice,) = [node for node in model.graph.node if node.op_type == "If"]
    return next(one.g for one in choice.attribute if one.name == name)


def logits_of(model: onnx.ModelProto, images: np.ndarray, batch: int) -> np.ndarray:
    return session.run(session.open_session(model), images, batch)[0]


def test_every_form_gets_every_candidate(wild):
    model, _, built = wild
    lstm = ["dynamic-lstm"] if "LSTM" in {node.op_type for node in model.graph.node} else []
    assert list(built) == ["weight-only", *lstm, "stepped", "branched"]


@pytest.mark.sampled(3)
def test_int8_says_nearly_what_the_graph_says_at_every_size_of_the_batch(wild, digits):
    model, _, built = wild
    many = np.resize(digits.images, (70, 28, 28))
    expected = logits_of(model, many, 70)
    for name, one in built.items():
        for batch in (1, 3, 70):
            found = logits_of(one.model, many, batch)
            assert np.abs(found - expected).max() < TOLERANCE * np.abs(expected).max(), (name, batch)
            assert not np.array_equal(found, expected), "int8 that changes nothing is no int8"


def test_the_graphs_are_valid(wild):
    for one in wild[2].values():
        onnx.checker.check_model(one.model, full_check=True)
        assert ("com.microsoft" in {entry.domain for entry in one.model.opset_import}) == bool(one.cpu_only)
        assert one.calibrated


def test_every_direction_of_every_layer_is_a_scan(wild, operators):
    _, directions, built = wild
    found = operators(built["stepped"].model)
    assert found["Scan"] == directions
    assert not found.keys() & {"LSTM", "GRU", "RNN", "DynamicQuantizeLSTM", "If"}


def test_pixels_stay_bytes_where_they_are_only_moved(wild, operators):
    model, _, built = wild
    (rows,) = [node.output[0] for node in model.graph.node if node.output[0] == "rows"]
    only = all(node.op_type in GATES for node in model.graph.node if rows in node.input)
    assert (operators(built["stepped"].model)["Cast"] > len(products(built["stepped"].model))) != only


def products(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """What makes int8 weights of other products float."""
    return [node for node in model.graph.node if node.op_type == "Cast" and node.input[0].endswith("_int8")]


def test_few_pictures_take_the_fused_operators_and_many_take_steps(wild):
    model, _, built = wild
    few, many = (
        {node.op_type for node in branch_of(built["branched"].model, name).node}
        for name in ("then_branch", "else_branch")
    )
    cells = {node.op_type for node in model.graph.node} & GATES.keys()
    assert few & (cells | {"DynamicQuantizeLSTM"})
    assert "Scan" not in few
    assert "Scan" in many
    assert not many & (cells | {"DynamicQuantizeLSTM"})


@pytest.mark.sampled(3)
def test_the_runtime_takes_each_way_by_itself(wild, images):
    """Its sessions hold one branch each (`edge.bundle.branches`), and say the same to the last bit."""
    model = wild[2]["branched"].model
    many = np.resize(images, (70, 28, 28))
    for batch in (1, 70):
        whole, split = session.open_session(model), session.open_deployed(model)
        np.testing.assert_array_equal(
            session.run(split, many[:batch], batch)[0], session.run(whole, many[:batch], batch)[0]
        )


def test_the_weights_are_stored_once(wild, arrays):
    both, steps = (
        {name: array for name, array in arrays(wild[2][name].model).items() if array.dtype == np.int8}
        for name in ("branched", "stepped")
    )
    assert both.keys() == steps.keys()
    assert not any(branch_of(wild[2]["branched"].model, name).initializer for name in ("then_branch", "else_branch"))


@pytest.mark.sampled(2)
def test_the_callers_model_stays_as_it_was_and_the_same_bytes_come_out(wild, digits):
    model, _, built = wild
    before = model.SerializeToString(deterministic=True)
    again = candidates.build(model, digits.images, PROFILES["any"])
    assert model.SerializeToString(deterministic=True) == before
    for name, one in built.items():
        assert one.model.SerializeToString(deterministic=True) == again[name].model.SerializeToString(
            deterministic=True
        )


def test_the_range_of_what_enters_is_that_of_calibration(own_graph, digits):
    own = Own()
    product_before_and_norm_between(own)
    model = own_graph(*own.nodes, **own.arrays)
    found = nodes.calibrate(model, digits.images)
    lower, upper = found.nodes.values()
    assert lower.entering.zero_point == 0, "what is rectified has no values below 0"
    assert upper.entering.zero_point > 0
    tapped = copy.deepcopy(model)
    tapped.graph.output.extend(onnx.ValueInfoProto(name=name) for name in ("rectified", "shifted"))
    values = session.open_session(tapped).run(["rectified", "shifted"], {"image": digits.images})
    for one, value in zip((lower, upper), values, strict=True):
        low, high = (bound * one.entering.scale - one.entering.zero_point * one.entering.scale for bound in (0, 255))
        assert low == pytest.approx(value.min(), abs=one.entering.scale)
        assert high == pytest.approx(value.max(), abs=one.entering.scale)


def test_states_that_are_only_moved_need_no_calibration(own_graph, digits):
    own = Own()
    both_directions_twice(own)
    lower, upper = nodes.calibrate(own_graph(*own.nodes, **own.arrays), digits.images).nodes.values()
    assert (lower.entering.scale, lower.entering.zero_point) == (1.0, 0)
    assert upper.entering.scale == pytest.approx(1 / 127)
    assert upper.entering.zero_point == 128
    assert lower.moves is not None
    assert upper.moves is None


def test_a_stack_of_layers_is_none(converted, digits):
    source = calibration.calibrate(converted("gru")[1].model, digits.images, PROFILES["any"])
    assert source.stack is not None
    assert source.nodes is None


def test_what_is_told_the_lengths_of_its_sequences_stays_as_it_is(own_graph, digits, operators):
    """There is no such thing row by row; its weights are int8 all the same."""
    own = Own()
    lengths = own.node("Cast", [own.constant(*[28] * 60)], "lengths", to=onnx.TensorProto.INT32)
    states = own.layer("LSTM", own.rows(), 28, 12, "states")
    own.nodes[-1].input.append(lengths)
    own.head(own.mean(states), 12)
    model = own_graph(*own.nodes, **own.arrays)
    built = candidates.build(model, digits.images, PROFILES["any"])
    assert list(built) == ["weight-only", "dynamic-lstm"]
    assert operators(built["weight-only"].model)["LSTM"] == 1


def test_weights_keep_to_the_bits_of_the_target(own_graph, digits):
    own = Own()
    attention(own)
    model = own_graph(*own.nodes, **own.arrays)
    for target, largest in (("any", 63), ("vnni", 127)):
        built = candidates.build(model, digits.images, PROFILES[target])
        for name in INTEGERS:
            (weights,) = [one for one in built[name].model.graph.initializer if one.name == "recurrent.0.weights"]
            assert 0.9 * largest < np.abs(numpy_helper.to_array(weights).astype(int)).max() <= largest

"""What exporters leave, pass by pass, on the smallest graphs in which there is something to do; no answer changes."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from edge_export.graph import cleaning, pixels
from edge_export.graph.builder import ConversionError
from edge_export.graph.session import open_session

SIZES = (1, 2, 3, 7)
HIDDEN = 5


def graph(body: str, result: str = "logits", **weights: np.ndarray | float | list[int]) -> onnx.ModelProto:
    """A graph from `image` to a float tensor, written as ONNX's text; weights by name."""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (uint8[batch, 28, 28] image) => (float[batch, k] '
        f"{result}) {{ p = Cast <to: int = 1> (image)\n{body} }}"
    )
    for name, value in weights.items():
        array = np.asarray(value)
        kind = np.float32 if array.dtype.kind == "f" else np.int64
        model.graph.initializer.append(numpy_helper.from_array(array.astype(kind), name))
    return model


def answers(model: onnx.ModelProto, name: str = "logits") -> list[np.ndarray]:
    session, random = open_session(model), np.random.default_rng(5)
    return [session.run([name], {"image": random.integers(0, 256, (size, 28, 28), np.uint8)})[0] for size in SIZES]


@pytest.fixture
def simplified() -> Callable[..., list[str]]:
    """The operators that are left of a graph, whose answers must be the same."""

    def run(body: str, simplify: Callable = cleaning.clean, **weights: object) -> list[str]:
        model = graph(body, **weights)
        before = model.SerializeToString()
        left = simplify(model)
        assert model.SerializeToString() == before, "the caller's model stays"
        for one, other in zip(answers(model), answers(left), strict=True):
            np.testing.assert_allclose(other, one, atol=1e-4 * np.abs(one).max())
        return [node.op_type for node in left.graph.node][1:]

    return run


def layer(cell: str = "LSTM", directions: int = 1, inputs: int = 28) -> dict[str, np.ndarray]:
    """Weights of a recurrent layer; biases too, so that a state of zeros is not a fixed point."""
    gates, random = {"LSTM": 4, "GRU": 3, "RNN": 1}[cell] * HIDDEN, np.random.default_rng(3)
    sizes = {"W": (directions, gates, inputs), "R": (directions, gates, HIDDEN), "B": (directions, 2 * gates)}
    return {name: random.normal(0, 0.1 if name != "W" else 0.003, size) for name, size in sizes.items()}


ROWS = "r = Transpose <perm = [1, 0, 2]> (p)\n"
LSTM = "y, h, c = LSTM <hidden_size = 5> (r, W, R, B)\n"
GRU = "y, h = GRU <hidden_size = 5, linear_before_reset = 1> (r, W, R)\n"
BOTH = 'y, h, c = LSTM <hidden_size = 5, direction = "bidirectional"> (r, W, R, B)\n'
BATCH = "s = Shape (image)\nn = Gather <axis = 0> (s, zero)\nn1 = Unsqueeze (n, first)\n"
AXES = {"zero": 0, "first": [0]}

# --- what depends on the batch ----------------------------------------------------------------------------------------


def test_sizes_that_do_not_change_with_the_batch_are_constants(simplified):
    body = (
        "s = Shape (p)\nrows = Gather <axis = 0> (s, one)\nt = Cast <to: int = 1> (rows)\n"
        "f = Flatten (p)\nlogits = Div (f, t)"
    )
    assert simplified(body, one=1) == ["Flatten", "Div"]


def test_what_is_the_same_for_every_picture_is_repeated_by_the_operator_that_takes_it(simplified):
    body = BATCH + (
        "k = Concat <axis = 0> (n1, rest)\nz = ConstantOfShape (k)\ng = Gemm (z, w, b)\n"
        "f = Flatten (p)\nm = MatMul (f, v)\nlogits = Add (m, g)"
    )
    random = np.random.default_rng(1)
    weights = {"w": random.normal(size=(4, 3)), "b": random.normal(size=3), "v": random.normal(size=(784, 3))}
    assert set(simplified(body, rest=[4], **AXES, **weights)) == {"Flatten", "MatMul", "Add"}


def test_a_graph_that_runs_with_one_size_only_is_refused(simplified):
    with pytest.raises(ConversionError, match=r"does not run with 2 and 3 pictures: .*its batch axis is frozen"):
        simplified("logits = Reshape (p, sizes)", sizes=[2, 784])


# --- first states -----------------------------------------------------------------------------------------------------


def zeros(name: str, more: str = "") -> str:
    return BATCH + f"k = Concat <axis = 0> (d, n1, hidden)\n{name} = ConstantOfShape (k)\n{more}"


STATE = {"d": [1], "hidden": [HIDDEN], **AXES}
HEAD = "logits = Squeeze (h, first)"


@pytest.mark.parametrize(
    "first",
    [
        zeros("h0"),
        zeros("z", "h0 = Identity (z)\n"),
        zeros("z", "w = Mul (z, two)\nh0 = Add (w, z)\n"),
        BATCH + "k = Concat <axis = 0> (d, n1, hidden)\nh0 = Expand (nought, k)\n",
    ],
    ids=["made", "moved", "computed", "expanded"],
)
@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
@pytest.mark.sampled(4)
def test_a_first_state_of_zeros_is_left_out(cell, first, simplified):
    states = "h0, h0" if cell == "LSTM" else "h0"
    more = ", linear_before_reset = 1" if cell == "GRU" else ""
    body = f"{ROWS}{first}y, h = {cell} <hidden_size = 5{more}> (r, W, R, B, , {states})\n{HEAD}"
    assert simplified(body, two=2.0, nought=[[[0.0]]], **STATE, **layer(cell)) == ["Transpose", cell, "Squeeze"]


@pytest.mark.parametrize(("activation", "kept"), [("Tanh", False), ("Relu", True)])
def test_an_activation_that_onnx_takes_by_itself_is_left_out(activation, kept, simplified):
    body = f'{ROWS}y, h = RNN <hidden_size = 5, activations = ["{activation}"]> (r, W, R, B)\n{HEAD}'
    weights = {"first": [0], **layer("RNN")}
    simplified(body, **weights)
    (node,) = [node for node in cleaning.clean(graph(body, **weights)).graph.node if node.op_type == "RNN"]
    assert ("activations" in {one.name for one in node.attribute}) == kept


def test_a_stored_state_of_zeros_is_left_out(simplified):
    body = f"{ROWS}f = Expand (h1, k)\ny, h = RNN <hidden_size = 5> (r, W, R, B, , f)\n{HEAD}"
    made = body.replace("f = Expand", BATCH + "k = Concat <axis = 0> (d, n1, hidden)\nf = Expand")
    left = simplified(made, h1=np.zeros((1, 1, HIDDEN)), **STATE, **layer("RNN"))
    assert left == ["Transpose", "RNN", "Squeeze"]


LENGTHS = BATCH + "long = Expand (length, n1)\nlengths = Cast <to: int = 6> (long)\n"


@pytest.mark.parametrize(("length", "kept"), [(28, False), (20, True)])
@pytest.mark.parametrize("cell", [LSTM, GRU])
def test_lengths_of_whole_sequences_are_left_out(cell, length, kept, simplified):
    """What was packed and was not shorter is a sequence like any other."""
    with_lengths = cell.replace(")", ", lengths)" if cell == LSTM else ", , lengths)")
    body = f"{ROWS}{LENGTHS}{with_lengths}{HEAD}"
    weights = {"length": [length], **AXES, **layer("LSTM" if cell == LSTM else "GRU")}
    simplified(body, **weights)
    (node,) = [node for node in cleaning.clean(graph(body, **weights)).graph.node if node.op_type in ("LSTM", "GRU")]
    assert (len(node.input) > cleaning.LENGTHS) == kept


FIRST_ROW = (
    "q = Slice (p, first, until, axes)\nu = Squeeze (q, axes)\nt = Slice (u, first, h_until, second)\n"
    "v = Div (t, large)\nh0 = Unsqueeze (v, first)\n"
)


@pytest.mark.parametrize(
    ("first", "weights"),
    [
        (BATCH + "k = Concat <axis = 0> (d, n1, hidden)\nh0 = Expand (learned, k)\n", {"learned": np.full(5, 0.5)}),
        (FIRST_ROW, {"until": [1], "axes": [1], "h_until": [5], "second": [1], "large": 255.0}),
    ],
    ids=["learned", "from the picture"],
)
def test_a_first_state_that_is_not_zero_is_kept(first, weights, simplified):
    body = f"{ROWS}{first}y, h = RNN <hidden_size = 5> (r, W, R, B, , h0)\n{HEAD}"
    left = graph(body, **STATE, **layer("RNN"), **weights)
    simplified(body, **STATE, **layer("RNN"), **weights)
    (node,) = [node for node in cleaning.clean(left).graph.node if node.op_type == "RNN"]
    assert len(node.input) == 6
    assert node.input[5]


def test_each_first_state_of_an_lstm_is_judged_alone(simplified):
    body = f"{ROWS}{zeros('c0')}h0 = Expand (learned, k)\ny, h = LSTM <hidden_size = 5> (r, W, R, B, , h0, c0)\n{HEAD}"
    weights = {**STATE, **layer(), "learned": np.full(HIDDEN, 0.3)}
    simplified(body, **weights)
    (node,) = [node for node in cleaning.clean(graph(body, **weights)).graph.node if node.op_type == "LSTM"]
    assert len(node.input) == 6
    assert node.input[5]


# --- moving numbers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "left"),
    [
        ("k = Concat <axis = 0> (n1, a)", ["Flatten"]),
        ("k = Concat <axis = 0> (n1, b)", ["Flatten"]),
        ("k = Concat <axis = 0> (n1, c)", ["Reshape"]),
    ],
)
def test_sizes_by_the_size_of_the_batch_become_constant(sizes, left, simplified):
    body = f"{BATCH}{sizes}\nlogits = Reshape (p, k)"
    assert simplified(body, a=[784], b=[-1], c=[14, -1], **AXES) == left


@pytest.mark.parametrize(
    "moves",
    [
        "u = Unsqueeze (p, one)\nq = Squeeze (u, one)\n",
        "u = Unsqueeze (p, one)\nq = Gather <axis = 1> (u, zero)\n",
        "u = Unsqueeze (p, one)\nv = Transpose <perm = [0, 2, 1, 3]> (u)\nq = Reshape (v, plain)\n",
        "u = Reshape (p, flat)\nv = Unsqueeze (u, one)\nq = Reshape (v, plain)\n",
        "u = Transpose <perm = [2, 0, 1]> (p)\nq = Transpose <perm = [1, 2, 0]> (u)\n",
        "q = Identity (p)\n",
        "q = Slice (p, nought, thousand, one)\n",
    ],
)
def test_moves_that_change_nothing_go(moves, simplified):
    weights = {"one": [1], "zero": 0, "plain": [-1, 28, 28], "flat": [-1, 784], "nought": [0], "thousand": [1000]}
    assert simplified(moves + "f = Neg (q)\nlogits = Flatten (f)", **weights) == ["Neg", "Flatten"]


@pytest.mark.parametrize(
    ("moves", "left"),
    [
        ("u = Unsqueeze (p, one)\nq = Unsqueeze (u, one)\n", ["Unsqueeze"]),
        ("u = Reshape (p, flat)\nq = Unsqueeze (u, one)\n", ["Reshape"]),
        ("u = Unsqueeze (p, one)\nq = Flatten (u)\n", ["Flatten"]),
    ],
)
def test_moves_in_a_row_are_one(moves, left, simplified):
    found = simplified(moves + "f = Neg (q)\nlogits = Flatten (f)", one=[1], flat=[-1, 784])
    assert found[:1] == left
    assert found[1] == "Neg"


@pytest.mark.parametrize(
    "moves",
    [
        "q = Transpose <perm = [0, 2, 1]> (p)\n",
        "q = Slice (p, last, before, one, back)\n",
        "q = Gather <axis = 1> (p, turned)\n",
    ],
    ids=["transposed", "backwards", "in another order"],
)
def test_moves_that_change_the_order_stay(moves, simplified):
    weights = {"one": [1], "last": [27], "before": [-100], "back": [-1], "turned": list(range(27, -1, -1))}
    assert simplified(moves + "f = Neg (q)\nlogits = Flatten (f)", **weights)[1:] == ["Neg", "Flatten"]


# --- final states -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "last",
    [
        "q = Squeeze (y, one)\nt = Transpose <perm = [1, 0, 2]> (q)\nlogits = Gather <axis = 1> (t, minus)",
        "q = Squeeze (y, one)\nlogits = Gather <axis = 0> (q, minus)",
        "q = Squeeze (y, one)\nlogits = Gather <axis = 0> (q, end)",
        "q = Gather <axis = 0> (y, minus)\nlogits = Squeeze (q, zero)",
        "q = Slice (y, minuses, thousand, zero)\nlogits = Reshape (q, flat)",
        "logits = Gather <axis = 0> (h, nought)",
        "logits = Gather <axis = 0> (h, minus)",
    ],
)
@pytest.mark.sampled(3)
def test_the_last_step_of_a_layer_is_its_final_state(last, simplified):
    weights = {"one": [1], "minus": -1, "end": 27, "zero": [0], "nought": 0, "minuses": [-1], "thousand": [1000]}
    assert simplified(ROWS + LSTM + last, flat=[-1, HIDDEN], **weights, **layer()) == ["Transpose", "LSTM", "Squeeze"]


def test_another_step_is_not_the_final_state(simplified):
    body = f"{ROWS}{LSTM}q = Gather <axis = 0> (y, early)\nlogits = Squeeze (q, first)"
    assert "Gather" in simplified(body, early=26, first=[0], **layer())


def test_the_state_of_the_layer_that_is_meant_is_taken(simplified):
    body = (
        f"{ROWS}{LSTM}q = Squeeze (y, one)\ny2, h2, c2 = LSTM <hidden_size = 5> (q, W2, R2, B2)\n"
        "both = Concat <axis = 0> (h, h2)\nlogits = Gather <axis = 0> (both, place)"
    )
    second = {f"{name}2": array for name, array in layer(inputs=HIDDEN).items()}
    assert simplified(body, one=[1], place=-1, **layer(), **second).count("LSTM") == 2
    assert simplified(body, one=[1], place=0, **layer(), **second) == ["Transpose", "LSTM", "Squeeze"]


@pytest.mark.parametrize(
    ("last", "left"),
    [
        ("a = Gather <axis = 0> (h, nought)\nb = Gather <axis = 0> (h, one)\n", ["Transpose", "Flatten"]),
        ("a = Gather <axis = 0> (h, one)\nb = Gather <axis = 0> (h, nought)\n", ["Gather", "Gather", "Concat"]),
    ],
    ids=["in order", "the other way round"],
)
def test_final_states_of_both_directions_side_by_side_are_a_transposed_state(last, left, simplified):
    body = f"{ROWS}{BOTH}{last}logits = Concat <axis = 1> (a, b)"
    assert simplified(body, nought=0, one=1, **layer(directions=2))[2:] == left


def test_the_last_step_of_both_directions_is_taken_before_they_are_turned(simplified):
    body = (
        f"{ROWS}{BOTH}t = Transpose <perm = [0, 2, 1, 3]> (y)\nq = Reshape (t, joined)\n"
        "logits = Gather <axis = 0> (q, minus)"
    )
    left = simplified(body, joined=[0, 0, -1], minus=-1, **layer(directions=2))
    assert left == ["Transpose", "LSTM", "Gather", "Transpose", "Flatten"]


# --- pixels -----------------------------------------------------------------------------------------------------------

NORMALISED = "d1 = Div (p, white)\nd2 = Sub (d1, mean)\nx = Div (d2, deviation)\n"
INVERTED = "d1 = Div (p, white)\nd2 = Sub (unit, d1)\nx = Mul (d2, twice)\n"
NUMBERS = {"white": 255.0, "mean": 0.1307, "deviation": 0.3081, "unit": 1.0, "twice": 2.0}
DENSE = np.random.default_rng(7).normal(size=(784, 3)) / 28
KERNELS = np.random.default_rng(8).normal(size=(4, 1, 3, 3)) / 3
BIAS = np.array([0.5, -0.5, 1.0, 2.0])

LAYERS = {
    "an LSTM": ("r = Transpose <perm = [1, 0, 2]> (x)\n" + LSTM + HEAD, {"first": [0], **layer()}),
    "a GRU without a bias": (
        f"r = Transpose <perm = [1, 0, 2]> (x)\n{GRU}{HEAD}",
        {"first": [0], **{name: array for name, array in layer("GRU").items() if name != "B"}},
    ),
    "a fully connected layer": ("f = Flatten (x)\nlogits = Gemm (f, w, b)", {"w": DENSE, "b": BIAS[:3]}),
    "one with its weights the other way": (
        "f = Flatten (x)\nlogits = Gemm <transB = 1> (f, w)",
        {"w": np.ascontiguousarray(DENSE.T)},
    ),
    "a product of the rows": (
        "m = MatMul (x, w)\ny = Add (m, b)\nlogits = Flatten (y)",
        {"w": DENSE[:28], "b": BIAS[:3]},
    ),
    "a convolution": ("u = Unsqueeze (x, one)\nc = Conv (u, w)\nlogits = Flatten (c)", {"one": [1], "w": KERNELS}),
}


@pytest.mark.parametrize("before", [NORMALISED, INVERTED], ids=["normalised", "inverted"])
@pytest.mark.parametrize("name", LAYERS)
def test_the_first_layer_takes_over_what_is_done_to_every_pixel(name, before, simplified):
    body, weights = LAYERS[name]
    left = simplified(before + body, pixels.fold, **NUMBERS, **weights)
    assert not {"Div", "Sub", "Mul"} & set(left)
    assert left.count("Add") == ("product" in name)


def test_zeros_that_a_convolution_pads_stand_behind_the_shift_which_stays(simplified):
    body = NORMALISED + "u = Unsqueeze (x, one)\nc = Conv <pads = [1, 1, 1, 1]> (u, w, b)\nlogits = Flatten (c)"
    left = simplified(body, pixels.fold, one=[1], w=KERNELS, b=BIAS, **NUMBERS)
    assert left == ["Add", "Unsqueeze", "Conv", "Flatten"]
    scaled = body.replace(NORMALISED, "x = Div (p, white)\n")
    assert simplified(scaled, pixels.fold, one=[1], w=KERNELS, b=BIAS, white=255.0) == ["Unsqueeze", "Conv", "Flatten"]


def test_every_layer_that_takes_the_pixels_takes_the_scale_over(simplified):
    body = (
        NORMALISED + "u = Unsqueeze (x, one)\nc = Conv (u, w)\nd = Conv (u, v)\ne = Relu (c)\nf = Add (d, e)\n"
        "logits = Flatten (f)"
    )
    left = simplified(body, pixels.fold, one=[1], w=KERNELS, v=KERNELS[::-1], **NUMBERS)
    assert left == ["Unsqueeze", "Conv", "Conv", "Relu", "Add", "Flatten"]


def test_weights_that_two_layers_share_are_scaled_for_one_of_them(simplified):
    body = NORMALISED + "m = MatMul (x, w)\ny = Add (m, b)\nz = MatMul (y, w)\nlogits = Flatten (z)"
    square = np.random.default_rng(2).normal(size=(28, 28)) / 28
    simplified(body, pixels.fold, w=square, b=np.ones(28), **NUMBERS)


def test_where_no_layer_is_linear_one_product_and_one_sum_are_left(simplified):
    left = simplified(NORMALISED + "q = Sigmoid (x)\nlogits = Flatten (q)", pixels.fold, **NUMBERS)
    assert left == ["Mul", "Add", "Sigmoid", "Flatten"]


def test_a_divisor_that_is_the_picture_is_left_alone(simplified):
    body = "a = Add (p, unit)\nb = Div (unit, a)\nlogits = Flatten (b)"
    assert simplified(body, pixels.fold, unit=1.0) == ["Add", "Div", "Flatten"]

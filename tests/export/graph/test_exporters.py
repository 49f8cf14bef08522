"""Somebody's own module: exported, then cleaned until as little is left as in a graph of our own."""

from collections.abc import Iterable

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_export.graph import exporters, session
from edge_export.graph.builder import ConversionError, Converted
from edge_export.int8 import candidates
from edge_export.int8.processors import PROFILES
from edge_export.int8.quantisation import int8_share
from edge_train.training.evaluation import logits_of


def module(forward, **layers: nn.Module) -> nn.Module:
    """A network of those layers and that forward, called with the network and the images."""
    torch.manual_seed(1)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, layer in layers.items():
                self.add_module(name, layer)

        def forward(self, images: Tensor) -> Tensor:
            return forward(self, images)

    return Network().eval()


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def zero_state(net: nn.Module, images: Tensor) -> Tensor:
    sequence, _ = net.rnn(images, torch.zeros(1, images.size(0), 12))
    return net.head(net.norm(sequence[:, -1]))


def zero_states(net: nn.Module, images: Tensor) -> Tensor:
    state = (torch.zeros(4, images.size(0), 9), torch.zeros(4, images.size(0), 9))
    sequence, _ = net.rnn(images, state)
    return net.head(sequence[:, -1])


def batch_viewed(net: nn.Module, images: Tensor) -> Tensor:
    features = net.pool(F.relu(net.norm(net.conv(images.unsqueeze(1)))))
    return net.head(features.view(images.size(0), -1))


def state_viewed(net: nn.Module, images: Tensor) -> Tensor:
    _, state = net.rnn(images)
    return net.head(state.view(images.size(0), -1))


def columns_of_a_picture(net: nn.Module, images: Tensor) -> Tensor:
    columns = F.relu(net.conv(images.unsqueeze(1))).transpose(1, 2).flatten(2)
    return net.head(net.rnn(columns)[0][:, -1])


def both_directions(net: nn.Module, images: Tensor) -> Tensor:
    _, (state, _) = net.rnn(images)
    return net.head(state.transpose(0, 1).reshape(images.shape[0], -1))


def time_first(net: nn.Module, images: Tensor) -> Tensor:
    sequence, _ = net.rnn(images.permute(1, 0, 2))
    return net.head(sequence.permute(1, 0, 2).reshape(images.shape[0], -1))


def own_state(net: nn.Module, images: Tensor) -> Tensor:
    count = images.size(0)
    first = net.start.weight.unsqueeze(0).expand(1, count, 8).contiguous()
    sequence, _ = net.rnn(images, (first, torch.zeros(1, count, 8)))
    return net.head(sequence[:, -1])


def step_by_step(net: nn.Module, images: Tensor) -> Tensor:
    state = torch.zeros(images.size(0), 8)
    for row in range(images.size(1)):
        state = net.cell(images[:, row], state)
    return net.head(state)


NETWORKS = {
    "an RNN with its own zero state and a LayerNorm": (
        zero_state,
        lambda: {"rnn": nn.RNN(28, 12, batch_first=True), "norm": nn.LayerNorm(12), "head": nn.Linear(12, 10)},
    ),
    "a bidirectional LSTM of two layers with its own zero states": (
        zero_states,
        lambda: {"rnn": nn.LSTM(28, 9, 2, batch_first=True, bidirectional=True), "head": nn.Linear(18, 10)},
    ),
    "a CNN that views its features by the batch size": (
        batch_viewed,
        lambda: {
            "conv": nn.Conv2d(1, 4, 5),
            "norm": nn.BatchNorm2d(4),
            "pool": nn.MaxPool2d(2),
            "head": nn.Linear(4 * 12 * 12, 10),
        },
    ),
    "an MLP": (
        lambda net, images: net.layers(images),
        lambda: {"layers": nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 10))},
    ),
    "a GRU whose state is viewed by the batch size": (
        state_viewed,
        lambda: {"rnn": nn.GRU(28, 12, batch_first=True), "head": nn.Linear(12, 10)},
    ),
    "a GRU over the columns of a convolution": (
        columns_of_a_picture,
        lambda: {"conv": nn.Conv2d(1, 3, 5), "rnn": nn.GRU(72, 8, batch_first=True), "head": nn.Linear(8, 10)},
    ),
    "an LSTM read from both directions": (
        both_directions,
        lambda: {"rnn": nn.LSTM(28, 12, bidirectional=True, batch_first=True), "head": nn.Linear(24, 10)},
    ),
    "an LSTM with time first": (time_first, lambda: {"rnn": nn.LSTM(28, 8), "head": nn.Linear(28 * 8, 10)}),
}
UNUSUAL = {
    "an LSTM with a learned first state": (
        own_state,
        lambda: {"rnn": nn.LSTM(28, 8, batch_first=True), "start": nn.Embedding(1, 8), "head": nn.Linear(8, 10)},
    ),
    "a GRU cell in a loop": (step_by_step, lambda: {"cell": nn.GRUCell(28, 8), "head": nn.Linear(8, 10)}),
    "a transformer": (
        lambda net, images: net.head(net.encoder(images).mean(1)),
        lambda: {"encoder": nn.TransformerEncoderLayer(28, 4, 32, batch_first=True), "head": nn.Linear(28, 10)},
    ),
}


# Their way into a graph is that of others above.
LIKE_OTHERS = {
    "a bidirectional LSTM of two layers with its own zero states",
    "a GRU cell in a loop",
    "an LSTM with time first",
}


def each(names: Iterable[str]) -> list[object]:
    """The names as parameters; those of `LIKE_OTHERS` are exhaustive."""
    return [pytest.param(name, marks=[pytest.mark.exhaustive] if name in LIKE_OTHERS else []) for name in names]


class Graphs(dict[str, tuple[nn.Module, Converted]]):
    """Networks with their graphs, each traced once, when it is first asked for."""

    def __missing__(self, name: str) -> tuple[nn.Module, Converted]:
        network = built(name)
        self[name] = network, exporters.convert(network, classes=10, temperature=1.0)
        return self[name]


def built(name: str) -> nn.Module:
    forward, layers = {**NETWORKS, **UNUSUAL}[name]
    torch.manual_seed(2)
    return module(forward, **layers())


@pytest.fixture(scope="module")
def graphs() -> Graphs:
    return Graphs()


@pytest.mark.parametrize("name", each([*NETWORKS, *UNUSUAL]))
def test_an_own_network_converts_exactly_at_every_batch_size(name, graphs, images, answers):
    net, converted = graphs[name]
    np.testing.assert_allclose(answers(converted.model, images), logits_of(net, images), atol=2e-5)


@pytest.mark.parametrize("name", each(NETWORKS))
def test_nothing_is_left_of_the_arithmetic_with_the_batch_size(name, graphs):
    left = {"Shape", "Size", "ConstantOfShape", "Expand", "Concat", "Unsqueeze", "Slice", "Constant", "Identity"}
    if "convolution" in name or "CNN" in name:
        left.discard("Unsqueeze")  # the channel axis of the picture
    assert not left & set(operators(graphs[name][1].model))


@pytest.mark.represented(
    name=("an RNN with its own zero state and a LayerNorm", "a GRU whose state is viewed by the batch size")
)
@pytest.mark.parametrize(
    ("name", "operator", "count"),
    [
        ("an RNN with its own zero state and a LayerNorm", "RNN", 1),
        ("a bidirectional LSTM of two layers with its own zero states", "LSTM", 2),
        ("a GRU whose state is viewed by the batch size", "GRU", 1),
        ("an LSTM with time first", "LSTM", 1),
    ],
)
def test_a_recurrent_layer_stays_one_operator_without_initial_states(name, operator, count, graphs):
    found = [node for node in graphs[name][1].model.graph.node if node.op_type == operator]
    assert len(found) == count
    assert all(len(node.input) == 4 for node in found)


def test_a_learned_first_state_is_kept_and_the_zero_one_beside_it_left_out(graphs):
    model = graphs["an LSTM with a learned first state"][1].model
    (node,) = [node for node in model.graph.node if node.op_type == "LSTM"]
    assert len(node.input) == 6
    assert node.input[5]


@pytest.mark.parametrize("name", each(NETWORKS))
def test_opset_and_ir_are_the_lowest_and_the_graph_is_valid(name, graphs):
    model = graphs[name][1].model
    assert (model.opset_import[0].version, model.ir_version) == (13, 7)
    onnx.checker.check_model(model, full_check=True)


def test_an_operator_that_needs_a_newer_opset_gets_it_and_no_newer_one(graphs):
    model = graphs["a transformer"][1].model
    assert (model.opset_import[0].version, model.ir_version) == (17, 8)


@pytest.mark.represented(name=("an RNN with its own zero state and a LayerNorm",))
@pytest.mark.parametrize("name", ["an RNN with its own zero state and a LayerNorm", "a transformer"])
def test_tracing_again_gives_the_same_bytes(name, graphs):
    net, converted = graphs[name]
    again = exporters.convert(net, classes=10, temperature=1.0)
    assert again.model.SerializeToString(deterministic=True) == converted.model.SerializeToString(deterministic=True)


@pytest.mark.parametrize("name", each([*NETWORKS, *UNUSUAL]))
def test_no_trace_of_this_machine_is_in_the_graph(name, graphs):
    content = graphs[name][1].model.SerializeToString()
    assert b"test_exporters" not in content
    assert b".py" not in content
    assert graphs[name][1].model.producer_version == ""


@pytest.mark.represented(name=("an LSTM with time first",))
@pytest.mark.parametrize("name", ["an LSTM with time first", "a transformer"])
def test_tracing_is_silent(name, capfd, recwarn):
    exporters.convert(built(name), classes=10, temperature=1.0)
    assert capfd.readouterr().out == "", "results go to stdout, and nothing else"
    assert not recwarn.list


def test_stdout_works_again_after_a_failed_trace(capfd):
    def failing(_net: nn.Module, images: Tensor) -> Tensor:
        return torch.linalg.eigvals(images).real @ torch.ones(28, 10)

    with pytest.raises(
        ConversionError, match=r"by tracing: torch cannot trace the model: .*; change the model's forward"
    ):
        exporters.convert(module(failing), classes=10, temperature=1.0)
    print("still here")
    assert capfd.readouterr().out == "still here\n"


def test_a_temperature_divides_the_logits_in_front_of_the_softmax(images):
    model = exporters.convert(built("an MLP"), classes=10, temperature=2.0).model
    logits, probabilities = session.run(session.open_session(model), images, 17)
    powers = np.exp(logits.astype(np.float64) / 2)
    np.testing.assert_allclose(probabilities, powers / powers.sum(1, keepdims=True), atol=1e-6)


def frozen_by_stack(net: nn.Module, images: Tensor) -> Tensor:
    return torch.stack([net.head(image.flatten()) for image in images])


def frozen_by_size(net: nn.Module, images: Tensor) -> Tensor:
    return net.head(images.flatten(1)) + torch.zeros(int(images.size(0)), 10)


def rows_of_each_picture(net: nn.Module, images: Tensor) -> Tensor:
    return torch.cat([net.head(net.rnn(images[at : at + 1])[1][-1]) for at in range(len(images))])


def test_a_recurrent_layer_in_a_loop_over_pictures_does_not_end_the_process(images, answers, digits):
    """ONNX Runtime aborts where such a layer gets a batch of no picture, which a traced loop would give it."""
    net = module(rows_of_each_picture, rnn=nn.GRU(28, 5, batch_first=True), head=nn.Linear(5, 10))
    done = exporters.convert(net, classes=10, temperature=1.0)
    assert done.exporter == "picture by picture"
    np.testing.assert_allclose(answers(done.model, images), logits_of(net, images), atol=2e-5)
    (quantised,) = candidates.build(done.model, digits.images, PROFILES["any"]).values()
    assert int8_share(quantised.model) > 0.4, "weights in the body of the Scan become int8 too"


def branches(net: nn.Module, images: Tensor) -> Tensor:
    hidden = net.first(images.flatten(1))
    dark = images.mean() < 2.0
    return net.last(torch.cond(dark, lambda x: torch.relu(net.inner(x)), lambda x: -x, (hidden,)))


def test_branches_that_a_forward_asks_for_stay_branches_and_their_weights_become_int8(images, answers, digits):
    layers = {"first": nn.Linear(784, 30), "inner": nn.Linear(30, 30), "last": nn.Linear(30, 10)}
    net = module(branches, **layers)
    done = exporters.convert(net, classes=10, temperature=1.0)
    assert "If" in operators(done.model)
    expected = logits_of(net, images)
    np.testing.assert_allclose(answers(done.model, images), expected, atol=2e-5)
    quantised = candidates.build(done.model, digits.images, PROFILES["any"])["weight-only"].model
    assert len(quantised.SerializeToString()) < 0.3 * len(done.model.SerializeToString())
    (branch,) = [node for node in quantised.graph.node if node.op_type == "If"]
    inside = {node.op_type for one in branch.attribute for node in one.g.node}
    assert "Gemm" in inside
    assert not inside & {"Cast", "Mul"}, "weights become floats outside of the branch, where the session folds them"
    np.testing.assert_allclose(answers(quantised, images), expected, atol=0.05 * np.abs(expected).max())


@pytest.mark.parametrize("forward", [frozen_by_stack, frozen_by_size])
def test_what_no_exporter_leaves_the_batch_free_of_is_exported_picture_by_picture(forward, images, answers):
    net = module(forward, head=nn.Linear(784, 10))
    done = exporters.convert(net, classes=10, temperature=1.0)
    assert done.exporter == "picture by picture"
    assert operators(done.model) == ["Scan"]
    np.testing.assert_allclose(answers(done.model, images), logits_of(net, images), atol=2e-5)


@pytest.mark.parametrize("sizes", [lambda count: (count, 784), lambda count: (count, -1)])
def test_a_size_of_the_batch_that_a_reshape_took_for_a_number_is_freed(sizes, images, answers):
    net = module(lambda net, images: net.head(images.reshape(sizes(int(images.size(0))))), head=nn.Linear(784, 10))
    model = exporters.convert(net, classes=10, temperature=1.0).model
    np.testing.assert_allclose(answers(model, images), logits_of(net, images), atol=2e-5)


@pytest.mark.parametrize("name", each([*NETWORKS, *UNUSUAL]))
def test_taps_are_layers_of_the_module_in_order_of_computation(name, graphs):
    net, converted = graphs[name]
    outputs = [output for node in converted.model.graph.node for output in node.output]
    positions = [outputs.index(tap.tensor) for tap in converted.taps]
    assert positions == sorted(positions)
    assert converted.taps[-1].layer == "output"
    layers = {path for path, _ in net.named_modules()}
    assert {tap.layer for tap in converted.taps[:-1]} <= layers


def test_the_layers_of_a_sequential_are_tapped_by_their_paths(graphs):
    taps = [tap.layer for tap in graphs["an MLP"][1].taps]
    assert taps == ["layers.0", "layers.1", "layers.2", "output"]


@pytest.mark.parametrize("name", each(name for name in NETWORKS if "columns" not in name))
def test_int8_of_an_own_network_is_mostly_int8_and_nearly_right(name, graphs, digits):
    net, converted = graphs[name]
    expected = logits_of(net, digits.images)
    for quantised in candidates.build(converted.model, digits.images, PROFILES["any"]).values():
        assert int8_share(quantised.model) > 0.7
        found, _ = session.run(session.open_session(quantised.model), digits.images, 1)
        assert np.abs(found - expected).max() < 0.08 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("name", "suitable"),
    [
        ("an LSTM with a learned first state", ["weight-only", "dynamic-lstm"]),
        ("a GRU over the columns of a convolution", ["weight-only", "stepped", "branched", "static-qdq"]),
        ("an MLP", ["weight-only", "static-qdq", "blocks", "blocks-percentile"]),
    ],
)
def test_own_layers_are_not_rewritten_row_by_row(name, suitable, graphs, digits):
    """What follows them is no final state alone: only node by node is it safe."""
    assert list(candidates.build(graphs[name][1].model, digits.images, PROFILES["any"])) == suitable


@pytest.mark.parametrize(
    ("name", "suitable"),
    [
        ("an RNN with its own zero state and a LayerNorm", ["weight-only", "stepped", "branched"]),
        ("a GRU whose state is viewed by the batch size", ["weight-only", "stepped", "branched"]),
        ("an LSTM read from both directions", ["weight-only", "dynamic-lstm", "stepped", "branched"]),
    ],
)
def test_a_stack_with_a_final_state_gets_the_candidates_of_edge_s_own(name, suitable, graphs, digits):
    """The pixels enter it raw: the scale is in its weights."""
    assert list(candidates.build(graphs[name][1].model, digits.images, PROFILES["any"])) == suitable


def test_int8_keeps_the_opset_that_the_network_needs(graphs, digits):
    built = candidates.build(graphs["a transformer"][1].model, digits.images, PROFILES["any"])
    assert list(built) == ["weight-only", "static-qdq"]
    for one in built.values():
        assert {entry.domain: entry.version for entry in one.model.opset_import}[""] == 17


@pytest.mark.represented(cell=("LSTM",))
@pytest.mark.parametrize(("cell", "count"), [("LSTM", 2), ("GRU", 1), ("RNN", 1)])
def test_a_recurrent_network_needs_no_tracing_exporter(cell, count, images):
    """On the day when torch has none any more, its layers are written from their own weights."""
    layers = {
        "rnn": getattr(nn, cell)(28, 12, num_layers=count, batch_first=True, bidirectional=count == 2),
        "head": nn.Linear(12 * count, 10),
    }
    network = module(lambda net, given: net.head(net.rnn(given)[0][:, -1]), **layers)
    newer = {"exported program": exporters.EXPORTERS["exported program"]}
    done = exporters.convert(network, classes=10, temperature=1.0, exporters=newer)
    assert done.exporter == "exported program"
    assert operators(done.model).count(cell) == count
    found, _ = session.run(session.open_session(done.model), images, len(images))
    np.testing.assert_allclose(found, logits_of(network, images), atol=1e-5)

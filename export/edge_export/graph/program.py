"""torch's newer exporter, by way of an exported program, with every recurrent layer as one fused operator.

By itself it slices the weights of an LSTM into dozens of nodes, and unrolls a plain RNN. So a copy of the module gets
another layer in the place of each `nn.LSTM`, `nn.GRU` and `nn.RNN`: one that calls an operator of edge's own, with the
layer's own weights in ONNX's order, for which the exporter is told the operator of ONNX. Nothing of this needs the
tracing exporter, which torch calls legacy.
"""

import copy
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from onnx import GraphProto, ModelProto
from torch import Tensor, nn

from edge.bundle.input import COLUMNS, NAME, ROWS
from edge_export.graph.builder import LOGITS, PROBABILITIES, PRODUCER, ConversionError, bodies_of
from edge_export.graph.recurrent_graph import OPERATOR, gates_in_order

OPSET, IR_VERSION = 18, 8  # the lowest that the exporter writes, and the ONNX release that brought it
BATCH = "batch"
EXAMPLE = 2  # pictures; the exporter takes 1 for a size of its own

_SCOPES = "pkg.torch.onnx.name_scopes"  # the modules around a node, as the exporter notes them


def export(whole: nn.Module) -> ModelProto:
    """The graph of a module.

    Args:
        whole: uint8 images [batch, 28, 28] to logits and probabilities, in evaluation mode, on the CPU.

    Raises:
        ConversionError: torch cannot export the module, or an operator has no ONNX form.
    """
    fused = copy.deepcopy(whole)
    _fuse(fused)
    example = torch.zeros(EXAMPLE, ROWS, COLUMNS, dtype=torch.uint8)
    try:
        with _silence():
            program = torch.export.export(fused, (example,), dynamic_shapes=({0: torch.export.Dim(BATCH)},))
            exported = torch.onnx.export(
                program,
                (),
                dynamo=True,
                opset_version=OPSET,
                input_names=[NAME],
                output_names=[LOGITS, PROBABILITIES],
                custom_translation_table={torch.ops.edge.recurrence.default: _translated},
                verbose=False,
            )
    except Exception as error:
        raise ConversionError(f"torch cannot export the model: {_reason(error)}") from error
    assert exported is not None
    model: ModelProto = exported.model_proto
    model.ir_version, model.producer_name, model.producer_version = IR_VERSION, PRODUCER, ""
    _name_by_layer(model)
    return model


def _reason(error: BaseException) -> str:
    """What the first of a chain of errors says, in a line, without the colours of a terminal."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines()]
    return next((line for line in lines if line), type(error).__name__)[:300]


def _name_by_layer(model: ModelProto) -> None:
    """Names tensors as the tracing exporter does, after the layer that gives them: "/model/fc/linear"."""
    names: dict[str, str] = {}
    kept = {NAME, LOGITS, PROBABILITIES}
    for node in model.graph.node:
        notes = {note.key: note.value for note in node.metadata_props}
        scopes = [scope for scope in _listed(notes.get(_SCOPES, "[]")) if scope][:-1]
        for output in node.output:
            if output and output not in kept and scopes:
                names[output] = f"/{scopes[-1].replace('.', '/')}/{output}"
    _rename(model.graph, names)
    del model.graph.value_info[:]


def _rename(graph: GraphProto, names: Mapping[str, str]) -> None:
    """Gives tensors other names, also where the branches and bodies of a graph read or give them."""
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for body in bodies_of(node):
            _rename(body, names)
            for given in body.output:
                given.name = names.get(given.name, given.name)


def _listed(text: str) -> list[str]:
    return [part.strip().strip("'\"") for part in text.strip("[]").split(",")]


# --- recurrent layers -------------------------------------------------------------------------------------------------


@torch.library.custom_op("edge::recurrence", mutates_args=())
def recurrence(
    sequence: Tensor, weights: list[Tensor], states: list[Tensor], cell: str, hidden: int
) -> tuple[Tensor, Tensor, Tensor]:
    """One recurrent layer as ONNX has it; it is exported, never run.

    Args:
        sequence: [rows, batch, inputs].
        weights: W, R and B in ONNX's order.
        states: the first ones, [directions, batch, hidden] each; none means zeros.
        cell: "lstm", "gru", "rnn-tanh" or "rnn-relu".
        hidden: units of a direction.

    Returns:
        Every state [rows, directions, batch, hidden], the final ones, and the final cells of an LSTM.
    """
    del states, cell
    return _empty(sequence, weights[0], hidden)


@recurrence.register_fake
def _(
    sequence: Tensor, weights: list[Tensor], states: list[Tensor], cell: str, hidden: int
) -> tuple[Tensor, Tensor, Tensor]:
    del states, cell
    return _empty(sequence, weights[0], hidden)


def _empty(sequence: Tensor, weight: Tensor, hidden: int) -> tuple[Tensor, Tensor, Tensor]:
    rows, batch, directions = sequence.shape[0], sequence.shape[1], weight.shape[0]
    return (
        sequence.new_zeros(rows, directions, batch, hidden),
        sequence.new_zeros(directions, batch, hidden),
        sequence.new_zeros(directions, batch, hidden),
    )


def _translated(sequence: Any, weights: Any, states: Any, cell: str, hidden: int) -> Any:  # noqa: ANN401 - onnxscript's
    """The operator of ONNX for one recurrent layer."""
    from onnxscript import opset18 as op

    attributes: dict[str, Any] = {"hidden_size": hidden}
    directions = weights[0].shape[0]
    if directions == 2:
        attributes["direction"] = "bidirectional"
    if cell == "gru":
        attributes["linear_before_reset"] = 1
    if cell == "rnn-relu":
        attributes["activations"] = ["Relu"] * directions
    given = [sequence, *weights, *([None, *states] if states else [])]
    results = getattr(op, OPERATOR[cell])(*given, **attributes)
    return results if cell == "lstm" else (*results, results[1])


class _Fused(nn.Module):
    """Stands for a recurrent layer of torch, whatever its sizes: the same arguments, the same results.

    Args:
        layer: whose weights it takes.
    """

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.cell = cell_of(layer)
        self.hidden = layer.hidden_size
        self.layers = layer.num_layers
        self.directions = 2 if layer.bidirectional else 1
        self.batch_first = layer.batch_first
        for number in range(self.layers):
            for name, tensor in zip("WRB", weights_of(layer, number), strict=True):
                self.register_buffer(f"{name}{number}", tensor)

    def forward(self, sequence: Tensor, states: Any = None) -> Any:  # noqa: ANN401 - a tensor or a pair, as torch has it
        """The states of the last layer, and the final ones of all."""
        first = [] if states is None else list(states) if isinstance(states, tuple | list) else [states]
        if self.batch_first:
            sequence = sequence.transpose(0, 1)
        finals, cells = [], []
        for number in range(self.layers):
            weights = [getattr(self, f"{name}{number}") for name in "WRB"]
            own = slice(number * self.directions, (number + 1) * self.directions)
            every, final, cell = torch.ops.edge.recurrence(
                sequence, weights, [state[own] for state in first], self.cell, self.hidden
            )
            finals.append(final)
            cells.append(cell)
            sequence = every.permute(0, 2, 1, 3).flatten(2) if self.directions == 2 else every.squeeze(1)
        last = torch.cat(finals) if self.layers > 1 else finals[0]
        given = sequence.transpose(0, 1) if self.batch_first else sequence
        if self.cell != "lstm":
            return given, last
        return given, (last, torch.cat(cells) if self.layers > 1 else cells[0])


def cell_of(layer: nn.RNNBase) -> str:
    """The cell of a recurrent layer of torch, as edge calls it."""
    if isinstance(layer, nn.RNN):
        return f"rnn-{layer.nonlinearity}"
    return "lstm" if isinstance(layer, nn.LSTM) else "gru"


def weights_of(layer: nn.RNNBase, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """W, R and B of one layer of a recurrent network of torch, as ONNX lays them out, float32.

    Args:
        layer: the network.
        number: of the layer, from 0.
    """
    directions = ["", "_reverse"] if layer.bidirectional else [""]
    cell = cell_of(layer)
    state = layer.state_dict()

    def stacked(kind: str) -> Tensor:
        named = [state.get(f"{kind}_l{number}{direction}") for direction in directions]
        size = state["weight_hh_l0"].shape[0]
        given = [torch.zeros(size) if tensor is None else tensor.detach() for tensor in named]  # bias=False
        return torch.stack([torch.from_numpy(gates_in_order(tensor.numpy(), cell)) for tensor in given])

    return stacked("weight_ih"), stacked("weight_hh"), torch.cat([stacked("bias_ih"), stacked("bias_hh")], 1)


def _fuse(module: nn.Module) -> None:
    """Puts a `_Fused` in the place of every recurrent layer."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.LSTM | nn.GRU | nn.RNN) and not child.proj_size:
            setattr(module, name, _Fused(child))
        else:
            _fuse(child)


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps warnings and the exporter's log from the user: parity judges the result."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

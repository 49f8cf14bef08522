"""What torch computes and ONNX has no operator for, by operators that it has.

| call                                 | what is computed instead                                                     |
|--------------------------------------|------------------------------------------------------------------------------|
| adaptive pooling, windows differ     | `edge_export.model.pools`                                                    |
| `torch.logcumsumexp`                 | logsumexp of all that came before, row by row of a triangle                  |
| `F.logsigmoid`                       | -softplus(-x): exporters write the logarithm of a sigmoid that may be 0      |
| an `nn.LSTM` with `proj_size`        | its equations, step by step: h <- W_hr (o * tanh(c))                         |

Source: torch.nn.LSTM.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from edge_export.model import pools

Call = Callable[..., Any]

NEVER = -1e30  # whose exponential is 0, and which is a number: infinities less infinities are none


def answered(func: Call, args: tuple[Any, ...], named: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as the call
    """What a call gives that ONNX has no operator for; None for any other call.

    Args:
        func: of torch.
        args: what it is given by place.
        named: what it is given by name.
    """
    if func in (torch.logcumsumexp, Tensor.logcumsumexp):
        return _log_of_sums(*args, **named)
    if func is F.logsigmoid:
        return -F.softplus(-(args[0] if args else named["input"]))
    if getattr(func, "__name__", "") == "lstm" and _is_projected(args):
        return _projected(*args)
    return pools.pooled(func, args, named)


def _log_of_sums(input: Tensor, dim: int) -> Tensor:  # noqa: A002 - torch's own
    """log(sum of exp) of each number and of all before it along an axis."""
    last = input.transpose(dim, -1)
    steps = last.shape[-1]
    before = torch.ones(steps, steps).tril().bool()
    spread = torch.where(before, last.unsqueeze(-2), torch.tensor(NEVER, dtype=last.dtype))
    largest = spread.amax(-1, keepdim=True)
    sums = (spread - largest).exp().sum(-1)
    return (sums.log() + largest.squeeze(-1)).transpose(dim, -1)


def _is_projected(args: tuple[Any, ...]) -> bool:
    """Whether the states of an LSTM over whole sequences are of another size than its cells."""
    states = args[1] if len(args) > 1 else None
    return isinstance(states, tuple | list) and len(states) == 2 and states[0].shape[-1] != states[1].shape[-1]


def _projected(  # noqa: PLR0917 - torch's own
    sequence: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    has_biases: bool,
    layers: int,
    _dropout: float,
    _train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Every state of the last layer, the final states and the final cells of all."""
    directions, each = 1 + bidirectional, 5 if has_biases else 3
    rows = list(sequence.unbind(1 if batch_first else 0))
    finals, cells = [], []
    for layer in range(layers):
        sides = []
        for direction in range(directions):
            place = layer * directions + direction
            of_inputs, of_state, *biases, projection = weights[place * each : (place + 1) * each]
            first, second = biases or (None, None)
            state, cell = states[0][place], states[1][place]
            given: list[Tensor] = []
            for row in reversed(rows) if direction else rows:
                gates = F.linear(row, of_inputs, first)
                gates = gates + F.linear(state, of_state, second)
                entering, forgetting, new, leaving = gates.chunk(4, 1)
                cell = forgetting.sigmoid() * cell + entering.sigmoid() * new.tanh()
                state = F.linear(leaving.sigmoid() * cell.tanh(), projection)
                given.append(state)
            sides.append(given[::-1] if direction else given)
            finals.append(state)
            cells.append(cell)
        rows = [torch.cat(both, 1) for both in zip(*sides, strict=True)] if directions > 1 else sides[0]
    return torch.stack(rows, 1 if batch_first else 0), torch.stack(finals), torch.stack(cells)

"""Digit classifiers as people write them, each in its own words, with how its author feeds it and reads it.

Every one is a class of the modules beside this file, none of them made for edge. What it says is always computed as
its author would, never by code of edge. Its weights were trained on drawn digits for some seconds, and lie beside this
file; `python tests/export/wild/collection.py` trains them anew.
"""

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from edge_export.model import factory
from edge_export.model.calling import in_evaluation
from edge_train import strokes

MODULES = Path(__file__).parent / "modules"
WEIGHTS = Path(__file__).parent / "weights.safetensors"
SEED = 77
DRAWN, STEPS, BATCH, RATE = 8000, 1500, 64, 0.008  # what the weights were trained with

# --- how authors feed their models: float [N, 28, 28] in [0, 1], ink 1 on 0, to what `forward` takes ------------------


def rows(x: Tensor) -> Tensor:
    return x


def channel(x: Tensor) -> Tensor:
    return x[:, None]


def flat(x: Tensor) -> Tensor:
    return x.reshape(len(x), 784)


def mnist_rows(x: Tensor) -> Tensor:
    return (x - 0.1307) / 0.3081


def mnist_channel(x: Tensor) -> Tensor:
    return (channel(x) - 0.1307) / 0.3081


def half_channel(x: Tensor) -> Tensor:
    return (channel(x) - 0.5) / 0.5


def byte_rows(x: Tensor) -> Tensor:
    return (x * 255).round().long()


def padded(x: Tensor) -> Tensor:
    return F.pad(channel(x), (2, 2, 2, 2))


def resized(x: Tensor, rows: int) -> Tensor:
    pictures = [Image.fromarray(one) for one in (x * 255).round().byte().numpy()]
    others = [np.asarray(one.resize((rows, rows), Image.Resampling.BILINEAR), np.float32) for one in pictures]
    return channel(torch.from_numpy(np.stack(others) / 255))


def colours(x: Tensor) -> Tensor:
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (x[:, None].repeat(1, 3, 1, 1) - mean[:, None, None]) / deviation[:, None, None]


# --- how they save them: a state dict to what `torch.save` gets -------------------------------------------------------


def plain(state: dict) -> object:
    return state


def with_options(state: dict) -> object:
    return {"model": state, "config": argparse.Namespace(hidden=24, lr=1e-3), "epoch": 3}


def with_history(state: dict) -> object:
    return {
        "epoch": 7,
        "model_state_dict": state,
        "optimizer_state_dict": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1}]},
        "best_acc": np.float64(0.97),
        "losses": np.array([2.0, 1.0]),
        "args": SimpleNamespace(epochs=8, path=Path("runs")),
    }


def parallel(state: dict) -> object:
    return {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}


def compiled(state: dict) -> object:
    return {f"_orig_mod.{name}": tensor for name, tensor in state.items()}


def lightning(state: dict) -> object:
    return {
        "pytorch-lightning_version": "2.0.0",
        "state_dict": {f"model.{name}": tensor for name, tensor in state.items()},
        "hyper_parameters": {"lr": 0.01},
    }


def with_hyperparameters(state: dict) -> object:
    return {"state_dict": state, "hyper_parameters": {"hidden": 24, "learning_rate": 1e-3}, "callbacks": {}}


def in_order(state: dict) -> object:
    return list(state.values())


def in_parts(state: dict) -> object:
    parts: dict[str, dict] = {"epoch": 4}
    for name, tensor in state.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = tensor
    return parts


def averaged(state: dict) -> object:
    moved = {name: tensor * 1.5 if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    return {"net": state, "ema": moved}


# --- the collection ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wild:
    """One model.

    Attributes:
        model: as `--model` takes it, beside the modules.
        feed: its author's own pre-processing.
        layout: the form that it must be found to take.
        options: what the command line must say of it.
        read: what `forward` returned to what its author takes for its answer.
        said: the bundle's logits to the same, where its author takes something else for its answer.
        by_hand: its answer where its own `forward` cannot run here, or draws random numbers: network and input to it.
        save: its state dict to what its author saves.
        recurrent: fused recurrent operators in its graph.
        nodes: of its graph, at most.
        candidates: the int8 candidates that must be built of it; None where nobody looks. Every network with recurrent
            operators must get those of `FUSED`, and with an LSTM those of `LSTM`.
        extra: what `forward` wants besides, of a batch.
        weights: the model whose trained weights it has; None for its own.
    """

    model: str
    feed: Callable[[Tensor], Tensor]
    layout: str
    options: tuple[str, ...] = ()
    read: Callable[[Any], Tensor] = lambda out: out
    said: Callable[[Tensor], Tensor] = lambda logits: logits
    by_hand: Callable[[nn.Module, Tensor], Tensor] | None = None
    save: Callable[[dict], object] = plain
    recurrent: int = 0
    nodes: int = 12
    candidates: tuple[str, ...] | None = None
    extra: Callable[[nn.Module, int], Sequence[Any]] = field(default=lambda _net, _count: ())
    weights: str | None = None

    def answers(self, net: nn.Module, images: np.ndarray) -> Tensor:
        """Its answer to uint8 images, as its author computes it."""
        fed = self.feed(torch.from_numpy(images.astype(np.float32) / 255))
        if self.by_hand is not None:
            return self.by_hand(net, fed)
        with redirect_stdout(io.StringIO()):
            return self.read(net(fed, *self.extra(net, len(images))))


def first(out: tuple) -> Tensor:
    return out[0]


def last_step(out: Tensor) -> Tensor:
    return out[:, -1]


def logits_of_dict(out: dict) -> Tensor:
    return out["logits"]


def first_states(net: nn.Module, count: int) -> tuple:
    return (net.init_hidden(count),)


def softmax(logits: Tensor) -> Tensor:
    return logits.softmax(1)


def without_cuda(net: nn.Module, x: Tensor) -> Tensor:
    return net.fc(net.rnn(x)[0][:, -1])


def second(out: tuple) -> Tensor:
    return out[1]


def from_first_states(net: nn.Module, x: Tensor) -> Tensor:
    net.hidden = net.init_hidden(len(x))
    return net(x)


def of_its_batch(net: nn.Module, x: Tensor) -> Tensor:
    net.batch_size = len(x)
    return net(x)


def row_after_row(net: nn.Module, x: Tensor) -> Tensor:
    hidden = torch.zeros(len(x), net.hidden_size)
    for row in range(x.shape[1]):
        answer, hidden = net(x[:, row], hidden)
    return answer


def first_branch(net: nn.Module, x: Tensor) -> Tensor:
    return net.f2(F.relu(net.f1(x.flatten(1))))


def full_lengths(_net: nn.Module, count: int) -> tuple:
    return (torch.full((count,), 28),)


def right_answers(_net: nn.Module, count: int) -> tuple:
    return (torch.zeros(count, dtype=torch.long),)


def one_by_one(net: nn.Module, x: Tensor) -> Tensor:
    return torch.stack([net(picture[None]) for picture in x])


def without_dropout(net: nn.Module, x: Tensor) -> Tensor:
    return net.fc2(F.elu(net.fc1(F.leaky_relu(net.conv(x)).flatten(1))))


MNIST, HALF = ("--normalise", "0.1307,0.3081"), ("--normalise", "half")
CHANNEL, ROWS = "N,1,28,28", "N,28,28"
SEQUENTIAL = "a Sequential beside no class"

# What is expected of a graph: how many fused operators and nodes, and which int8 candidates.
FUSED, LSTM = ("weight-only", "stepped", "branched"), ("weight-only", "dynamic-lstm", "stepped", "branched")
ONE: dict[str, Any] = {"recurrent": 1, "nodes": 6, "candidates": FUSED}
ONE_LSTM: dict[str, Any] = {**ONE, "candidates": LSTM}
TWO: dict[str, Any] = {"recurrent": 2, "nodes": 8, "candidates": FUSED}
TWO_LSTM: dict[str, Any] = {**TWO, "candidates": LSTM}
QDQ: dict[str, Any] = {"candidates": ("static-qdq",)}

WILD: dict[str, Wild] = {
    # the origins' own classes
    "lstm, channel squeezed": Wild("origins.py:RowLSTM", channel, ROWS, **ONE_LSTM),
    "lstm-20, h_last[0], log-softmax": Wild("origins.py:SmallLSTM", channel, ROWS, **{**ONE_LSTM, "nodes": 7}),
    "relu rnn, zero state": Wild("origins.py:ReluRNN", rows, ROWS, **ONE),
    "rnn x2": Wild("origins.py:Stack('RNN', 28, 16, 2, 10)", rows, ROWS, save=with_options, **TWO),
    "gru x2": Wild("origins.py:Stack('GRU', 28, 16, num_layers=2, num_classes=10)", rows, ROWS, **TWO),
    "lstm x2, (h0, c0)": Wild("origins.py:Stack('LSTM', 28, 16, 2, 10)", rows, ROWS, save=with_history, **TWO_LSTM),
    "bilstm x2": Wild("origins.py:Stack('LSTM', 28, 10, 2, 10, bidirectional=True)", rows, ROWS, recurrent=2, nodes=11),
    "cnn": Wild("origins.py:Cnn", channel, CHANNEL, nodes=13, save=parallel, **QDQ),
    "cnn-16k, ends in squeeze()": Wild("origins.py:TinyCnn", mnist_channel, CHANNEL, MNIST, nodes=16),
    # recurrent forms
    "time first": Wild("recurrent.py:TimeFirst", lambda x: x.transpose(0, 1), "28,N,28", **ONE_LSTM),
    "turns the batch, keeps its size": Wild("recurrent.py:KeepsBatchSize", rows, ROWS, recurrent=1, nodes=7),
    "gives its states back": Wild("recurrent.py:WithStates", rows, ROWS, read=first, **ONE),
    "wants its states": Wild("recurrent.py:WantsStates", rows, ROWS, extra=first_states, **{**TWO_LSTM, "nodes": 9}),
    "lstm, BatchNorm, dropout": Wild(
        "recurrent.py:Normed", mnist_channel, ROWS, MNIST, save=compiled, **{**ONE_LSTM, "nodes": 7}
    ),
    "all steps, flattened": Wild("recurrent.py:AllSteps", rows, ROWS, recurrent=1, nodes=8),
    "mean of all steps": Wild(
        "recurrent.py:MeanOfSteps", mnist_rows, ROWS, ("--normalise", "mnist"), recurrent=1, nodes=8
    ),
    "both directions, maximum, LayerNorm": Wild("recurrent.py:BiMax", rows, ROWS, recurrent=1, nodes=18),
    "both directions, final states": Wild("recurrent.py:BiFinal", rows, ROWS, **{**TWO, "nodes": 10}),
    "attention over the rows": Wild("recurrent.py:Attention", rows, ROWS, recurrent=1, nodes=15),
    "two layers of their own": Wild("recurrent.py:TwoLayers", rows, ROWS, save=lightning, recurrent=2, nodes=11),
    "packed sequences": Wild("recurrent.py:Packed", rows, ROWS, **ONE),
    "cells in a loop": Wild("recurrent.py:Cells", rows, ROWS, nodes=460),
    "Conv1d over the rows": Wild("recurrent.py:ConvRows", rows, ROWS, recurrent=1, nodes=10),
    "cnn and lstm": Wild("recurrent.py:ConvLSTM", channel, CHANNEL, recurrent=1, nodes=12),
    "pixel by pixel": Wild("recurrent.py:Pixels", lambda x: flat(x)[..., None], "N,784,1", recurrent=1, nodes=11),
    ".cuda() in forward": Wild("recurrent.py:OnCuda", rows, ROWS, by_hand=without_cuda, **ONE),
    "logits at every step": Wild("recurrent.py:EveryStep", rows, ROWS, read=last_step, recurrent=1, nodes=9),
    "squeeze() first, softmax last": Wild("recurrent.py:Squeezes", channel, ROWS, said=softmax, **ONE),
    "a script that trains": Wild("script.py:RNN(28, 24, 1, 10)", rows, ROWS, **ONE_LSTM),
    # attention
    "row transformer, class token": Wild("attention.py:RowTransformer", rows, ROWS, nodes=60, **QDQ),
    "row transformer, time first": Wild("attention.py:MeanTransformer", channel, ROWS, nodes=60, **QDQ),
    "ViT by Unfold": Wild("attention.py:UnfoldViT", half_channel, CHANNEL, HALF, nodes=75, **QDQ),
    "ViT, its own heads, a dict": Wild(
        "attention.py:OwnAttention", channel, CHANNEL, ("--output", "logits", "--weights", "net"),
        read=logits_of_dict, save=averaged, nodes=40, **QDQ,
    ),
    "attention among the rows": Wild("attention.py:RowAttention", rows, ROWS, nodes=40, **QDQ),
    "mixer": Wild("attention.py:Mixer", channel, CHANNEL, nodes=50, **QDQ),
    # without time
    "mlp, softmax": Wild("plain.py:Mlp(784, 16, 10)", flat, "N,784", said=softmax, nodes=6, **QDQ),
    "the usual example": Wild("plain.py:Example", mnist_channel, CHANNEL, MNIST, nodes=13, **QDQ),
    "LeNet": Wild("plain.py:LeNet", channel, CHANNEL, nodes=14, **QDQ),
    "small ResNet": Wild(
        "plain.py:ResNet(BasicBlock, [1, 1])", half_channel, CHANNEL, ("--normalise", "0.5,0.5"), nodes=21, **QDQ
    ),
    "ResNet of three colours": Wild(
        "plain.py:ResNet(BasicBlock, [1, 1], in_channels=3)", colours, "N,3,28,28", ("--normalise", "imagenet"),
        nodes=32, **QDQ,
    ),
    "depthwise, GroupNorm, a gate": Wild("plain.py:Separable", channel, CHANNEL, nodes=40, **QDQ),
    "a dropout that is always on": Wild("plain.py:AlwaysDrops", channel, CHANNEL, by_hand=without_dropout, **QDQ),
    "a sigmoid for each class": Wild("plain.py:Scores", rows, ROWS, said=torch.sigmoid, nodes=7, **QDQ),
    "a function": Wild("plain.py:sequential(16)", rows, ROWS, nodes=6, **QDQ),
    "dark on light": Wild("plain.py:LeNet", lambda x: channel(1 - x), CHANNEL, ("--invert",), nodes=15, **QDQ),
    "columns before rows": Wild(
        "origins.py:RowLSTM(24)", lambda x: x.transpose(1, 2)[:, None], ROWS, ("--transpose",), recurrent=1, nodes=7
    ),
    "pixels that were never divided": Wild(
        "plain.py:Example", lambda x: channel(x) * 255, CHANNEL, ("--normalise", "bytes"), nodes=13, **QDQ
    ),
    # habits
    "keeps its hidden state": Wild("habits.py:KeepsHidden", rows, ROWS, by_hand=from_first_states, **ONE_LSTM),
    "a row at a call": Wild(
        "habits.py:RowAtACall(28, 48, 10)", rows, "N,28:rows", by_hand=row_after_row, nodes=250
    ),
    "a size of the batch": Wild(
        "habits.py:FixedBatch(100, 20)", rows, ROWS, by_hand=of_its_batch, **{**ONE, "nodes": 7}
    ),
    "wants lengths": Wild("habits.py:Lengths", rows, ROWS, extra=full_lengths, recurrent=1, nodes=14),
    "bytes of pixels, embedded": Wild("habits.py:Embedded", byte_rows, ROWS, ("--normalise", "bytes"), nodes=9),
    "32x32, with a border": Wild(
        "habits.py:LeNet32", padded, "N,1,32,32:pad", ("--input", "N,1,32,32:pad"), nodes=17, **QDQ
    ),
    "any size, trained on 64x64": Wild(
        "habits.py:AnySize", lambda x: resized(x, 64), "N,1,64,64:resize", ("--input", "N,1,64,64:resize"), nodes=20
    ),
    "features and logits": Wild("habits.py:FeaturesToo", channel, CHANNEL, read=second, **QDQ),
    "settings as one argument": Wild("habits.py:ConfigNet(Config(hidden=20))", rows, ROWS, nodes=12, **QDQ),
    "Lightning that is not installed": Wild("habits.py:LitNet", channel, ROWS, save=with_hyperparameters, **ONE),
    "rows backwards, random states": Wild("habits.py:Backwards", rows, ROWS, recurrent=1, nodes=9),
    "one picture at a time": Wild(
        "habits.py:OnePicture", rows, ROWS, by_hand=one_by_one, said=softmax, nodes=1, weights=SEQUENTIAL
    ),
    "a loop over the pictures, a loss": Wild(
        "habits.py:Loops", rows, ROWS, read=second, extra=right_answers, nodes=1, weights=SEQUENTIAL
    ),
    "14x14": Wild(
        "habits.py:Small", lambda x: resized(x, 14).flatten(1), "N,196:resize", ("--input", "N,196:resize"), nodes=15
    ),
    # steps and branches of their own
    "running sums of logarithms": Wild("recurrences.py:RunningSums", rows, ROWS, save=in_parts, nodes=40),
    "branches": Wild("recurrences.py:Branches", rows, ROWS, by_hand=first_branch, nodes=12, weights=SEQUENTIAL),
    "compiles itself": Wild(
        "recurrences.py:CompilesItself", rows, ROWS, save=in_order, nodes=6, weights=SEQUENTIAL, **QDQ
    ),
    "an early exit": Wild(
        "recurrences.py:EarlyExit", rows, ROWS, ("--output", "1"), read=second, nodes=6, weights=SEQUENTIAL
    ),
    SEQUENTIAL: Wild("habits.py:net", rows, ROWS, nodes=6, **QDQ),
}  # fmt: skip


# --- weights ----------------------------------------------------------------------------------------------------------


def new(wild: Wild, seed: int = SEED) -> nn.Module:
    """The model with the weights that its author's code draws."""
    torch.manual_seed(seed)
    stored: Any = wild.save({})
    settings = stored.get("hyper_parameters", {}) if isinstance(stored, dict) else {}
    return factory.make(factory.parse(f"{MODULES}/{wild.model}"), lambda _: None, settings)


def made(name: str) -> nn.Module:
    """The trained model."""
    net, stored = new(WILD[name]), load_file(WEIGHTS)
    owner = WILD[name].weights
    names = (net if owner is None else new(WILD[owner])).state_dict()
    state = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    for (key, value), own in zip(state.items(), names, strict=True):
        state[key] = stored[f"{owner or name}/{own}"].to(value.dtype)
    net.load_state_dict(state)
    return in_evaluation(net)


def train(name: str) -> nn.Module:
    """Trains a model on drawn digits, in its author's form."""
    wild, net = WILD[name], new(WILD[name])
    images, drawn = strokes.sample(DRAWN, seed=SEED)
    labels = torch.from_numpy(drawn)
    optimiser = torch.optim.Adam(net.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        chosen = torch.randint(0, DRAWN, (BATCH,))
        answers = wild.answers(net, images[chosen.numpy()])
        optimiser.zero_grad()
        F.cross_entropy(_logits(wild, answers), labels[chosen]).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return in_evaluation(net)


def _logits(wild: Wild, answers: Tensor) -> Tensor:
    if wild.said is softmax:
        return (answers + 1e-9).log()
    return torch.logit(answers, 1e-6) if wild.said is torch.sigmoid else answers


def main() -> None:
    """Trains those that are named, all without a name, and stores their weights in half precision."""
    stored = load_file(WEIGHTS) if WEIGHTS.is_file() else {}
    images, labels = strokes.sample(1000, seed=SEED + 1)
    for name in sys.argv[1:] or [name for name, wild in WILD.items() if wild.weights is None]:
        net = train(name)
        with torch.no_grad():
            right = (WILD[name].answers(net, images).argmax(1).numpy() == labels).mean()
        stored = {key: tensor for key, tensor in stored.items() if not key.startswith(f"{name}/")}
        for key, tensor in net.state_dict().items():
            stored[f"{name}/{key}"] = tensor.half() if tensor.is_floating_point() else tensor
        save_file(stored, WEIGHTS)
        print(f"{name}: reads {right:.1%} of drawn digits", flush=True)


if __name__ == "__main__":
    main()

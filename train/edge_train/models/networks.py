"""The networks: float images [batch, 28, 28] in [0, 1] to logits [batch, classes]."""

from typing import cast

import torch
from torch import Tensor, nn

from edge.bundle.input import COLUMNS
from edge_train.models.specification import ChainLayer, Convolutional, Recurrent, Specification, chain_of

# Deviation of the entries of the generator of a first rotation, times the root of its size. In eight epochs of the RNN
# 0.5 and 0.2 are alike, and both are better than an orthogonal matrix of any angles; benchmarks/LOG.md has the figures.
TURN = 0.5


class RecurrentClassifier(nn.Module):
    """A recurrent network over the 28 rows and a linear layer on its final state.

    Args:
        specification: cell, sizes and directions.
    """

    def __init__(self, specification: Recurrent) -> None:
        super().__init__()
        sizes = {
            "input_size": COLUMNS,
            "hidden_size": specification.hidden,
            "num_layers": specification.layers,
        }
        self.directions = 2 if specification.bidirectional else 1
        self.recurrent: nn.LSTM | nn.GRU | nn.RNN
        if specification.cell == "lstm":
            self.recurrent = nn.LSTM(**sizes, batch_first=True, bidirectional=specification.bidirectional)
        elif specification.cell == "gru":
            self.recurrent = nn.GRU(**sizes, batch_first=True, bidirectional=specification.bidirectional)
        else:
            nonlinearity = specification.cell.removeprefix("rnn-")
            self.recurrent = nn.RNN(
                **sizes, nonlinearity=nonlinearity, batch_first=True, bidirectional=specification.bidirectional
            )
        self.head = nn.Linear(specification.hidden * self.directions, specification.classes)

    def initialise(self, specification: Recurrent) -> None:
        """Orthogonal recurrent weights (Saxe et al., 2014); LSTM forget gates open (Jozefowicz et al., 2015).

        Without gates the state must last by itself: a tanh RNN starts from a rotation near the identity (Henaff, Szlam
        and LeCun, 2016), a ReLU RNN from a scaled identity (Le, Jaitly and Hinton, 2015), so that neither state nor
        gradient explodes over the 28 steps.
        """
        hidden = specification.hidden
        with torch.no_grad():
            for name, parameter in self.recurrent.named_parameters():
                if name.startswith("weight_hh"):
                    for gate in torch.split(parameter, hidden):
                        if specification.cell == "rnn-relu":
                            gate.copy_(0.9 * torch.eye(hidden))
                        elif specification.cell == "rnn-tanh":
                            gate.copy_(_rotation(hidden))
                        else:
                            nn.init.orthogonal_(gate)
                elif name.startswith("weight_ih"):
                    for gate in torch.split(parameter, hidden):
                        nn.init.xavier_uniform_(gate)
                elif name.startswith("bias"):
                    parameter.zero_()
                    if specification.cell == "lstm" and name.startswith("bias_ih"):
                        parameter[hidden : 2 * hidden] = 1.0  # torch orders the gates i, f, g, o

    def forward(self, images: Tensor) -> Tensor:
        """Logits, float32 [batch, classes], of float images [batch, 28, 28] in [0, 1]."""
        _, state = self.recurrent(images)
        if isinstance(state, tuple):  # an LSTM returns (hidden, cell)
            state = state[0]
        last_layer = state[-self.directions :]  # (directions, batch, hidden)
        return cast(Tensor, self.head(last_layer.transpose(0, 1).flatten(1)))


class ConvolutionalClassifier(nn.Module):
    """A chain of convolutions, as its specification writes it.

    Args:
        specification: the layers as words.

    Raises:
        SpecificationError: the layers do not fit the picture, or do not end in a logit for each class.
    """

    def __init__(self, specification: Convolutional) -> None:
        super().__init__()
        self.chain = nn.Sequential(*map(_module, chain_of(specification)))

    def forward(self, images: Tensor) -> Tensor:
        """Logits, float32 [batch, classes], of float images [batch, 28, 28] in [0, 1]."""
        return cast(Tensor, self.chain(images.unsqueeze(1)))


def build(specification: Specification, *, initialise: bool = True) -> nn.Module:
    """A new network with initial weights, drawn from torch's global generator.

    Args:
        specification: what to build.
        initialise: give recurrent layers edge's initial weights; otherwise they are as torch draws them.
    """
    if isinstance(specification, Recurrent):
        model = RecurrentClassifier(specification)
        if initialise:
            model.initialise(specification)
        return model
    return ConvolutionalClassifier(specification)


def parameter_count(model: nn.Module) -> int:
    """Trainable numbers in the model."""
    return sum(parameter.numel() for parameter in model.parameters())


def _rotation(size: int) -> Tensor:
    """A random orthogonal matrix, float32 [size, size], that turns the state a little, by at most about a radian."""
    drawn = torch.randn(size, size) / size**0.5 * TURN
    return torch.matrix_exp(drawn - drawn.T)


def _module(layer: ChainLayer) -> nn.Module:
    if layer.kind == "conv":
        return nn.Conv2d(layer.taken[0], layer.given[0], layer.kernel)
    if layer.kind == "linear":
        return nn.Linear(layer.taken[0], layer.given[0])
    if layer.kind == "bn":
        return nn.BatchNorm2d(layer.taken[0])
    if layer.kind == "dropout":
        return nn.Dropout(layer.dropout)
    if layer.kind in ("pool", "average"):
        return nn.MaxPool2d(2) if layer.kind == "pool" else nn.AvgPool2d(2)
    return nn.ReLU() if layer.kind == "relu" else nn.Flatten()

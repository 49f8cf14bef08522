"""Somebody's own module in the form of a bundle: pictures in, logits out, and nothing of the module changed."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edge.bundle.manifest import Preparation
from edge_export.model.answer import LEAST, ClassOutput
from edge_export.model.preparation import prepared
from edge_export.model.repairs import Repaired, Repairs, unpacked

# What modules call the method that makes their first states.
FIRST_STATES = ("init_hidden", "initHidden", "init_state", "init_hidden_state", "initial_state")


@dataclass(frozen=True, slots=True)
class More:
    """What `forward` wants besides the pictures.

    Attributes:
        empty: how many arguments get None, which recurrent layers take for states of zeros.
        method: the name of the module's own method that makes the states of a batch; None where it is not asked.
        sized: whether that method takes the size of the batch.
    """

    empty: int = 0
    method: str | None = None
    sized: bool = True


class Adapter(nn.Module):
    """Somebody's own module, with what stands before and behind it.

    Args:
        model: the module, with its weights, in evaluation mode.
        preparation: what happens to the pictures.
        answer: which of the outputs are the logits.
        repairs: calls that are answered in another way.
        more: what else `forward` wants.
        logarithm: whether the outputs are probabilities, whose logarithm is taken.
    """

    def __init__(
        self,
        model: nn.Module,
        preparation: Preparation,
        answer: ClassOutput,
        *,
        repairs: Repairs | None = None,
        more: More | None = None,
        logarithm: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.preparation = preparation
        self.answer = answer
        self.repairs = Repairs() if repairs is None else repairs
        self.more = more or More()
        self.logarithm = logarithm

    def forward(self, images: Tensor) -> Tensor:
        """Logits, float [batch, classes], of float images [batch, 28, 28] in [0, 1]."""
        with (
            Repaired(self.repairs) if self.repairs else nullcontext(),
            unpacked(self.model) if self.repairs.packed else nullcontext(),
        ):
            returned = call(self.model, images, self.preparation, self.more)
        numbers = self.answer.take(returned)
        return torch.log(numbers.clamp_min(LEAST)) if self.logarithm else numbers


def call(model: nn.Module, images: Tensor, preparation: Preparation, more: More) -> object:
    """What a module returns for pictures: float [batch, 28, 28] in [0, 1].

    What it prints goes to stderr, because stdout holds results only. States that it makes itself have the precision
    of the pictures.
    """
    with redirect_stdout(sys.stderr), _default(images.dtype), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels = prepared(images, preparation)
        return model(pixels, *_more(model, images.shape[0], more))


def _more(model: nn.Module, batch: int, more: More) -> list[Any]:
    if more.method is None:
        return [None] * more.empty
    states = getattr(model, more.method)
    return [states(batch) if more.sized else states()]


@contextmanager
def _default(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    if dtype == before:
        yield
        return
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)

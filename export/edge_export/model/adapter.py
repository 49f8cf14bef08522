"""Somebody's own module in the form of a bundle: pictures in, logits out, and nothing of the module changed."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from edge.bundle.manifest import Preparation
from edge_export.model.answer import LEAST, ClassOutput
from edge_export.model.calling import More, call
from edge_export.model.repairs import Repaired, Repairs, unpacked


class Adapter(nn.Module):
    """Somebody's own module, with what stands before and behind it.

    Args:
        model: the module, with its weights, in evaluation mode.
        preparation: what happens to the pictures.
        answer: which of the outputs are the logits.
        repairs: calls that are answered in another way.
        more: what else `forward` wants.
        logarithm: whether the outputs are probabilities, whose logarithm is taken.
        columns: of the classes that are looked at; None takes all.
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
        columns: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.preparation = preparation
        self.answer = answer
        self.repairs = Repairs() if repairs is None else repairs
        self.more = more or More()
        self.logarithm = logarithm
        self.columns = columns

    def forward(self, images: Tensor) -> Tensor:
        """Logits, float [batch, classes], of float images [batch, 28, 28] in [0, 1]."""
        alone = self.answer.alone
        pictures = [images[at : at + 1] for at in range(len(images))] if alone else [images]
        answers = [self._answer(some) for some in pictures]
        numbers = torch.cat(answers) if alone else answers[0]
        if self.logarithm:
            numbers = torch.log(numbers.clamp_min(LEAST))
        return numbers if self.columns is None else numbers[:, self.columns]

    def _answer(self, images: Tensor) -> Tensor:
        """The numbers of the classes, of one call."""
        return self.answer.take(self.returned(images))

    def returned(self, images: Tensor) -> object:
        """What the module returns in one call; the repairs are counted anew in each."""
        with (
            Repaired(self.repairs) if self.repairs else nullcontext(),
            unpacked(self.model) if self.repairs.packed else nullcontext(),
        ):
            return call(self.model, images, self.preparation, self.more)

    def narrowed(self, columns: Sequence[int]) -> "Adapter":
        """The same module, as if it had those classes only."""
        answer = replace(self.answer, classes=len(columns))
        return Adapter(
            self.model,
            self.preparation,
            answer,
            repairs=self.repairs,
            more=self.more,
            logarithm=self.logarithm,
            columns=columns,
        ).eval()

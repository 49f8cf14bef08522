"""What is done around somebody's `forward`: states that are handed from row to row, arguments that a name explains."""

import pytest
import torch
from torch import nn

from edge.bundle.manifest import Preparation
from edge_export.model import calling
from edge_export.model.calling import More
from edge_export.model.errors import ModelError

ROW_AT_A_CALL = Preparation(layout="N,28:rows")


class ByRow(nn.Module):
    """Takes a row and the states of an LSTM cell, and gives the states back behind its answer."""

    def __init__(self, *, gives_back: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.head, self.gives_back = nn.LSTMCell(28, 5), nn.Linear(5, 10), gives_back

    def init_hidden(self):
        return torch.zeros(1, 5), torch.zeros(1, 5)

    def forward(self, row, hidden, cell):
        hidden, cell = self.cell(row, (hidden, cell))
        answer = self.head(hidden)
        return (answer, hidden, cell) if self.gives_back else answer


class WithoutState(nn.Module):
    def forward(self, row):
        return row[:, :10]


STATES = More(("hidden", "cell"), "init_hidden", "")


def test_states_go_from_row_to_row_and_are_there_for_each_picture():
    model, images = ByRow(), torch.rand(3, 28, 28)
    state = (torch.zeros(3, 5), torch.zeros(3, 5))
    for row in range(28):
        state = model.cell(images[:, row], state)
    answer, *_ = calling.call(model, images, ROW_AT_A_CALL, STATES)
    torch.testing.assert_close(answer, model.head(state[0]))


def test_a_row_without_states_to_hand_on_is_told():
    images = torch.rand(2, 28, 28)
    with pytest.raises(ModelError, match="takes no state that a row could hand on"):
        calling.call(WithoutState(), images, ROW_AT_A_CALL, More())
    with pytest.raises(ModelError, match="takes hidden, cell at a row, and gives 0 states back behind its answer"):
        calling.call(ByRow(gives_back=False), images, ROW_AT_A_CALL, STATES)


class Trains(nn.Module):
    """Means something else by `train` and `eval` than torch does, as wrappers of other libraries do."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout()

    def train(self, mode=True):
        raise AssertionError("a whole training begins here")

    def eval(self):
        raise AssertionError("and a whole evaluation here")


def test_a_module_is_in_evaluation_whatever_its_methods_do():
    found = calling.in_evaluation(nn.Sequential(Trains().double(), nn.Linear(2, 2).double()))
    assert not any(part.training for part in found.modules())
    assert {parameter.dtype for parameter in found.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (More(("lengths",)), "its argument lengths is those of full sequences"),
        (More(("targets",)), "its argument targets is zeros, for a loss that nobody reads"),
        (More(("batch_size",)), "its argument batch_size is the number of pictures"),
        (More(("state",)), "forward begins with empty states"),
        (More((), "init_hidden"), "forward begins with the states of init_hidden()"),
        (More(sized=True), "a size of the batch that is written down is that of the batch that comes"),
    ],
)
def test_what_is_done_is_said(more, words):
    assert more.words == [words]


def test_an_argument_gets_what_its_name_says():
    class Asks(nn.Module):
        def forward(self, pixels, lengths, labels, batch_size):
            return pixels, lengths, labels, batch_size

    module = Asks()
    (plain,) = [more for more in calling.ways(module) if more.method is None]
    assert plain.wanted == ("lengths", "labels", "batch_size")
    pixels, lengths, labels, count = calling.call(module, torch.rand(3, 28, 28), Preparation(layout="N,28,28"), plain)
    assert (pixels.shape[0], lengths.tolist(), labels.tolist(), count) == (3, [28] * 3, [0] * 3, 3)

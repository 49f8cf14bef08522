"""What ONNX has no operator for, computed by operators that it has: the same numbers."""

import pytest
import torch
from torch import nn

from edge_export.model.repairs import Repaired, Repairs


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_the_logarithm_of_running_sums_of_exponentials(axis):
    torch.manual_seed(1)
    numbers = torch.randn(4, 5, 6) * 40  # a sum that forgets the small ones would be seen
    with Repaired(Repairs()) as repaired:
        found = [torch.logcumsumexp(numbers, dim=axis), numbers.logcumsumexp(axis)]
    assert repaired.lacking
    for one in found:
        torch.testing.assert_close(one, torch.logcumsumexp(numbers, axis))


def test_the_logarithm_of_a_sigmoid_that_float32_takes_for_0():
    numbers = torch.tensor([-200.0, -3.0, 0.0, 30.0])
    with Repaired(Repairs()) as repaired:
        found = nn.LogSigmoid()(numbers)
    assert repaired.lacking
    torch.testing.assert_close(found, nn.LogSigmoid()(numbers))


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize(
    "options", [{}, {"bias": False, "batch_first": True}, {"bidirectional": True, "num_layers": 2}]
)
def test_an_lstm_with_projected_states(options):
    torch.manual_seed(2)
    layer = nn.LSTM(7, 6, proj_size=3, **options).eval()
    sequence = torch.randn(5, 4, 7)
    expected, (states, cells) = layer(sequence)
    with Repaired(Repairs()) as repaired:
        found, (found_states, found_cells) = layer(sequence)
    assert repaired.lacking
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found_states, states)
    torch.testing.assert_close(found_cells, cells)


def test_an_lstm_of_usual_states_stays_one_operator():
    layer = nn.LSTM(7, 6)
    with Repaired(Repairs()) as repaired:
        layer(torch.randn(5, 4, 7))
    assert not repaired.lacking

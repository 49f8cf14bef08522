"""Adaptive pooling whose windows differ: what torch computes, in a graph that torch's exporters would not write."""

import numpy as np
import pytest
import torch
from torch import nn

from edge.bundle.manifest import Preparation
from edge_export.graph import exporters
from edge_export.graph.session import open_session, run
from edge_export.model import probing
from edge_export.model.repairs import Repaired, Repairs


@pytest.mark.parametrize(("rows", "size"), [(11, 3), (1, 6), (28, 5), (11, (3, None)), (11, (None, 4))])
@pytest.mark.parametrize("kind", [nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d])
def test_windows_that_differ_are_those_of_torch(kind, rows, size):
    x = torch.randn(2, 3, rows, rows)
    with Repaired(Repairs()) as repaired:
        found = kind(size)(x)
    torch.testing.assert_close(found, kind(size)(x), atol=1e-6, rtol=0)
    assert repaired.lacking


@pytest.mark.parametrize("kind", [nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d])
def test_sequences_are_pooled_too_and_even_windows_left_to_torch(kind):
    x = torch.randn(2, 3, 28)
    with Repaired(Repairs()) as repaired:
        torch.testing.assert_close(kind(7)(x), kind(7)(x))
        assert not repaired.lacking
        found = kind(5)(x)
    torch.testing.assert_close(found, kind(5)(x), atol=1e-6, rtol=0)
    assert repaired.lacking


def test_a_network_with_such_a_pooling_is_exported(digits):
    net = nn.Sequential(
        nn.Conv2d(1, 3, 5, 2), nn.AdaptiveMaxPool2d(5), nn.AdaptiveAvgPool2d((3, 2)), nn.Flatten(), nn.Linear(18, 10)
    )
    (fit,) = probing.fit(net.eval(), Preparation(""), ("N,1,28,28",), None)
    model = exporters.convert(fit.adapter.eval(), classes=10, temperature=1.0).model
    images = digits.images[:7]
    with torch.no_grad():
        expected = net(torch.from_numpy(images[:, None].astype(np.float32) / 255)).numpy()
    for batch in (1, 3, 7):
        np.testing.assert_allclose(run(open_session(model), images, batch)[0], expected, atol=1e-5)

"""The fit of the second opinion: the runtime computes what was trained, and what is drawn depends on its seed alone."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import opinion_kinds
import opinion_weights

from edge.picture.ink import opinion


@pytest.fixture
def network(tmp_path, monkeypatch):
    """A network of random weights, which the runtime reads."""
    torch.manual_seed(1)
    network = opinion_weights.Network().eval()
    (tmp_path / "opinion.f16").write_bytes(opinion_weights.packed(network))
    monkeypatch.setattr(opinion, "FILE", tmp_path / "opinion.f16")
    opinion._layers.cache_clear()
    yield network
    opinion._layers.cache_clear()


def test_the_runtime_computes_what_was_trained(network):
    images = np.random.default_rng(2).integers(0, 256, (20, 28, 28), np.uint8)
    with torch.no_grad():
        logits = network(torch.from_numpy(images).float()[:, None] / 255).double()
    expected = logits[:, -1] - logits[:, :-1].logsumexp(dim=1)
    found = [opinion.oddness(image) for image in images]
    np.testing.assert_allclose(found, expected, atol=2e-3)  # weights are float16 there


@pytest.mark.parametrize("kind", opinion_kinds.KINDS)
def test_a_kind_draws_the_same_for_the_same_seed(kind):
    one, again, other = (opinion_kinds.images(kind, 2, np.random.default_rng(seed), []) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    assert one.shape == (2, 28, 28)


def test_every_set_is_seen():
    assert opinion_weights.KINDS.keys() == {"sign", *opinion_kinds.KINDS}
    assert opinion_weights.KINDS.keys() < opinion_weights.SHARES.keys()

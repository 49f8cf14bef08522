"""BatchNorm: folded where that is exact, kept where it is not, right in both."""

import itertools

import numpy as np
import pytest

from edge_export.graph import conversion
from edge_train.models import networks
from edge_train.models.specification import MODELS, Convolutional, SpecificationError, named
from edge_train.training.evaluation import logits_of

WORDS = ["conv3x4", "conv5x3", "conv1x5", "bn", "bn", "bn", "relu", "pool", "average", "dropout0.3"]


def norms(model) -> int:
    return sum(node.op_type == "BatchNormalization" for node in model.graph.node)


@pytest.mark.parametrize("name", ["cnn", "cnn-16k"])
@pytest.mark.parametrize("gains", ["positive", "both signs"])
@pytest.mark.parametrize("fold_forward", [True, False])
@pytest.mark.sampled(3)
def test_folding_changes_no_answer(*, name, gains, fold_forward, drawn, images, answers):
    stored = drawn(named(name), seed=5, gains=gains)
    expected = logits_of(stored.model(), images)
    found = answers(conversion.convert(stored, fold_forward=fold_forward).model, images, spread=1e-4)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "gains", "fold_forward", "kept"),
    [
        ("cnn", "both signs", False, 0),  # each follows its convolution
        ("cnn-16k", "positive", False, 4),  # each follows a ReLU
        ("cnn-16k", "positive", True, 1),  # the one before pool and ReLU
        ("cnn-16k", "both signs", True, 2),  # and the one before a max pool, where a negative scale turns the order
    ],
)
def test_as_many_are_folded_as_is_exact(*, name, gains, fold_forward, kept, drawn):
    assert norms(conversion.convert(drawn(named(name), gains=gains), fold_forward=fold_forward).model) == kept


@pytest.mark.parametrize(
    "chain",
    [
        "bn conv3x4 relu flatten linear10",
        "bn flatten linear10",
        "bn bn conv3x4 flatten linear10",
        "bn relu conv3x4 bn flatten linear10",
        "relu bn pool conv3x4 flatten linear10",
        "pool bn conv3x4 flatten linear10",
        "average bn relu bn flatten linear10",
        "conv3x4 bn bn bn conv3x4 flatten linear10",
        "conv3x4 dropout0.5 bn relu flatten linear10",
        "conv3x4 relu bn dropout0.5 pool dropout0.5 conv3x4 flatten linear10",
        "conv3x4 relu bn average conv3x4 flatten linear10",
        "conv28x10 bn flatten",
        "conv28x10 flatten relu",
        "flatten linear10 dropout0.5",
        "flatten relu linear10 relu",
    ],
)
@pytest.mark.parametrize("gains", ["positive", "both signs"])
@pytest.mark.sampled(10)
def test_unusual_orders_of_layers_convert_exactly(*, chain, gains, drawn, images, answers):
    stored = drawn(Convolutional(chain), seed=3, gains=gains)
    expected = logits_of(stored.model(), images)
    for fold_forward in (True, False):
        model = conversion.convert(stored, fold_forward=fold_forward).model
        np.testing.assert_allclose(answers(model, images, spread=1e-4), expected, atol=1e-4)


def chains(count: int) -> list[str]:
    """Chains of up to six random layers that fit a 28x28 picture."""
    random, found = np.random.default_rng(6), []
    while len(found) < count:
        chain = " ".join([*random.choice(WORDS, random.integers(1, 7)), "flatten", "linear10"])
        try:
            networks.build(Convolutional(chain))
        except SpecificationError:
            continue
        found.append(chain)
    return found


@pytest.mark.parametrize("chain", chains(25))
@pytest.mark.sampled(8)
def test_any_chain_that_can_be_trained_can_be_exported(chain, drawn, images, answers):
    stored = drawn(Convolutional(chain), seed=len(chain))
    expected = logits_of(stored.model(), images)
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(
        answers(conversion.convert(stored).model, images, spread=1e-4 * scale), expected, atol=1e-4 * scale
    )


def test_a_gain_of_zero_is_folded_or_kept_but_never_divided_by(drawn, images, answers):
    stored = drawn(Convolutional("conv3x4 relu bn pool conv3x4 flatten linear10"), gains="positive")
    stored.weights["chain.2.weight"].zero_()
    np.testing.assert_allclose(
        answers(conversion.convert(stored).model, images), logits_of(stored.model(), images), atol=1e-5
    )


def test_every_model_of_the_table_that_convolves_is_covered_here():
    convolving = {name for name, entry in MODELS.items() if isinstance(entry.specification, Convolutional)}
    assert convolving == {"cnn", "cnn-16k"}


def test_the_random_gains_really_have_both_signs(drawn):
    stored = drawn(named("cnn-16k"))
    gains = list(itertools.chain(*(stored.weights[f"chain.{index}.weight"].tolist() for index in (2, 6, 11))))
    assert min(gains) < 0 < max(gains)

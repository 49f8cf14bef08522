"""Calls of somebody's `forward` that are answered in another way: each as torch would take it, without their device."""

import pytest
import torch
import torch.nn.functional as F

from edge_export.model.repairs import Repaired, Repairs

IMAGES = torch.arange(12.0).reshape(1, 3, 4)


def run(call, repairs=None):
    """What a call returns while it is repaired, and what was noted."""
    with Repaired(repairs or Repairs()) as mode:
        return call(IMAGES), mode


@pytest.mark.parametrize(
    "call",
    [
        lambda images: images.cuda(),
        lambda images: images.to("cuda:0"),
        lambda images: images.to(device="mps"),
        lambda images: images.to(torch.device("xpu")),
        lambda images: images.to(0),
        lambda images: images.type("torch.cuda.FloatTensor"),
    ],
    ids=["cuda()", "its name", "by keyword", "a device", "its number", "a type of tensors"],
)
def test_a_tensor_that_is_moved_to_a_device_stays(call):
    found, mode = run(call)
    assert mode.cuda
    assert (found.device.type, found.dtype) == ("cpu", torch.float32)
    torch.testing.assert_close(found, IMAGES)


@pytest.mark.parametrize(
    "call",
    [lambda images: images.to("cpu"), lambda images: images.to(torch.int64), lambda images: images.type_as(images)],
)
def test_a_tensor_that_is_moved_nowhere_is_none_of_them(call):
    assert not run(call)[1].cuda


@pytest.mark.parametrize(
    "call",
    [
        lambda images: images.double(),
        lambda images: images.to(torch.float64),
        lambda images: images.to(dtype=torch.float64),
        lambda images: images.type("torch.DoubleTensor"),
        lambda images: images + torch.zeros(4, dtype=torch.float64),
    ],
)
def test_double_precision_is_that_of_the_weights(call):
    found, mode = run(call)
    assert mode.double
    assert found.dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "mean"),
    [
        (lambda _: torch.randn(2, 3), torch.zeros(2, 3)),
        (torch.randn_like, torch.zeros(1, 3, 4)),
        (lambda _: torch.rand(4), torch.full((4,), 0.5)),
        (torch.rand_like, torch.full((1, 3, 4), 0.5)),
        (lambda _: torch.normal(2.0, 0.1, (3,)), torch.full((3,), 2.0)),
        (lambda images: torch.normal(images, torch.ones(1, 3, 4)), IMAGES),
        (lambda _: torch.empty(3).normal_(1.5), torch.full((3,), 1.5)),
        (lambda _: torch.empty(3).uniform_(1.0, 2.0), torch.full((3,), 1.5)),
    ],
)
def test_what_is_drawn_at_random_is_its_mean(call, mean):
    found, mode = run(call, Repairs(still=True))
    assert mode.random
    torch.testing.assert_close(found, mean)


def test_random_numbers_that_nobody_repairs_are_drawn_and_noted():
    found, mode = run(lambda _: torch.rand(100))
    assert mode.random
    assert found.std() > 0


def test_a_squeeze_without_an_axis_loses_the_axes_that_it_is_told():
    assert run(lambda images: images.squeeze())[0].shape == (3, 4)
    assert run(lambda images: images.squeeze(), Repairs(axes={0: ()}))[0].shape == (1, 3, 4)
    kept, mode = run(lambda images: torch.squeeze(input=images[None]), Repairs(axes={0: (1,)}))
    assert kept.shape == (1, 3, 4)
    assert [(one.kind, one.shape) for one in mode.seen] == [("squeeze", (1, 1, 3, 4))]
    assert not run(lambda images: images.squeeze(0))[1].seen, "an axis that is named is meant"


def test_a_call_that_is_skipped_gives_what_enters_it():
    found, mode = run(lambda images: torch.softmax(torch.sigmoid(images), 1), Repairs(skipped=frozenset({1})))
    assert [one.kind for one in mode.seen] == ["sigmoid", "softmax"]
    torch.testing.assert_close(found, torch.sigmoid(IMAGES))


@pytest.mark.parametrize(
    ("call", "seen"),
    [
        (F.dropout, ["dropout"]),
        (lambda images: F.dropout(images, training=False), []),
        (lambda images: torch.dropout(images, 0.5, train=True), ["dropout"]),
        (lambda images: torch.dropout(images, 0.5, False), []),  # noqa: FBT003 - torch's own signature
    ],
)
def test_only_a_dropout_that_drops_is_noted(call, seen):
    assert [one.kind for one in run(call)[1].seen] == seen


def test_only_sequences_of_full_length_count_as_packed():
    def pack(*lengths):
        return lambda _: torch.nn.utils.rnn.pack_padded_sequence(torch.zeros(2, 5, 3), torch.tensor(lengths), True)  # noqa: FBT003

    assert run(lambda images: images)[1].packed is None
    assert run(pack(5, 5))[1].packed is True
    assert run(pack(5, 3))[1].packed is False

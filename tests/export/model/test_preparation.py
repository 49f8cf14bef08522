"""Pictures of other sizes than 28x28, as people make them."""

import numpy as np
import pytest
import torch
from PIL import Image

from edge.bundle.manifest import Preparation
from edge_export.model import preparation
from edge_export.model.errors import ModelError
from edge_train import strokes


@pytest.mark.parametrize(
    ("text", "layouts"),
    [
        ("N,28,28", ("N,28,28",)),
        ("n, 1, 32, 32", ("N,1,32,32:pad", "N,1,32,32:resize")),
        ("[N,1,32,32]:pad", ("N,1,32,32:pad",)),
        ("N,3,224,224", ("N,3,224,224:resize",)),
        ("N,1024:resize", ("N,1024:resize",)),
        ("N,1,14,14", ("N,1,14,14:resize", "N,1,14,14:crop")),
        ("N,400:crop", ("N,400:crop",)),
        ("1,1,28,28", ("N,1,28,28",)),
        ("n,28:rows", ("N,28:rows",)),
        ("1,N,28:rows", ("1,N,28:rows",)),
    ],
)
def test_a_layout_says_how_pictures_come_to_another_size(text, layouts):
    assert preparation.layouts_of(text) == layouts


@pytest.mark.parametrize(
    "text", ["N,1,6,6", "N,1,32,28", "N,1,32,32:crop", "N,4096,4096", "N,20,20:pad", "28,28", "N,30:rows"]
)
def test_what_is_no_layout_is_told(text):
    with pytest.raises(ModelError, match=f"--input {text} "):
        preparation.layouts_of(text)


def test_a_border_is_background():
    images, _ = strokes.sample(2, seed=4)
    pixels = torch.from_numpy(images.astype(np.float32) / 255)
    padded = preparation.prepared(pixels, Preparation("N,32,32:pad", (0.5,), (0.5,)))
    assert torch.equal(padded[:, 2:30, 2:30], (pixels - 0.5) / 0.5)
    assert bool((padded[:, :2] == -1).all())


@pytest.mark.parametrize("layout", ["N,28,28", "N,1,32,32:pad"])
def test_each_picture_by_itself(layout):
    images, _ = strokes.sample(3, seed=4)
    pixels = torch.from_numpy(images.astype(np.float32) / 255)
    pixels[2] = 0
    plain = preparation.prepared(pixels, Preparation(layout)).flatten(1)
    told = preparation.with_normalisation(Preparation(layout), "picture")
    deviation, mean = torch.std_mean(plain[:2], 1, keepdim=True)
    found = preparation.prepared(pixels, told).flatten(1)
    torch.testing.assert_close(found[:2], (plain[:2] - mean) / deviation, atol=1e-5, rtol=1e-5)
    assert not found[2].any(), "an empty picture has no deviation"
    binary = preparation.with_normalisation(Preparation(layout), "binary,0.5,0.5")
    assert torch.equal(preparation.prepared(pixels, binary).flatten(1), torch.where(plain > 0.5, 1.0, -1.0))
    for text in ("picture", "binary", "binary,half", "mnist", "0.2,0.3"):
        told = preparation.with_normalisation(Preparation(layout), text)
        words = preparation.arguments(told)
        assert preparation.with_normalisation(Preparation(layout), words[words.index("--normalise") + 1]) == told


def test_without_its_own_border_a_picture_is_its_middle():
    pixels = torch.rand(2, 28, 28)
    assert torch.equal(preparation.prepared(pixels, Preparation("N,1,20,20:crop"))[:, 0], pixels[:, 4:24, 4:24])


@pytest.mark.parametrize("rows", [8, 14, 20, 32])
def test_resized_pictures_are_pillow_s(rows):
    images, _ = strokes.sample(5, seed=4)
    resized = preparation.prepared(
        torch.from_numpy(images.astype(np.float32) / 255), Preparation(f"N,{rows},{rows}:resize")
    )
    expected = [np.asarray(Image.fromarray(one).resize((rows, rows), Image.Resampling.BILINEAR)) for one in images]
    np.testing.assert_array_equal((resized * 255).round().numpy(), np.stack(expected))


def test_bytes_come_back_exactly():
    pixels = torch.arange(256).float().repeat(4)[: 28 * 28].reshape(1, 28, 28)
    back = preparation.prepared(pixels / 255, Preparation("N,28,28", (0.0,), (1 / 255,)))
    assert torch.equal(back, pixels)


@pytest.mark.parametrize(
    ("layout", "shape"), [("N,28:rows", (2, 28)), ("1,N,28:rows", (1, 2, 28)), ("N,1,28:rows", (2, 1, 28))]
)
def test_a_row_at_a_call_is_that_of_the_prepared_picture(layout, shape):
    pixels = torch.rand(2, 28, 28)
    told = Preparation(layout, (0.5,), (0.5,), inverted=True, transposed=True)
    row = preparation.row_of(preparation.prepared(pixels, told), 3, told)
    assert row.shape == shape
    torch.testing.assert_close(row.reshape(2, 28), (1 - pixels[:, :, 3] - 0.5) / 0.5)


@pytest.mark.parametrize("text", ["", "a,b", "0.5", "0.5,0", "0.5,-1", "0.5,nan", "1,2,3,4", "0.1,inf"])
def test_what_is_no_normalisation_is_told_with_those_that_there_are(text):
    with pytest.raises(ModelError, match=r"is no MEAN,DEVIATION of pixels in \[0, 1\]; give the numbers"):
        preparation.with_normalisation(Preparation("N,28,28"), text)


@pytest.mark.parametrize(("text", "said"), [("half", "half"), ("(0.25, 0.5)", "0.25,0.5"), ("mnist", "0.1307,0.3081")])
def test_a_preparation_is_said_by_the_options_that_ask_for_it(text, said):
    found = preparation.with_normalisation(Preparation("N,28,28", inverted=True), text)
    assert preparation.arguments(found) == ["--input", "N,28,28", "--normalise", said, "--invert"]
    assert preparation.with_normalisation(Preparation("N,28,28", inverted=True), said) == found

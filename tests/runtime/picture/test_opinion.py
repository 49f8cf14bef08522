"""The second opinion of an image: digits are none of its oddities, letters and mugs are, and its sums are right."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from edge.picture import preprocessing
from edge.picture.ink import opinion
from edge.picture.ink.likeness import ALLOWANCE, USUAL

SIDE, INK, PAPER = 220, 40, 235


def drawn(*, letter=None):
    """A letter of Pillow's font, or a mug, on a sheet."""
    page = Image.new("L", (SIDE, SIDE), PAPER)
    draw = ImageDraw.Draw(page)
    if letter is not None:
        draw.text((SIDE / 2, SIDE / 2), letter, fill=INK, font=ImageFont.load_default(150), anchor="mm")
    else:
        draw.line([(60, 50), (70, 180), (130, 180), (140, 50), (60, 50)], fill=INK, width=8)
        draw.arc([110, 75, 180, 145], -110, 110, fill=INK, width=8)
    return page


def test_a_digit_is_not_odd(golden):
    assert max(opinion.oddness(image) for _, image in golden) < USUAL.odd


@pytest.mark.parametrize("letter", list("KMXRN"))
def test_a_letter_is_odd(letter):
    page = drawn(letter=letter)
    assert opinion.oddness(preprocessing.read(page)) > USUAL.odd + 1
    assert preprocessing.read_digit(page).likeness < ALLOWANCE - 1


def test_a_mug_is_odd():
    assert preprocessing.read_digit(drawn()).likeness < ALLOWANCE - 1


def test_an_image_that_says_nothing_has_an_opinion_too():
    assert np.isfinite([opinion.oddness(np.full((28, 28), level, np.uint8)) for level in (0, 255)]).all()


def test_the_sums_are_those_of_convolutions(images):
    """Each window's product, one at a time, and a softmax of the last layer."""
    numbers = np.frombuffer(opinion.FILE.read_bytes(), "<f2").astype(np.float64)
    values = images[3][:, :, None] / 255
    for layer in opinion.CONVOLUTIONS:
        inputs = layer.window**2 * layer.channels
        weights, biases, numbers = np.split(numbers, [inputs * layer.outputs, (inputs + 1) * layer.outputs])
        weights = weights.reshape(layer.window, layer.window, layer.channels, layer.outputs)
        count = (values.shape[0] - layer.window) // layer.step + 1
        found = np.empty((count, count, layer.outputs))
        for row in range(count):
            for column in range(count):
                top, left = row * layer.step, column * layer.step
                window = values[top : top + layer.window, left : left + layer.window]
                found[row, column] = np.maximum(np.einsum("yxc,yxco->o", window, weights) + biases, 0)
        values = found
    values = values.reshape(-1)
    for inputs, outputs in opinion.DENSE:
        weights, biases, numbers = np.split(numbers, [inputs * outputs, (inputs + 1) * outputs])
        last = values @ weights.reshape(inputs, outputs) + biases
        values = np.maximum(last, 0)
    assert len(numbers) == 0  # the file holds the weights, and nothing else
    expected = last[-1] - np.log(np.exp(last[:-1]).sum())
    assert opinion.oddness(images[3]) == pytest.approx(expected, abs=1e-4)

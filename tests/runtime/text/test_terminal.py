"""The image in a terminal, for `edge predict --show`."""

import re

import numpy as np

from edge.text.terminal import image_as_text


def test_half_blocks_show_two_rows_in_each_of_14_lines(golden):
    image = golden[0][1]
    lines = image_as_text(image).split("\n")
    assert len(lines) == 14
    assert max(map(len, lines)) <= 28
    assert set("".join(lines)) <= set(" ▀▄█")
    image = np.zeros((28, 28), np.uint8)
    image[0, 0] = image[1, 1] = image[2:4, 2] = 255
    assert image_as_text(image).split("\n")[:3] == ["▀▄", "  █", ""]


def test_without_unicode_every_sign_is_ascii_and_denser_where_there_is_more_ink(golden):
    text = image_as_text(golden[0][1], unicode=False)
    assert text.isascii()
    assert re.search(r"\S", text)
    assert len(text.split("\n")) == 14
    image = np.zeros((28, 28), np.uint8)
    image[:2, 0] = image[:2, 2] = image[0, 1] = 255
    first, *others = image_as_text(image, unicode=False).split("\n")
    assert len(first) == 3
    assert first[0] == first[2] != first[1] != " "
    assert not any(others)

"""The image in a terminal, for `edge predict --show`."""

import re

import numpy as np

from edge.picture import picture


def test_half_blocks_show_two_rows_in_each_of_14_lines(golden):
    image = golden[0][1]
    lines = picture.to_terminal(image).split("\n")
    assert len(lines) == 14
    assert max(map(len, lines)) <= 28
    assert set("".join(lines)) <= set(" ▀▄█")
    image = np.zeros((28, 28), np.uint8)
    image[0, 0] = image[1, 1] = image[2:4, 2] = 255
    assert picture.to_terminal(image).split("\n")[:3] == ["▀▄", "  █", ""]


def test_without_unicode_every_sign_is_ascii_and_denser_where_there_is_more_ink(golden):
    text = picture.to_terminal(golden[0][1], unicode=False)
    assert text.isascii()
    assert re.search(r"\S", text)
    assert len(text.split("\n")) == 14
    image = np.zeros((28, 28), np.uint8)
    image[:2, 0] = image[:2, 2] = image[0, 1] = 255
    first, *others = picture.to_terminal(image, unicode=False).split("\n")
    assert len(first) == 3
    assert first[0] == first[2] != first[1] != " "
    assert not any(others)


def test_colours_are_switched_off_again_on_each_line(golden):
    lines = picture.to_terminal(golden[0][1], colour=True).split("\n")
    assert len(lines) == 14
    assert any("\x1b[" in line for line in lines)
    for line in lines:
        codes = re.findall(r"\x1b\[[0-9;]*m", line)
        assert not codes or codes[-1] == "\x1b[0m"
        assert len(re.sub(r"\x1b\[[0-9;]*m", "", line)) <= 28

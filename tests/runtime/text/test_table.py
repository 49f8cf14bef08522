"""Columns: aligned, plain, and safe to print."""

import pytest

from edge.text import table


def test_columns_are_padded_to_their_longest_cell_and_lines_have_no_tail():
    assert table.aligned([("a", "long cell", "x"), ("abc", "b", "")]) == ["a    long cell  x", "abc  b"]


def test_no_rows_are_no_lines():
    assert table.aligned([]) == []


def test_rows_of_different_lengths_are_a_bug():
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        table.aligned([("a", "b"), ("c",)])


def test_what_a_terminal_would_act_on_is_quoted():
    assert table.printable("übung 1.png") == "übung 1.png"
    assert table.printable("a\x1b[31m\n") == r"'a\x1b[31m\n'"


def test_sizes_are_for_people():
    assert [table.size(count) for count in (0, 89_213, 2_500_000)] == ["0.0 KB", "89.2 KB", "2.5 MB"]

"""Columns: aligned, and figures for people."""

import pytest

from edge.text import table


def test_columns_are_padded_to_their_longest_cell_and_lines_have_no_tail():
    assert table.aligned([("a", "long cell", "x"), ("abc", "b", "")]) == ["a    long cell  x", "abc  b"]


def test_numbers_stand_to_the_right():
    rows = [("name", "images", "share"), ("a", "5", "100 %"), ("bc", "12000", "3 %")]
    assert table.aligned(rows, right=range(1, 3)) == [
        "name  images  share",
        "a          5  100 %",
        "bc     12000    3 %",
    ]


def test_the_same_is_written_as_markdown():
    assert table.markdown([("name", "images"), ("a", "5")], right={1}) == [
        "| name | images |",
        "| --- | ---: |",
        "| a | 5 |",
    ]


def test_no_rows_are_no_lines():
    assert table.aligned([]) == []


def test_rows_of_different_lengths_are_a_bug():
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        table.aligned([("a", "b"), ("c",)])


def test_sizes_are_for_people():
    assert [table.size(count) for count in (0, 89_213, 2_500_000)] == ["0.0 KB", "89.2 KB", "2.5 MB"]


@pytest.mark.parametrize(
    ("share", "words"),
    [(1.0, "100.0 %"), (0.9997, "> 99.9 %"), (0.999, "99.9 %"), (0.5, "50.0 %"), (0.0001, "< 0.1 %"), (0.0, "0.0 %")],
)
def test_nothing_is_certain_that_is_not(share, words):
    assert table.percent(share) == words

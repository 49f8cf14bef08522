"""The progress bar: a line of its own on a terminal, which is gone at the end; nothing elsewhere."""

import io

import pytest

from edge.text.progress import Bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [100.0]
    monkeypatch.setattr("edge.text.progress.time.monotonic", lambda: now[0])
    return now


def test_it_is_redrawn_in_place_and_cleared(monkeypatch, clock):
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    bar = Bar(200)
    clock[0] += 1
    bar.show(50)
    assert terminal.getvalue() == "\r[######..................] 50 of 200"
    bar.clear()
    assert terminal.getvalue().endswith("\r" + " " * 36 + "\r")
    bar.show(200)
    assert terminal.getvalue().endswith("\r[########################] 200 of 200")


def test_it_is_drawn_a_few_times_a_second_at_most(monkeypatch, clock):
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    bar = Bar(10)
    bar.show(1)  # too early: what is quick needs no bar
    assert terminal.getvalue() == ""
    clock[0] += 1
    bar.show(2)
    drawn = terminal.getvalue()
    bar.show(3)
    assert terminal.getvalue() == drawn


def test_nothing_is_drawn_where_there_is_no_terminal(monkeypatch, clock):
    monkeypatch.setattr("sys.stderr", stream := io.StringIO())
    bar = Bar(10)
    clock[0] += 1
    bar.show(5)
    bar.clear()
    assert stream.getvalue() == ""

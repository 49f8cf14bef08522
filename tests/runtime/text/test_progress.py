"""Progress: a line of its own on a terminal, which is gone at the end; a line now and then in a log, or nothing."""

import io
import os

import pytest

from edge.text.terminal import ProgressBar


class Terminal(io.StringIO):
    """A terminal that does not say how wide it is."""

    def isatty(self):
        return True


class Clock:
    """Seconds that a test sets."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def begun(stream, clock, total=200, stage="", **settings):
    bar = ProgressBar(stream, clock=clock, **settings)
    bar.begin(total, stage)
    return bar


def test_it_is_redrawn_in_place_and_cleared(clock):
    bar = begun(terminal := Terminal(), clock)
    clock.now += 1
    bar.show(50)
    assert terminal.getvalue() == "\r\x1b[K[######..................] 50 of 200"
    bar.clear()
    assert terminal.getvalue().endswith("50 of 200\r\x1b[K")
    bar.show(200)
    assert terminal.getvalue().endswith("\r\x1b[K[########################] 200 of 200")


def test_a_stage_has_its_name_and_what_takes_long_the_time_that_is_left(clock):
    bar = begun(terminal := Terminal(), clock, stage="cold starts")
    clock.now += 10
    bar.show(50)
    assert terminal.getvalue().endswith("] cold starts 50 of 200, 30 s left")
    bar.begin(4, "latency")
    clock.now += 1
    bar.step()
    assert terminal.getvalue().endswith("\r\x1b[K\r\x1b[K[######..................] latency 1 of 4")


def test_figures_stand_behind_where_there_is_room_and_no_line_is_wider_than_the_terminal(clock, monkeypatch):
    class Sized(Terminal):
        def fileno(self):
            return 99

    def shown(columns):
        monkeypatch.setattr("os.get_terminal_size", lambda number: os.terminal_size((columns, 24)))
        bar = begun(terminal := Sized(), clock, stage="epoch 1/20:")
        clock.now += 10
        bar.show(50, ["loss 0.1000", "accuracy 90.00%"])
        return terminal.getvalue().removeprefix("\r\x1b[K")

    whole = "[######..................] epoch 1/20: 50 of 200, 30 s left  loss 0.1000  accuracy 90.00%"
    assert shown(120) == shown(len(whole) + 1) == whole
    assert shown(80) == "[###...........] epoch 1/20: 50 of 200, 30 s left  loss 0.1000  accuracy 90.00%"
    assert len(shown(80)) == 79
    assert shown(60) == "[##.........] epoch 1/20: 50 of 200, 30 s left  loss 0.1000"
    assert shown(36) == "epoch 1/20: 50 of 200, 30 s left"
    assert shown(20) == "epoch 1/20: 50 of 2"


def test_it_is_drawn_a_few_times_a_second_at_most(clock):
    bar = begun(terminal := Terminal(), clock)
    bar.show(1)  # too early: what is quick needs no bar
    assert terminal.getvalue() == ""
    clock.now += 1
    bar.show(2)
    drawn = terminal.getvalue()
    bar.show(3)
    assert terminal.getvalue() == drawn


def test_nothing_is_drawn_where_there_is_no_terminal(clock):
    bar = begun(stream := io.StringIO(), clock)
    clock.now += 3600
    bar.show(5)
    bar.clear()
    assert stream.getvalue() == ""


def test_a_log_gets_a_line_for_each_stage_and_one_now_and_then(clock):
    bar = begun(stream := io.StringIO(), clock, total=1000, stage="work", in_logs=True)
    for _ in range(500):
        bar.step()
    assert stream.getvalue() == "work\n"
    clock.now += 3600
    bar.step()
    bar.clear()
    assert stream.getvalue() == "work\nwork: 501 of 1000\n"

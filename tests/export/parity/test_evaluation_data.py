"""What an export is judged on: digits, extremes, golden images, and the time that it takes."""

import itertools

import numpy as np
import pytest
import torchvision

from edge.errors import EdgeError
from edge_export.graph import conversion, session
from edge_export.int8 import latency
from edge_export.pack import packing
from edge_export.parity import evaluation_data
from edge_train.data.splits import DataError


def test_strokes_are_judged_on_where_there_is_no_mnist(few_digits, tmp_path):
    data = evaluation_data.find("auto", tmp_path)
    assert (data.parity.name, data.calibration_name, data.test) == ("strokes-parity", "strokes-calibration", None)
    assert (len(data.parity), len(data.calibration)) == (60, 40)


def test_mnist_is_judged_on_where_it_is_and_its_test_set_decides_nothing(mnist_folder):
    data = evaluation_data.find("auto", mnist_folder)
    assert (data.parity.name, data.calibration_name, data.test.name) == (
        "mnist-validation",
        "mnist-training",
        "mnist-test",
    )
    assert (len(data.parity), len(data.calibration), len(data.test)) == (5000, 1000, 10_000)
    assert not {image.tobytes() for image in data.parity.images} & {image.tobytes() for image in data.calibration}


def test_mnist_that_is_asked_for_must_be_there(tmp_path, monkeypatch):
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(torchvision.datasets, "MNIST", unreachable)
    with pytest.raises(DataError, match="could not be downloaded"):
        evaluation_data.find("mnist", tmp_path)


def test_mnist_that_is_damaged_is_told_and_not_replaced_by_strokes(tmp_path):
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"{name}-ubyte.gz").write_bytes(b"damaged")
    with pytest.raises(EdgeError, match="wrong MD5"):
        evaluation_data.find("auto", tmp_path)


def test_no_picture_is_both_judged_on_and_calibrated_on():
    data = evaluation_data.find("strokes", None)
    assert not {image.tobytes() for image in data.parity.images} & {image.tobytes() for image in data.calibration}
    assert (len(data.parity), len(data.calibration)) == (2000, 1000)


def test_golden_images_are_the_same_ones_every_time_and_hold_every_digit_and_the_extremes():
    images, kinds = packing.golden_images()
    again, _ = packing.golden_images()
    np.testing.assert_array_equal(images, again)
    assert (images.dtype, images.shape) == (np.uint8, (25, 28, 28))
    assert sorted(kinds[:20]) == sorted([f"stroke {digit}" for digit in range(10)] * 2)
    assert kinds[20:] == ("all-zero", "all-255", "noise", "noise", "noise")
    assert not images[20].any()
    assert (images[21] == 255).all()
    assert len(np.unique(images[:20])) == packing.STROKE_LEVELS, "as telling as 256 levels, and a third of the bytes"
    assert images[:20].max() == 255
    assert len(np.unique(images[22])) == packing.NOISE_LEVELS
    assert np.unique(images[23:]).tolist() == [0, 255]
    assert len({image.tobytes() for image in images}) == 25


@pytest.fixture
def timed(monkeypatch):
    """Makes a session that takes these seconds in turn, by a clock of its own, and says when it ran."""
    clock, turns = [0.0], []

    class Timed:
        def __init__(self, name: str, *seconds: float) -> None:
            self.name, self.seconds = name, itertools.cycle(seconds)

        def run(self, _names, feed):
            turns.append((self.name, len(feed["image"])))
            clock[0] += next(self.seconds)

    monkeypatch.setattr(latency, "_clock", lambda: lambda: clock[0])
    monkeypatch.setattr(latency, "SECONDS", 0)
    Timed.turns = turns
    return Timed


def test_latencies_are_medians_of_all_in_microseconds_an_image(timed):
    fp32 = timed("fp32", 0.002)
    fast = timed("fast", 0.001, 0.001, 5.0)  # every third run meets something else on the machine
    same = timed("same", 0.002)
    measured = latency.measure(fp32, {"fast": fast, "same": same}, np.zeros((3, 28, 28), np.uint8))
    assert list(measured) == ["fast", "same"]
    for name, ratio in (("fast", 2.0), ("same", 1.0)):
        assert [one.batch for one in measured[name]] == [1, 256]
        assert [one.baseline_us for one in measured[name]] == pytest.approx([2000, 2000 / 256])
        assert [one.candidate_us for one in measured[name]] == pytest.approx([2000 / ratio, 2000 / ratio / 256])
        assert [one.ratio for one in measured[name]] == pytest.approx([ratio, ratio])


def test_graphs_run_in_turns_so_that_noise_meets_all_alike(timed):
    graphs = [timed(name, 0.001) for name in ("fp32", "one", "two")]
    latency.measure(graphs[0], {"one": graphs[1], "two": graphs[2]}, np.zeros((3, 28, 28), np.uint8))
    rounds = [timed.turns[start : start + 3] for start in range(0, len(timed.turns), 3)]
    for batch in latency.REPETITIONS:
        first, second, third = (("fp32", batch), ("one", batch), ("two", batch))
        orders = {tuple(turn) for turn in rounds if turn[0][1] == batch}
        assert orders == {(first, second, third), (second, third, first), (third, first, second)}, "each goes first"
    assert len(rounds) == sum(latency.WARM_UP + rounds for rounds in latency.REPETITIONS.values())


def test_a_ratio_that_varies_has_more_noise_than_one_that_does_not(timed, monkeypatch):
    monkeypatch.setattr(latency, "REPETITIONS", {1: 100, 256: 25})
    sessions = {"steady": timed("steady", 0.001), "shaky": timed("shaky", *np.linspace(0.0009, 0.0011, 17))}
    measured = latency.measure(timed("fp32", 0.002), sessions, np.zeros((3, 28, 28), np.uint8))
    assert [one.noise for one in measured["steady"]] == pytest.approx([0, 0], abs=1e-12)
    single, bulk = measured["shaky"]
    assert 0 < single.noise < bulk.noise, "four times as many rounds, half the error"
    assert bulk.noise == pytest.approx(2 * single.noise, rel=0.3)
    assert single.ratio == pytest.approx(2.0, rel=0.02)


def test_loading_is_timed_in_milliseconds(monkeypatch):
    clock = itertools.count(step=0.004)
    opened = []
    monkeypatch.setattr(latency, "_clock", lambda: lambda: next(clock))
    monkeypatch.setattr(latency, "open_session", opened.append)
    assert latency.load_time("a model") == pytest.approx(4.0)
    assert opened == ["a model"] * latency.LOADS


def test_sessions_run_on_one_thread(lstm):
    running = session.open_session(conversion.convert(lstm).model)
    options = running.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert running.get_providers() == ["CPUExecutionProvider"]

"""What an export is judged on: digits, extremes, golden images, and the time that it takes."""

import numpy as np
import pytest
import torchvision

from edge.errors import EdgeError
from edge_export.graph import conversion, session
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


def test_sessions_run_on_one_thread(lstm):
    running = session.open_session(conversion.convert(lstm).model)
    options = running.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert running.get_providers() == ["CPUExecutionProvider"]

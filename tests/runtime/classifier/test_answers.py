"""Many pictures: answers in order whatever finishes first, a window of them at a time, errors where they belong."""

import threading
import time

import numpy as np
import pytest
from PIL import Image

import edge
from edge.classifier import answers
from edge.errors import NoDigitError, PictureNotFoundError, ProviderError, UnreadablePictureError
from edge.picture import preprocessing
from edge.picture.luminance import Prepared
from edge.picture.paths import Found, StoppedError, stop_if_asked, stoppable


@pytest.fixture
def loaded(bundle_path):
    return edge.load(bundle_path, provider="cpu", threads=1)


def found(count):
    return [Found(str(number)) for number in range(count)]


def image(number):
    return np.full((28, 28), number % 256, np.uint8)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 4, 15, 16, 300])
@pytest.mark.sampled(6)
def test_the_answers_come_in_the_order_of_the_pictures(loaded, linear, count, workers):
    def read(block):
        time.sleep(0.002 * (int(block[0].path) % 3))  # later blocks are ready sooner
        return [Prepared(image(int(each.path))) for each in block]

    rows = [row for block in answers.answers(loaded, found(count), read, workers=workers) for row in block]
    assert [row.path for row in rows] == [str(number) for number in range(count)]
    for number, row in enumerate(rows):
        assert row.error is None
        np.testing.assert_array_equal(row.image, image(number))
        expected = linear.probabilities(image(number)[None])[0]
        np.testing.assert_allclose(list(row.prediction.probabilities.values()), expected, atol=1e-4)


@pytest.mark.parametrize("given", [0, 1, 2])
def test_where_the_system_gives_few_threads_those_do_the_work(loaded, monkeypatch, given):
    start = threading.Thread.start
    alive = []

    def scarce(thread):
        if sum(each.is_alive() for each in alive) >= given:
            raise RuntimeError("can't start new thread")
        alive.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    read = lambda block: [Prepared(image(int(each.path))) for each in block]  # noqa: E731
    rows = [row for block in answers.answers(loaded, found(300), read, workers=4) for row in block]
    assert [row.path for row in rows] == [str(number) for number in range(300)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_picture_that_cannot_be_read_keeps_its_place(loaded, workers):
    def read(block):
        return [
            UnreadablePictureError("bad; worse") if int(each.path) % 3 == 0 else Prepared(image(int(each.path)))
            for each in block
        ]

    rows = [row for block in answers.answers(loaded, found(100), read, workers=workers) for row in block]
    assert [row.path for row in rows if row.error] == [str(number) for number in range(0, 100, 3)]
    assert all((row.error is None) != (row.prediction is None) for row in rows)


def test_only_a_window_of_pictures_is_read_ahead(loaded):
    begun = []

    def read(block):
        begun.append(len(block))
        return [Prepared(image(0)) for _ in block]

    stream = answers.answers(loaded, found(10_000), read, workers=2)
    next(stream)
    time.sleep(0.2)  # the workers go on as far as they may
    assert sum(begun) <= 5 * answers.LARGEST_BLOCK
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("edge-read")]


def test_the_blocks_grow_to_a_batch():
    sizes = [len(block) for block in answers.blocks(found(300))]
    assert sizes[:5] == [4, 8, 16, 32, 64]
    assert max(sizes) == answers.LARGEST_BLOCK
    assert sum(sizes) == 300


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_no_picture_s_fault_is_raised(loaded, workers):
    def read(block):
        raise ProviderError("no memory; buy some")

    with pytest.raises(ProviderError, match="buy some"):
        list(answers.answers(loaded, found(100), read, workers=workers))


def alone(path):
    try:
        return preprocessing.read_digit(path)
    except NoDigitError as error:
        return error


def test_reading_many_is_reading_each(images, tmp_path):
    paths = []
    for number, one in enumerate([*images, *(255 - images)]):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(one).save(paths[-1])
    Image.fromarray(images[2]).resize((60, 60)).save(tmp_path / "large.png")
    Image.fromarray(images[2]).convert("RGB").save(tmp_path / "colours.png")
    Image.fromarray(images[2]).save(tmp_path / "other.bmp")
    paths += [str(tmp_path / name) for name in ("large.png", "colours.png", "other.bmp")]
    paths = [*paths[5:], *paths[:5]]
    outcomes = preprocessing.read_digits(paths)
    assert {isinstance(outcome, NoDigitError) for outcome in outcomes} == {True, False}
    for outcome, expected in zip(outcomes, map(alone, paths), strict=True):
        if isinstance(expected, NoDigitError):
            assert str(outcome) == str(expected)
        else:
            np.testing.assert_array_equal(outcome.image, expected.image)
            assert outcome.image.flags.writeable == expected.image.flags.writeable
            assert outcome.likeness == expected.likeness
    assert preprocessing.read_digits([]) == []


def test_reading_many_gives_the_errors_in_their_places(images, tmp_path):
    Image.fromarray(images[2]).save(tmp_path / "good.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:60])
    good, cut = str(tmp_path / "good.png"), str(tmp_path / "cut.png")
    kinds = [type(each) for each in preprocessing.read_digits([good, "missing.png", cut, str(tmp_path), good])]
    assert kinds == [Prepared, PictureNotFoundError, UnreadablePictureError, UnreadablePictureError, Prepared]


def test_a_run_that_is_left_does_not_wait_for_the_pictures_that_its_workers_have_before_them(loaded):
    begun, ended = threading.Semaphore(0), []

    def read(block):
        if block[0].path == "0":
            return [Prepared(image(int(each.path))) for each in block]
        begun.release()
        give_up = time.monotonic() + 30
        try:
            while time.monotonic() < give_up:  # a block of photographs
                stop_if_asked()
                time.sleep(0.001)
        except StoppedError:
            ended.append(block[0].path)
            raise
        raise AssertionError("it was not stopped")

    run = answers.answers(loaded, found(300), read, workers=2)
    assert len(next(run)) == 4
    assert begun.acquire(timeout=10)
    run.close()
    assert ended


def test_between_two_pictures_whoever_reads_them_looks_whether_anybody_waits():
    asked = threading.Event()
    pictures = [np.full((40, 40), 255, np.uint8)] * 2
    with stoppable(asked):
        assert len(preprocessing.read_digits(pictures)) == 2
        asked.set()
        with pytest.raises(StoppedError):
            preprocessing.read_digits(pictures)
    assert len(preprocessing.read_digits(pictures)) == 2

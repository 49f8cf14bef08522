"""What is no picture that can be read safely is refused in one line, before a pixel of it is decoded."""

import io
import os
import threading
import warnings
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image, ImageDraw

import edge
from edge.picture import decode


def drawn():
    """A dark stroke on light paper."""
    image = Image.new("L", (90, 70), 240)
    ImageDraw.Draw(image).line((30, 10, 60, 60), fill=20, width=5)
    return image


def saved(image, kind="PNG"):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


class Pipe(io.BytesIO):
    """A stream that cannot be rewound."""

    def seekable(self):
        return False


def refusal(source, kind=edge.UnreadablePictureError):
    """The message that refuses a source: one line, what happened and what to do next."""
    with pytest.raises(edge.PictureError) as caught:
        decode.read_grey(source)
    assert type(caught.value) is kind
    message = str(caught.value)
    assert message.isprintable()
    happened, advice = message.split("; ", 1)
    assert happened
    assert advice
    return message, caught.value.__cause__


@pytest.mark.parametrize("name", ["missing.png", "missing/missing.png"])
def test_a_missing_file_is_told(tmp_path, name):
    path = tmp_path / name
    message, cause = refusal(path, edge.PictureNotFoundError)
    assert str(path) in message
    assert isinstance(cause, FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        decode.read_grey(path)


def test_a_file_below_a_file_is_missing(tmp_path):
    (tmp_path / "file").touch()
    _, cause = refusal(tmp_path / "file" / "inner.png", edge.PictureNotFoundError)
    assert isinstance(cause, OSError)


def test_a_directory_is_told(tmp_path):
    message, _ = refusal(tmp_path)
    assert "directory" in message


@pytest.mark.parametrize("wrap", [bytes, io.BytesIO, Pipe])
def test_an_empty_source_is_told(wrap):
    message, cause = refusal(wrap(b""))
    assert "empty" in message
    assert cause is not None


def test_an_empty_file_is_told(tmp_path):
    path = tmp_path / "empty.png"
    path.touch()
    message, cause = refusal(path)
    assert "empty" in message
    assert str(path) in message
    assert cause is not None


@pytest.mark.parametrize(
    "content",
    [
        b"Buy milk.\n" * 100,
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"BM",
        b"RIFF\0\0\0\0WEBP",
        b"II*\0",
        b"\0" * 99,
    ],
)
def test_what_calls_itself_a_picture_and_is_none_is_told(tmp_path, content):
    path = tmp_path / "notes.png"
    path.write_bytes(content)
    message, cause = refusal(path)
    assert str(path) in message
    assert cause is not None


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA", "PCX", "PDF"])
def test_formats_that_nobody_needs_are_not_decoded(kind):
    message, cause = refusal(saved(drawn(), kind))
    assert all(known in message for known in decode.FORMATS)
    assert cause is not None


@pytest.mark.parametrize("share", [0.3, 0.5, 0.6, 0.9])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF"])
def test_a_picture_that_was_cut_off_anywhere_is_told(tmp_path, kind, share):
    grain = np.random.default_rng(1).integers(0, 256, (120, 160), dtype=np.uint8)
    content = saved(Image.fromarray(grain), kind)
    path = tmp_path / "part"
    path.write_bytes(content[: int(len(content) * share)])
    message, cause = refusal(path)
    assert str(path) in message
    assert cause is not None


def test_a_file_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    path = tmp_path / "secret.png"
    path.write_bytes(saved(drawn()))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    for place in ("os.open", "pathlib.Path.open"):  # root may read every file
        monkeypatch.setattr(place, refuse)
    message, cause = refusal(path)
    assert "may not be read" in message
    assert str(path) in message
    assert isinstance(cause, PermissionError)


@pytest.mark.parametrize("exists", [False, True])
def test_a_name_with_a_line_break_still_gives_one_line(tmp_path, exists):
    path = tmp_path / "two\nlines.png"
    if exists:
        path.write_bytes(b"no picture")
    refusal(path, edge.UnreadablePictureError if exists else edge.PictureNotFoundError)


@pytest.mark.parametrize("name", ["zero\0byte.png", "a" * 5000, "loop"])
def test_a_path_that_no_system_can_open_is_told(tmp_path, name):
    path = tmp_path / name
    if name == "loop":
        path.symlink_to(path)
    refusal(path)


def test_doubts_of_pillow_do_not_leak_as_warnings(monkeypatch):
    image = drawn()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", image.width * image.height - 1)
    content = saved(image)
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(content))
    assert np.array_equal(decode.read_grey(content), image)  # a warning would be an error here


def test_the_filters_of_warnings_are_as_before_after_many_threads(tmp_path):
    path = tmp_path / "a.png"
    drawn().convert("RGBA").save(path)
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [decode.read_grey(path) for _ in range(30)]) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


def fax(damaged):
    """A page in fax coding whose lines cannot all be read; libtiff fills them and reports success."""
    page = Image.new("1", (400, 400), 1)
    ImageDraw.Draw(page).line([(100, 100), (200, 300), (300, 80)], fill=0, width=20)
    file = io.BytesIO()
    page.save(file, "TIFF", compression="group4")
    content = bytearray(file.getvalue())
    if damaged:
        content[158:164] = b"\xff\x00\xaa\x55\x01\x80"
    return bytes(content)


def test_what_libtiff_only_mentions_is_an_error_in_one_line(capfd):
    assert decode.read_grey(fax(damaged=False)).shape == (400, 400)
    with pytest.raises(edge.UnreadablePictureError, match=r"cut off or damaged \(Fax4Decode: .*\); save or"):
        decode.read_grey(fax(damaged=True))
    assert capfd.readouterr().err == ""


def test_what_the_decoders_inside_libtiff_say_is_told_as_an_error_too(capfd):
    with decode.libtiff_errors() as errors:
        os.write(2, b"JPEGLib: Not a JPEG file: starts with 0x00 0x00.\nZSTDDecode: Error.\n")
    assert errors == ["JPEGLib: Not a JPEG file: starts with 0x00 0x00", "ZSTDDecode: Error"]
    assert capfd.readouterr().err == ""


def test_what_others_write_meanwhile_reaches_the_standard_error(capfd):
    with decode.libtiff_errors() as errors:
        os.write(2, b"a line of another thread\nFax4Decode: Bad code word.\n")
        os.write(2, b"TIFFReadDirectory: Warning, an unknown field.\n")
    assert errors == ["Fax4Decode: Bad code word"]
    assert capfd.readouterr().err == "a line of another thread\n"


def test_more_than_a_pipe_holds_does_not_stop_the_decoder(capfd):
    with decode.libtiff_errors() as errors:
        for _ in range(3000):
            with suppress(BlockingIOError):
                os.write(2, b"Fax3Decode1D: Bad code word at line 11 of strip 0.\n")
    assert len(errors) > 1000
    capfd.readouterr()

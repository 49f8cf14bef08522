"""Files: written whole or not at all, with an error that says what was written, why not, and what to do."""

import errno
import os
import sys

import pytest

from edge.errors import EdgeError, WriteError
from edge.text import files


def test_a_file_is_replaced_in_one_step_and_nothing_is_left_beside_it(tmp_path):
    target = tmp_path / "a.txt"
    target.write_bytes(b"old")
    files.write_atomically(target, b"new")
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_where_writing_fails_the_old_file_stays_and_the_error_fits_what_was_written(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = tmp_path / "a.onnx"
    target.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError) as caught:
        files.write_atomically(target, b"new", "the bundle")
    told = f"the bundle {target} cannot be written: {os.strerror(errno.ENOSPC)}; free some space, or name another place"
    assert str(caught.value) == told
    assert isinstance(caught.value, EdgeError)
    assert isinstance(caught.value, OSError)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_advice_fits_the_cause_unless_the_caller_knows_better(tmp_path):
    with pytest.raises(WriteError, match=r"cannot be written: .*; make its folder first, or name another place"):
        files.write_atomically(tmp_path / "missing" / "a.txt", b"")
    with pytest.raises(WriteError, match="; choose another --out"):
        files.write_atomically(tmp_path / "missing" / "a.txt", b"", advice="choose another --out")


def test_a_folder_is_made_with_those_above_it_and_what_is_in_the_way_is_told(tmp_path):
    files.make_folder(tmp_path / "a" / "b")
    files.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WriteError, match=r"the folder .*file.* cannot be made: .*; "):
        files.make_folder(tmp_path / "file" / "c")


@pytest.mark.parametrize(
    ("system", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x/cache"}, "/x/cache/edge-toolkit"),
        ("linux", {"HOME": "/home/me"}, "/home/me/.cache/edge-toolkit"),
        ("linux", {"HOME": "/home/me", "XDG_CACHE_HOME": "relative"}, "/home/me/.cache/edge-toolkit"),
        ("darwin", {"HOME": "/Users/me"}, "/Users/me/Library/Caches/edge-toolkit"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/edge-toolkit"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="the paths are those of POSIX")
def test_what_may_be_deleted_lies_in_the_cache_folder_of_the_system(monkeypatch, system, variables, expected):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", system)
    assert files.cache_folder().as_posix() == expected

"""Files: written whole or not at all, with an error that says what was written, why not, and what to do."""

import errno
import os
import signal
import sys
import threading
from pathlib import Path
from typing import ClassVar

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


class Watched(type(Path())):
    """A path with something that happens in the middle: just before the file of that name is replaced."""

    happens: ClassVar[dict[str, object]] = {}

    def replace(self, target):
        self.happens.get(Path(target).name, lambda: None)()
        return super().replace(target)


@pytest.fixture
def happening(tmp_path, monkeypatch):
    """Two files of old bytes, `a` and `b`, and a way to let something happen just before one of them is replaced."""
    (tmp_path / "a").write_bytes(b"old a")
    (tmp_path / "b").write_bytes(b"old b")

    def when(name, happens):
        monkeypatch.setattr(Watched, "happens", {name: happens})
        return Watched(tmp_path)

    return when


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_that_belong_together_are_replaced_made_and_removed_together(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "c").write_bytes(b"old")
    files.write_together({tmp_path / "a": b"new", tmp_path / "b": b"new", tmp_path / "c": None, tmp_path / "d": None})
    assert contents(tmp_path) == {"a": b"new", "b": b"new"}


def test_where_one_of_them_cannot_be_replaced_all_are_as_they_were(happening, tmp_path):
    def refused():
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    folder = happening("b", refused)
    with pytest.raises(WriteError, match=r"/b cannot be written: .*; name a folder that can be written"):
        files.write_together({folder / "a": b"new", folder / "c": b"new", folder / "b": b"new"})
    assert contents(tmp_path) == {"a": b"old a", "b": b"old b"}


def test_a_folder_in_the_way_of_one_of_them_leaves_the_others(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "b").mkdir()
    with pytest.raises(WriteError, match=r"/b cannot be written: Is a directory"):
        files.write_together({tmp_path / "a": b"new", tmp_path / "b": b"new"})
    assert (tmp_path / "a").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits the size of no file")
def test_a_disk_that_is_full_after_the_first_of_them_changes_nothing(tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    (tmp_path / "a").write_bytes(b"old")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(WriteError, match=r"/b cannot be written: .*; choose another --out"):
            files.write_together(
                {tmp_path / "a": b"new", tmp_path / "b": bytes(1_000_001)}, advice="choose another --out"
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert contents(tmp_path) == {"a": b"old"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_between_them_waits_until_all_are_there_and_is_not_lost(happening, tmp_path, number):
    came = []
    before = signal.signal(number, lambda *_: came.append(dict(contents(tmp_path))))
    folder = happening("b", lambda: signal.raise_signal(number))
    try:
        files.write_together({folder / "a": b"new a", folder / "b": b"new b"})
    finally:
        signal.signal(number, before)
    assert came == [{"a": b"new a", "b": b"new b"}]


def test_ctrl_c_while_a_file_is_written_leaves_no_part_of_it(happening, tmp_path):
    folder = happening("a", lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(folder / "a", b"new a")
    assert contents(tmp_path) == {"a": b"new a", "b": b"old b"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks on folders")
def test_of_two_who_write_at_once_one_waits(tmp_path):
    import fcntl

    def write(letter):
        for _ in range(10):
            files.write_together({tmp_path / name: letter for name in "ab"})

    writers = [threading.Thread(target=write, args=(letter,)) for letter in (b"x", b"y")]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        descriptor = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        pair = [(tmp_path / name).read_bytes() if (tmp_path / name).exists() else b"" for name in "ab"]
        os.close(descriptor)
        assert pair[0] == pair[1]
    assert sorted(contents(tmp_path)) == ["a", "b"]


def test_a_folder_is_written_as_a_whole_and_the_one_before_goes(tmp_path):
    for letter, other in ((b"x", "old"), (b"y", "new")):
        files.write_folder(tmp_path / "made", {"1/a": letter, other: letter})
    found = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*")}
    assert sorted(found) == ["made", "made/1", "made/1/a", "made/new"]
    assert found["made/1/a"].read_bytes() == b"y"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits the size of no file")
def test_a_folder_that_cannot_be_written_whole_stays_as_it_was(tmp_path):
    import resource

    files.write_folder(tmp_path / "made", {"a": b"old"})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(WriteError, match=r"the folder .*made cannot be written: .*; check the folder"):
            files.write_folder(tmp_path / "made", {"a": b"new", "b": bytes(1_000_001)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert contents(tmp_path / "made") == {"a": b"old"}


@pytest.mark.parametrize("name", ["lstm-int8", "größe", "手書き", "no 7", "v1.2_b"])
def test_a_name_of_any_script_may_be_a_file_s(name):
    assert files.is_file_name(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "/etc/x", "a/b", "a\\b", "C:x", ".hidden", "a\x1b[2J", "a\n", "\ufeffa", " a", "a" * 101],
)
def test_a_name_that_leads_elsewhere_or_hides_may_not(name):
    assert not files.is_file_name(name)


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

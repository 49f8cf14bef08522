"""Shipped bundles: found by name, and a name wins over whatever lies in the current folder."""

import pytest

from edge.bundle import shipped
from edge.errors import BundleNotFoundError


def test_names_are_sorted(shelf):
    (shelf / "a-int8.onnx").touch()
    (shelf / "notes.txt").touch()
    assert shipped.names() == ["a-int8", "linear-fp32"]


def test_a_name_wins_over_a_folder_of_that_name(shelf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "linear-fp32").mkdir()
    assert shipped.locate("linear-fp32") == shelf / "linear-fp32.onnx"


def test_a_path_is_taken_as_it_is(bundle_path):
    assert shipped.locate(bundle_path) == bundle_path
    assert shipped.locate(str(bundle_path)) == bundle_path


@pytest.mark.parametrize("name", ["missing", "missing.onnx", "null\0byte", "x" * 5000, "", "../linear-fp32"])
def test_what_is_neither_name_nor_file_is_told(shelf, name):
    with pytest.raises(BundleNotFoundError):
        shipped.locate(name)


def test_every_bundle_that_is_shipped_reads_and_says_its_own_name():
    from edge.bundle import bundle

    for name in shipped.names():
        assert bundle.read(shipped.locate(name)).manifest.name == name

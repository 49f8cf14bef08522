"""Addresses that fail, and tables at addresses, in the memory of this process; `engines/s3.py` asks S3."""

from pathlib import Path

import pytest

fsspec = pytest.importorskip("fsspec", reason="needs the extra `remote`: pip install fsspec")


@pytest.fixture
def store(tree):
    """The tree at `memory://digits/tree`."""
    system = fsspec.filesystem("memory")
    for path in tree.rglob("*.png"):
        system.pipe(f"/digits/{path}", path.read_bytes())
    yield system
    system.rm("/digits", recursive=True)


def test_what_fails_is_tried_again_and_then_told(store, edge_command, bundle_path, monkeypatch):
    asked = []

    def fails(system, paths, *_, **__):
        asked.append(list(paths))
        return [OSError("the network is down")] * len(paths)

    monkeypatch.setattr(type(store), "cat_ranges", fails)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    ended = edge_command("predict", "memory://digits/tree/0/0/0.png", "--model", bundle_path)
    assert "cannot be fetched (the network is down)" in ended.err
    assert len(asked) == 3


def test_a_table_at_an_address_is_read_where_it_lies(store, printed):
    pa = pytest.importorskip("pyarrow", reason="needs the extra `tables`: pip install pyarrow")
    from pyarrow import parquet

    path = Path("tree/0/0/0.png")
    parquet.write_table(pa.table({"bytes": [path.read_bytes()]}), "t.parquet")
    store.pipe("/digits/t.parquet", Path("t.parquet").read_bytes())
    (row,) = printed("memory://digits/t.parquet")
    assert row["label"] == printed(str(path))[0]["label"]

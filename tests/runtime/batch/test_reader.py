"""The reader that engines call on their batches: columns in, columns out, errors among them."""

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

import edge
from edge.batch import Reader
from edge.errors import BundleError, InputError

COLUMNS = ["label", "confidence", "probabilities", "rejected", "score", "error"]


@pytest.fixture
def reader(bundle_path):
    return Reader(bundle_path)


def test_paths_come_back_with_what_they_show(reader, tree, bundle_path):
    paths = sorted(map(str, tree.rglob("*.png")))
    columns = reader({"path": np.array(paths, np.object_), "id": np.arange(len(paths))})
    assert list(columns) == ["path", "id", *COLUMNS]
    assert {len(column) for column in columns.values()} == {61}
    assert {name: columns[name].dtype.kind for name in COLUMNS} == dict(zip(COLUMNS, "OfObfO", strict=True))
    classifier = edge.load(bundle_path, provider="cpu")
    for at, path in enumerate(paths):
        if path.endswith("text.png"):
            assert columns["error"][at].startswith(f"{path} is not a picture")
            assert (columns["label"][at], columns["probabilities"][at], columns["rejected"][at]) == (None, None, False)
            assert np.isnan(columns["confidence"][at])
        else:
            expected = classifier.predict(path)
            assert (columns["label"][at], columns["error"][at]) == (expected.label, None)
            np.testing.assert_allclose(columns["probabilities"][at], expected.shares, atol=1e-5)
    assert columns["id"].tolist() == list(range(61))


def test_bytes_need_no_path_and_do_not_come_back(reader, picture_bytes):
    columns = reader({"bytes": [picture_bytes[0], b"no picture", None, bytearray(picture_bytes[1])]})
    assert list(columns) == COLUMNS
    assert [each is None for each in columns["error"]] == [True, False, False, True]
    assert columns["error"][1].startswith("picture 1 of the batch is not a picture")
    assert columns["error"][2].startswith("picture 2 of the batch holds no bytes; ")
    named = reader({"bytes": [b"no picture"], "path": ["a.png"]})
    assert named["path"].tolist() == ["a.png"]
    assert named["error"][0].startswith("a.png is not a picture")


def test_it_travels_as_its_settings_and_loads_where_it_arrives(reader, picture_bytes):
    sent = pickle.dumps(reader)
    assert len(sent) < 1000
    arrived = pickle.loads(sent)
    batch = {"bytes": picture_bytes[:3]}
    assert arrived(batch)["label"].tolist() == reader(batch)["label"].tolist()


def test_an_empty_batch_has_all_columns(reader):
    columns = reader({"path": []})
    assert list(columns) == ["path", *COLUMNS]
    assert {len(column) for column in columns.values()} == {0}


def test_what_is_no_batch_of_pictures_is_told(reader, tmp_path):
    with pytest.raises(InputError, match="has the columns text, id; give bytes or path"):
        reader({"text": ["a"], "id": [1]})
    with pytest.raises(BundleError):
        Reader(tmp_path / "none.onnx")({"path": ["a.png"]})


def test_pictures_at_an_address_are_fetched(reader, picture_bytes, printed, edge_command, bundle_path):
    fsspec = pytest.importorskip("fsspec", reason="the extra `remote` is not installed")
    store = fsspec.filesystem("memory")
    for number, content in enumerate(picture_bytes[:3]):
        store.pipe(f"/digits/{number}.png", content)
    store.pipe("/digits/notes.txt", b"no picture")
    addresses = [f"memory://digits/{number}.png" for number in (2, 0)] + ["memory://digits/none.png"]
    columns = reader({"path": addresses})
    assert columns["label"].tolist()[:2] == reader({"bytes": [picture_bytes[2], picture_bytes[0]]})["label"].tolist()
    assert columns["error"][2] == "there is no file memory://digits/none.png; check the address"
    below = printed("memory://digits/")
    assert [row["path"] for row in below] == [f"memory:///digits/{number}.png" for number in range(3)]
    assert [row["path"] for row in printed("memory://digits/[01].*")] == [row["path"] for row in below[:2]]
    ended = edge_command("predict", "memory://nothing/", "nowhere://x/", "--model", bundle_path)
    assert ended.code == 1
    assert "nothing that is a picture is at memory://nothing/" in ended.err
    assert "nowhere://x/ cannot be listed" in ended.err
    store.rm("/digits", recursive=True)


def test_without_what_reads_them_tables_and_addresses_say_what_to_install(edge_command, monkeypatch, bundle_path):
    for module in ("pyarrow", "pyarrow.parquet", "fsspec", "fsspec.core", "ray"):
        monkeypatch.setitem(sys.modules, module, None)
    for extra, words in {
        "tables": ["a.parquet"],
        "remote": ["s3://bucket/7.png"],
    }.items():
        ended = edge_command("predict", *words, "--model", bundle_path)
        assert ended.code == 1
        assert ended.err.splitlines()[-1].endswith(f"install it with: pip install 'edge-toolkit[{extra}]'")


def test_without_ray_or_parquet_a_run_says_what_to_install(tree, edge_command, monkeypatch, bundle_path):
    for module in ("pyarrow", "ray"):
        monkeypatch.setitem(sys.modules, module, None)
    for extra, words in {"tables": ["--format", "parquet"], "ray": ["--engine", "ray"]}.items():
        ended = edge_command("predict", tree, "--out", extra, *words, "--model", bundle_path)
        assert ended.code == 1
        assert ended.err.splitlines()[-1].endswith(f"install it with: pip install 'edge-toolkit[{extra}]'")
    assert not list(Path().glob("*/part-*"))
    assert edge_command("predict", tree, "--engine", "ray", "--model", bundle_path).code == 2
    assert edge_command("predict", tree, "--out", "x", "--address", "auto", "--model", bundle_path).code == 2

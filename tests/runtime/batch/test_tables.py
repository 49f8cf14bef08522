"""Parquet: of paths, of bytes, as Hugging Face has it; parts in it, merged."""

from pathlib import Path

import pytest

pa = pytest.importorskip("pyarrow", reason="needs the extra `tables`: pip install pyarrow")
from pyarrow import parquet  # noqa: E402 - where it is there


@pytest.fixture
def pictures(tree):
    """Paths of the tree, and what is in the files."""
    paths = sorted(map(str, tree.rglob("*.png")))
    return paths, [Path(path).read_bytes() for path in paths]


@pytest.fixture
def asked(edge_command, bundle_path):
    """`edge predict` with a bundle."""
    return lambda *words: edge_command("predict", *words, "--model", bundle_path)


def labels(rows):
    return [row.get("label") for row in rows]


def test_a_table_of_paths_stands_for_its_files(pictures, printed):
    parquet.write_table(pa.table({"path": pictures[0]}), "paths.parquet")
    rows = printed("paths.parquet")
    assert [row["path"] for row in rows] == pictures[0]
    assert labels(rows) == labels(printed(*pictures[0]))


@pytest.mark.parametrize(
    ("columns", "group"),
    [
        (lambda paths, contents: {"id": range(len(paths)), "bytes": contents}, 7),
        (
            lambda paths, contents: {
                "image": [{"bytes": content, "path": path} for content, path in zip(contents, paths, strict=True)],
                "label": [0] * len(paths),
            },
            1000,
        ),
    ],
    ids=["bytes", "as Hugging Face has it"],
)
def test_a_table_of_bytes_stands_for_its_rows(pictures, printed, columns, group):
    parquet.write_table(pa.table(columns(*pictures)), "some.parquet", row_group_size=group)
    rows = printed("some.parquet")
    assert [row["path"] for row in rows] == [f"some.parquet#{row}" for row in range(len(pictures[0]))]
    assert labels(rows) == labels(printed(*pictures[0]))


def test_a_run_in_parquet_goes_on_and_is_merged(pictures, printed, asked, edge_command):
    parquet.write_table(pa.table({"bytes": pictures[1]}), "bytes.parquet", row_group_size=7)
    run = ("bytes.parquet", "--out", "out", "--format", "parquet", "--part-rows", "20")
    assert asked(*run).code == 0
    Path("out/part-000001.parquet").unlink()
    assert "41 of them read before" in asked(*run).out
    merged = edge_command("merge", "out", "--out", "all.parquet")
    assert merged.out.startswith("61 pictures, 1 errors, ")
    table, rows = parquet.read_table("all.parquet"), printed("bytes.parquet")
    assert table["label"].to_pylist() == labels(rows)
    assert table["error"].to_pylist() == [row.get("error") for row in rows]
    assert b"edge.labels" in table.schema.metadata
    assert {len(each) for each in table["probabilities"].to_pylist() if each} == {10}


def test_rows_without_bytes_are_told(pictures, printed):
    parquet.write_table(pa.table({"bytes": [pictures[1][0], None, b""]}), "holes.parquet")
    rows = printed("holes.parquet")
    assert ["error" in row for row in rows] == [False, True, True]
    assert rows[1]["error"] == "holes.parquet#1 holds no bytes; fill that row"


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"x": [1.5]}, "the table t.parquet has no column of pictures; call one bytes or path, it has x"),
        ({"path": pa.array([], pa.string())}, "the table t.parquet has no rows; name another"),
        (None, "the table t.parquet cannot be read"),
    ],
    ids=["another column", "no rows", "cut off"],
)
def test_a_table_that_is_no_use_is_told(tree, asked, columns, told):
    del tree  # which makes the folder
    parquet.write_table(pa.table(columns or {"path": ["a.png"] * 50}), "t.parquet")
    if columns is None:
        Path("t.parquet").write_bytes(Path("t.parquet").read_bytes()[:-9])
    ended = asked("t.parquet")
    assert ended.code == 1
    assert told in ended.err


def test_a_table_that_is_not_there_is_told(tree, asked):
    del tree
    ended = asked("none.parquet")
    assert ended.code == 1
    assert "there is no file none.parquet" in ended.err

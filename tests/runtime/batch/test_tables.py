"""Parquet: of paths, of bytes, as Hugging Face has it; parts in it, merged."""

from pathlib import Path

import pytest

from edge.batch import inputs
from edge.batch import parquet as tables
from edge.errors import PictureError

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


def told(file):
    """Why a table, or its only row, is not read."""
    (found,) = inputs.expand([file])
    (read,) = inputs.read_digits([found]) if found.problem is None else (found.problem,)
    return str(read)


@pytest.mark.parametrize("dictionary", [True, False])
def test_a_page_that_becomes_too_large_is_not_unpacked(tmp_path, monkeypatch, dictionary):
    file = str(tmp_path / "zeros.parquet")
    table = pa.table({"bytes": [bytes(2_000_000)]})
    parquet.write_table(table, file, compression="zstd", use_dictionary=dictionary)
    assert Path(file).stat().st_size < 20_000
    assert "is not a picture that can be read" in told(file)
    tables._reader.cache_clear()
    monkeypatch.setattr(tables, "MOST_PAGE_BYTES", 1_000_000)
    assert told(file) == (
        f"the table {file} has a page of 2 MB, or very many of them (at most 1 MB, 200000 pages); "
        "write it with smaller row groups"
    )


def test_rows_that_all_name_one_large_value_are_read_a_few_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_MOST_BATCH_BYTES", 400_000)
    monkeypatch.setattr(tables, "_MOST_KEPT_BYTES", 500_000)
    file = str(tmp_path / "same.parquet")
    parquet.write_table(pa.table({"bytes": [bytes(90_000)] * 50}), file)
    wanted = []
    usual = parquet.ParquetFile.iter_batches
    spied = lambda self, rows, **others: wanted.append(rows) or usual(self, rows, **others)  # noqa: E731
    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", spied)
    listed = list(inputs.expand([file]))
    read = inputs.read_digits(listed)
    assert wanted == [4]  # of 90 kB, in 400
    assert [str(each).split(" ")[0] for each in read] == [f"{file}#{row}" for row in range(50)]
    assert sum(map(len, tables._reader(file)._kept.values())) <= 5


def test_a_table_of_more_rows_than_bytes_is_no_table(tmp_path):
    file = str(tmp_path / "rows.parquet")
    parquet.write_table(pa.table({"path": ["7.png"] * 200_000}), file)
    size = Path(file).stat().st_size
    assert told(file) == f"the table {file} claims 200000 rows and has {size} bytes; write it again"


def test_a_path_that_is_a_book_is_none(tmp_path):
    file = str(tmp_path / "paths.parquet")
    parquet.write_table(pa.table({"path": ["7" * 40_000, "8.png"]}), file)
    long, short = inputs.expand([file])
    assert str(long.problem) == f"{file}#0 holds a path of 40000 characters; it cannot be one"
    assert short.path == "8.png"


def test_no_change_of_one_byte_ends_otherwise_than_in_a_line(tmp_path, picture_bytes):
    file = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"bytes": picture_bytes[:3]}), file)
    good = file.read_bytes()
    for at in range(4, len(good), len(good) // 40):
        file.write_bytes(good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :])
        tables._reader.cache_clear()
        found = list(inputs.expand([str(file)]))
        read = inputs.read_digits([each for each in found if each.problem is None])
        assert len(found) <= len(good)
        assert not any("\n" in str(each) for each in read if isinstance(each, PictureError))

"""Parquet: of paths, of bytes, as Hugging Face has it; parts in it, merged."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

tree, bundle = sys.argv[1:]
paths = sorted(map(str, Path(tree).rglob("*.png")))
contents = [Path(path).read_bytes() for path in paths]


def predict(source, *options):
    words = [sys.executable, "-m", "edge", "predict", source, "--model", bundle, *options]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if "--json" in options else done


def told(lines):
    rows = [json.loads(line) for line in lines]
    return [row.get("label") or ("one digit" if "digits" in row else "error") for row in rows]


parquet.write_table(pa.table({"path": paths}), "paths.parquet")
parquet.write_table(pa.table({"id": range(len(paths)), "bytes": contents}), "bytes.parquet", row_group_size=7)
both = [{"bytes": content, "path": path} for content, path in zip(contents, paths, strict=True)]
parquet.write_table(pa.table({"image": both, "label": [0] * len(both)}), "images.parquet", row_group_size=1000)
parquet.write_table(pa.table({"bytes": [contents[0], None, b""]}), "holes.parquet")
parquet.write_table(pa.table({"x": [1.5]}), "other.parquet")
parquet.write_table(pa.table({"path": pa.array([], pa.string())}), "empty.parquet")
Path("broken.parquet").write_bytes(Path("paths.parquet").read_bytes()[:-9])

expected = told(predict("paths.parquet", "--json"))
rows = [json.loads(line) for line in predict("bytes.parquet", "--json")]
predict("bytes.parquet", "--out", "out", "--format", "parquet", "--part-rows", "20")
Path("out/part-000001.parquet").unlink()
again = predict("bytes.parquet", "--out", "out", "--format", "parquet", "--part-rows", "20")
subprocess.run([sys.executable, "-m", "edge", "merge", "out", "--out", "all.parquet"], check=True)
table = parquet.read_table("all.parquet")
holes = [json.loads(line) for line in predict("holes.parquet", "--json")]
print(
    json.dumps(
        {
            "paths as files": sorted(expected) == sorted(told(predict(tree, "--json"))),
            "bytes as paths": [row.get("label") or "error" for row in rows]
            == [label if label != "one digit" else "error" for label in expected],
            "rows are named": [row["path"] for row in rows[:2]] == ["bytes.parquet#0", "bytes.parquet#1"],
            "as Hugging Face has it": told(predict("images.parquet", "--json")) == expected,
            "a run goes on": "read before" in again.stdout and again.returncode == 0,
            "merged": table["label"].to_pylist() == [row.get("label") for row in rows]
            and table["error"].to_pylist() == [row.get("error") for row in rows],
            "the labels are told": b"edge.labels" in (table.schema.metadata or {}),
            "probabilities": len(next(each for each in table["probabilities"].to_pylist() if each)) == 10,
            "holes": ["error" in row for row in holes] == [False, True, True]
            and "holes.parquet#1" in holes[1]["error"],
            "no column": "has no column of pictures" in predict("other.parquet").stderr,
            "no rows": "has no rows" in predict("empty.parquet").stderr,
            "broken": "the table broken.parquet cannot be read" in predict("broken.parquet").stderr,
        }
    )
)

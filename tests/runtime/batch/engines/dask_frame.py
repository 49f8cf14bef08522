"""The reader in Dask, as docs/many.md has it."""

import json
import sys
from pathlib import Path

import dask.dataframe as dd
import pandas as pd

from edge.batch import Reader

tree, bundle = sys.argv[1:]


def main():
    paths = sorted(map(str, Path(tree).rglob("*.png")))
    contents = [Path(path).read_bytes() for path in paths]
    reader = Reader(bundle)
    alone = reader({"path": paths})
    example = pd.DataFrame(reader({"path": []}))
    named = dd.from_pandas(pd.DataFrame({"path": paths}), npartitions=3)
    read = named.map_partitions(lambda frame: pd.DataFrame(reader(frame)), meta=example).compute(scheduler="processes")
    held = reader(pd.DataFrame({"id": range(len(paths)), "bytes": contents}))
    given = [alone["label"].tolist(), alone["error"].tolist()]
    found = [[None if pd.isna(value) else value for value in read[name]] for name in ("label", "error")]
    checks = {
        "every row": read["path"].tolist() == paths,
        "the same labels and errors": found == given,
        "bytes as paths": held["label"].tolist() == given[0] and held["id"].tolist() == list(range(len(paths))),
    }
    print(json.dumps(checks))


if __name__ == "__main__":
    main()

"""The reader in Ray Data, as docs/many.md has it."""

import json
import os
import sys
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray

from edge.batch import Reader

tree, bundle = sys.argv[1:]
paths = sorted(map(str, Path(tree).resolve().rglob("*.png")))
ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
pictures = ray.data.from_items([{"id": number, "path": path} for number, path in enumerate(paths)])
read = pictures.map_batches(Reader, fn_constructor_args=[bundle], concurrency=1, batch_size=16)
rows = {row["id"]: row for row in read.take_all()}
alone = Reader(bundle)({"path": paths})
print(
    json.dumps(
        {
            "every row": sorted(rows) == list(range(len(paths))),
            "the same labels": [rows[at]["label"] for at in range(len(paths))] == list(alone["label"]),
            "the same errors": [rows[at]["error"] for at in range(len(paths))] == list(alone["error"]),
            "the paths stay": [rows[at]["path"] for at in range(len(paths))] == paths,
        }
    )
)

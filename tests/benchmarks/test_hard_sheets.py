"""`benchmarks/hard_sheets.py` composes pages, reads them and counts."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "hard_sheets.py"


def counted(folder, *arguments):
    """The document of a run without MNIST: its digits are the stroke generator's."""
    environment = {**os.environ, "EDGE_DATA": str(folder)}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--model", "lstm-int8", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_pages_are_composed_read_and_counted(tmp_path):
    document = counted(tmp_path, "--pages", "1", "--kind", "plain", "--kind", "name above")
    plain, above = (document["models"]["lstm-int8"][kind] for kind in ("plain", "name above"))
    assert plain["pages"] == above["pages"] == 1
    assert plain["digits"] >= 4
    assert 0 <= plain["wrong"] <= plain["digits"] // 4
    assert plain["others"] == 0
    assert above["others"] == 1

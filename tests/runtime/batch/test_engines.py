"""Ray, Dask and S3, in an environment of their own: what edge does with them, and they with edge."""

import json
import os
import subprocess
from pathlib import Path

import pytest

import edge

ENGINES = os.environ.get("EDGE_ENGINES", "")
HERE = Path(__file__).parent


@pytest.fixture
def check(tree, bundle_path, tmp_path):
    """Runs a script of `engines` and returns its checks by name."""
    if not ENGINES:
        pytest.skip("$EDGE_ENGINES names no Python with ray, dask, pyarrow and moto; run: python3 dev.py engines")
    rooms = str(Path(edge.__file__).parents[1])

    def run(script):
        words = [ENGINES, str(HERE / "engines" / script), str(tree), str(bundle_path)]
        surroundings = os.environ | {"PYTHONPATH": rooms}
        done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=surroundings)
        if "Ray does not start here" in done.stderr or "The current node timed out during startup" in done.stderr:
            pytest.skip("Ray does not start on a machine as busy as this; its 15 seconds are built in")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.mark.parametrize("script", ["s3.py", "dask_frame.py", "ray_data.py", "ray_engine.py", "serve_replicas.py"])
def test_what_others_have_is_read_and_what_edge_has_is_understood(check, script):
    checks = check(script)
    assert len(checks) >= 3
    assert {name: outcome for name, outcome in checks.items() if outcome is not True} == {}

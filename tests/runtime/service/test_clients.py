"""Clients that others wrote, in an environment of their own: what they send is understood, and they understand us."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the extra `serve` is not installed")

CLIENTS = os.environ.get("EDGE_CLIENTS", "")
HERE = Path(__file__).parent


@pytest.fixture
def ask(client, images, tmp_path):
    """Runs a client's script against the service and returns its checks by name."""
    if not CLIENTS:
        pytest.skip("$EDGE_CLIENTS names no Python with tritonclient and kserve; run: python3 dev.py clients")
    np.save(tmp_path / "images.npy", images)

    def run(script):
        words = [CLIENTS, str(HERE / script), str(client.port), str(tmp_path / "images.npy")]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.mark.represented(script=("clients/triton.py",))  # that of KServe asks the same, and imports for six seconds
@pytest.mark.parametrize("script", ["clients/triton.py", "clients/kserve_rest.py"])
def test_a_client_of_the_protocol_understands_every_answer(ask, script):
    checks = ask(script)
    assert len(checks) >= 7
    assert {name: outcome for name, outcome in checks.items() if outcome is not True} == {}


def test_the_deployment_is_as_kubernetes_publishes_it():
    if not CLIENTS:
        pytest.skip("$EDGE_CLIENTS names no Python with kubernetes-validate; run: python3 dev.py clients")
    validate = Path(CLIENTS).with_name("kubernetes-validate")
    words = [str(validate), "--strict", str(HERE.parents[2] / "docs" / "deploy" / "deployment.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count("passed") == 2

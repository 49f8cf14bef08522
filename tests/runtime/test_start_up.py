"""That the thin half stays thin: what fresh processes import, where the heavy halves could be."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import asdict

import pytest

from edge.batch.parts import NAME, Run

HEAVY = ("torch", "torchvision", "onnx", "onnxscript", "safetensors", "edge_train", "edge_export")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed, so that nothing could import it"
)


def modules_after(code: str) -> set[str]:
    """Top-level modules in a fresh interpreter after running the code."""
    script = f"{code}\nimport sys\nprint('MODULES', *sorted(m.partition('.')[0] for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    line = next(line for line in done.stdout.splitlines() if line.startswith("MODULES"))
    return set(line.split()[1:])


def test_importing_edge_imports_nothing_heavy():
    loaded = modules_after("import edge")
    assert loaded.isdisjoint({"numpy", "onnxruntime", "PIL", "typer", "rich", *HEAVY})


def test_classifying_imports_no_trainer_and_no_onnx(bundle_path):
    loaded = modules_after(
        "import edge, numpy\n"
        f"edge.load({str(bundle_path)!r}, provider='cpu').classify(numpy.zeros((1, 28, 28), numpy.uint8))"
    )
    assert {"numpy", "onnxruntime"} <= loaded
    assert loaded.isdisjoint({"PIL", "typer", "rich", *HEAVY})


@pytest.mark.represented(arguments=("['info', PATH]", "['predict', '--help']"))
@pytest.mark.parametrize(
    "arguments",
    ["['--version']", "['info', PATH]", "['predict', '--help']", "['--help']", "[]", "['predcit']"],
)
def test_commands_that_compute_nothing_start_without_numpy_and_onnxruntime(bundle_path, arguments):
    loaded = modules_after(
        f"import sys\nPATH = {str(bundle_path)!r}\nsys.argv[1:] = {arguments}\n"
        "from edge.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass"
    )
    assert loaded.isdisjoint({"numpy", "onnxruntime", "PIL", "rich", *HEAVY})


def test_a_run_is_put_together_without_numpy(tmp_path):
    run = Run(model="lstm", bundle_sha256="", inputs=(), inputs_sha256="", shards=(0,))
    (tmp_path / NAME).write_text(json.dumps(asdict(run)))
    loaded = modules_after(
        f"import sys\nsys.argv[1:] = ['merge', {str(tmp_path)!r}]\nfrom edge.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code"
    )
    assert loaded.isdisjoint({"numpy", "onnxruntime", "PIL"})

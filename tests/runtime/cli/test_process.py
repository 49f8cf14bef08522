"""The process of a command: what it imports, and how it ends."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a process could see")
@pytest.mark.counted_children
def test_sigterm_exits_with_143_and_whoever_has_temporary_files_removes_them(tmp_path):
    code = (
        "import tempfile, time\n"
        "from edge.cli import main\n"
        "def slow(place: str) -> None:\n"
        "    with tempfile.TemporaryDirectory(dir=place) as folder:\n"
        "        print(folder, flush=True)\n"
        "        time.sleep(60)\n"
        "main.commands = lambda word: {'slow': slow}\n"
        "main.main()\n"
    )
    running = subprocess.Popen([sys.executable, "-c", code, "slow", tmp_path], stdout=subprocess.PIPE, text=True)
    folder = Path(running.stdout.readline().strip())
    assert folder.is_dir()
    running.terminate()
    assert running.wait(30) == 143
    running.stdout.close()
    assert list(tmp_path.iterdir()) == []


def test_only_the_module_of_the_command_is_imported():
    code = (
        "import sys\nsys.argv[1:] = ['predict', '--help']\nfrom edge.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted(m for m in sys.modules if m.startswith('edge.cli.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "['edge.cli.arguments', 'edge.cli.main', 'edge.cli.predict']"


def test_the_process_ends_without_a_last_search_for_garbage():
    code = (
        "import atexit, gc, sys\nfrom edge.cli.main import main\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 0, flush=True))\n"  # runs after what main registers
        "sys.argv[1:] = ['--version']\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "True"


def test_predict_starts_without_what_it_does_not_need(bundle_path, images, tmp_path):
    from PIL import Image

    Image.fromarray(images[2]).save(tmp_path / "digit.png")
    code = (
        f"import sys\nsys.argv[1:] = ['predict', {str(tmp_path / 'digit.png')!r}, '--model', {str(bundle_path)!r}, "
        "'--provider', 'cpu']\nfrom edge.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "onnxruntime" in loaded
    unneeded = {"importlib.metadata", "email", "rich", "concurrent.futures.thread", "PIL.PngImagePlugin"}
    assert loaded.isdisjoint(unneeded | {"edge.picture.ink.search", "edge.bench.tuning", "edge.verify"})

"""The page that the C form answers in: WebAssembly in Node and in a browser has the bits of the referee."""

import dataclasses
import importlib.util
import json
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import bundle, shipped
from edge_export.targets import c, registry
from edge_export.targets.c import compilation
from edge_export.targets.registry import DeploymentError, TargetRequest

REQUEST = TargetRequest(data="strokes", engine="c")
LARGEST_BYTES = 80_000  # of a page with lstm-20, where onnxruntime-web's has 4.6 MB

needs_wasm = pytest.mark.skipif(
    not (shutil.which("clang") and shutil.which("wasm-ld") and shutil.which("node")),
    reason="there is no compiler for WebAssembly or no Node; Debian: apt install clang lld nodejs",
)

_place = Path(__file__).parents[3] / "runtime" / "service" / "browser.py"
_spec = importlib.util.spec_from_file_location("edge_tests_browser", _place)
driving = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(driving)


@pytest.fixture(scope="module")
def module(made):
    """The module, and who compiled it."""
    return compilation.module(made.source)


@pytest.fixture
def ready(made, module, monkeypatch):
    """A page of lstm-20 takes the C and the module that are there."""
    monkeypatch.setattr(c, "form", lambda *_: made)
    monkeypatch.setattr(compilation, "module", lambda _: module)


def replayed(packed, folder):
    """What Node says of it."""
    for name in ("edge.mjs", "c.mjs", "replay.mjs"):
        (folder / name).write_bytes((resources.files("edge_export.targets") / "javascript" / name).read_bytes())
    (folder / "model").write_bytes(packed.data)
    words = ["node", folder / "replay.mjs", folder, folder / "model"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout)


@needs_wasm
def test_the_logits_in_node_have_the_bits_of_the_referee(made, ready, tmp_path):
    report = replayed(c.pack(made, shipped.info("lstm-20")), tmp_path)
    assert report["passed"]
    found = np.array(report["logits"], np.float32).reshape(made.golden.shape)
    np.testing.assert_array_equal(found.view(np.uint32), made.golden.view(np.uint32))


@needs_wasm
def test_a_logit_with_another_bit_fails(made, ready, tmp_path):
    golden = made.golden.copy()
    golden[3, 4] = np.nextafter(golden[3, 4], np.float32(100))
    report = replayed(c.pack(dataclasses.replace(made, golden=golden), shipped.info("lstm-20")), tmp_path)
    assert [step["passed"] for step in report["steps"]] == [True, True, True, False]
    assert "OTHER BITS" in report["steps"][-1]["detail"]


@needs_wasm
def test_the_module_and_whose_it_is_are_under_the_digest(made, ready):
    packed = c.pack(made, shipped.info("lstm-20"))
    assert bundle.read(packed.data).manifest.precision == "int8"
    assert shipped.info("lstm-20").sha256.encode() in packed.data
    with pytest.raises(bundle.BundleDamagedError):
        bundle.read(packed.data[:200] + bytes([packed.data[200] ^ 1]) + packed.data[201:])


@needs_wasm
def test_the_page_is_small_and_asks_nobody(ready, tmp_path):
    written = registry.write("html", shipped.info("lstm-20"), tmp_path, REQUEST)
    (path,) = written.paths
    assert path.name == "lstm-20-int8-c.html"
    assert path.stat().st_size <= LARGEST_BYTES
    assert "the bits are those of the export" in written.replay.steps[-1].detail
    assert "replayed in Node with the C form in WebAssembly" in written.notes
    for part in ('src="/', 'href="/', 'src="http', 'href="http', "@import", "url(http"):
        assert part not in path.read_text()


def test_without_a_compiler_the_way_out_is_told(made, tmp_path, monkeypatch):
    monkeypatch.setattr(c, "form", lambda *_: made)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(compilation, "find_spec", lambda _: None)
    with pytest.raises(DeploymentError, match=r"on Debian: apt install clang lld; elsewhere: pip install ziglang"):
        registry.write("html", shipped.info("lstm-20"), tmp_path / "out", REQUEST)
    assert not (tmp_path / "out").exists()


def test_clang_may_come_as_a_python_package(made, tmp_path, monkeypatch):
    commands = []

    def build(source, command, target, words):
        commands.append(command[:words])
        target.write_bytes(b"module")
        return "zig"

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(compilation, "find_spec", lambda name: name == "ziglang" or None)
    monkeypatch.setattr(compilation, "build", build)
    assert compilation.module(made.source) == (b"module", "zig")
    assert commands == [(sys.executable, "-m", "ziglang", "cc")]


@needs_wasm
def test_without_node_the_referee_answers(ready, tmp_path, monkeypatch):
    found = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "node" else found(name))
    done = registry.write("html", shipped.info("lstm-20"), tmp_path, REQUEST)
    assert done.replay.passed
    assert any("Node is not installed" in note for note in done.notes)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--to", "ort", "--engine", "c"], "--engine c is for --to c and --to html"),
        (["--to", "html", "--engine", "tvm"], "'tvm' is not one of 'onnxruntime', 'c'"),
        (["--to", "html", "--precision", "int8"], "is packed already, and --to changes its form only"),
    ],
)
def test_an_engine_that_does_not_fit_is_told(words, told, edge_command, tmp_path):
    done = edge_command("export", "lstm-20", *words, "--out", tmp_path)
    assert done.code != 0
    assert told in " ".join(done.err.replace("\u2502", " ").split())
    assert not list(tmp_path.iterdir())


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture
def no_network():
    """In place of the fixture for all tests: the driver of the browser is asked on the loopback address."""


@needs_wasm
@pytest.mark.exhaustive  # Node verifies by the same module
def test_the_page_verifies_itself_and_answers_a_drawing(ready, tmp_path):
    if driving.CHROMIUM is None or driving.DRIVER is None:
        pytest.skip(driving.MISSING)
    written = registry.write("html", shipped.info("lstm-20"), tmp_path / "page", REQUEST)
    with driving.browser(tmp_path) as page:
        page.open(written.paths[0].as_uri())
        page.wait_for(lambda: page.run("return document.querySelectorAll('#bars li').length === 10"))
        page.draw("#pad", [[(0.5, 0.15), (0.5, 0.85)]])
        page.wait_for(lambda: page.text("#label") == "1")
        page.run("document.querySelector('#verify').click()")
        page.wait_for(lambda: page.text("#report").startswith("lstm-20-int8-c: verified"))
        assert "the bits are those of the export" in page.text("#report")
        assert page.errors() == []

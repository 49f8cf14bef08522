"""Which runtimes are installed: none, one, or two that break each other."""

import os

import pytest

from edge.session import runtime


def test_one_runtime_is_no_clash(installed):
    installed(onnxruntime="1.31.1")
    assert runtime.runtimes() == {"onnxruntime": "1.31.1"}
    assert runtime.clash() is None


def test_no_runtime_is_no_clash(installed):
    installed()
    assert runtime.runtimes() == {}
    assert runtime.clash() is None


def test_two_runtimes_clash_and_the_repair_removes_both_and_installs_one(installed):
    installed(onnxruntime="1.31.1", onnxruntime_gpu="1.30.0")
    message = runtime.clash()
    assert "onnxruntime 1.31.1 and onnxruntime-gpu 1.30.0 are both installed" in message
    assert "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install 'edge-toolkit[gpu]'" in message
    assert "edge-toolkit[cpu]" in message


def test_a_broken_record_counts_as_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda _name: None)
    assert runtime.version("onnxruntime") is None


@pytest.fixture
def deadly(tmp_path, monkeypatch):
    """Puts an onnxruntime before the real one that does what it is told when a process imports it."""

    def make(does: str):
        (tmp_path / "deadly" / "onnxruntime").mkdir(parents=True)
        (tmp_path / "deadly" / "onnxruntime" / "__init__.py").write_text(f"import os, signal\n{does}\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "deadly"), prepend=os.pathsep)

    return make


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("versions", "told"),
    [
        ({"onnxruntime": "1.21.0"}, "onnxruntime 1.21.0 does not run on this processor: Python is ended by Illegal"),
        ({"onnxruntime": "1.21.0"}, "when it imports it; install another version with: pip install 'onnxruntime!=1.2"),
        ({"onnxruntime": "1.21.0", "onnxruntime_gpu": "1.21.0"}, "are both installed and overwrite each other's files"),
        ({}, "onnxruntime of an unknown version does not run on this processor"),
    ],
)
@pytest.mark.sampled(3)
def test_a_runtime_that_kills_the_process_is_asked_in_a_child_and_told(deadly, installed, versions, told):
    installed(**versions)
    deadly("os.kill(os.getpid(), signal.SIGILL)")
    assert told in runtime.crash()


def test_a_runtime_that_only_fails_is_no_crash(deadly):
    deadly("raise ImportError('not here')")
    assert runtime.crash() is None


def test_a_runtime_that_hangs_is_told(deadly, installed, monkeypatch):
    installed(onnxruntime="1.31.1")
    monkeypatch.setattr(runtime, "_IMPORT_SECONDS", 0.01)
    assert "Python is ended by nothing" in (runtime.crash() or "")


@pytest.mark.parametrize(
    ("code", "words"), [(0, None), (1, None), (-9, "Killed"), (0xC000001D, "Illegal instruction"), (-250, "signal 250")]
)
def test_how_a_process_ended_is_said_in_words(code, words):
    assert runtime.ended_by(code) == words


@pytest.mark.parametrize(
    ("reason", "package"),
    [
        ("libstdc++.so.6: cannot open shared object file: No such file or directory", "libstdc++6"),
        ("libgcc_s.so.1: cannot open shared object file: No such file or directory", "libgcc-s1"),
    ],
)
def test_a_library_that_the_system_lacks_is_named_with_its_package(installed, reason, package):
    installed(onnxruntime="1.31.1")
    told = runtime.explain(reason)
    assert told.endswith(f"on Debian and Ubuntu with: apt-get install {package}")
    assert "pip" not in told


def test_the_repair_keeps_the_runtime_that_does_more_than_the_cpu(installed):
    installed(onnxruntime="1.31.1", onnxruntime_openvino="1.24.1")
    assert runtime.clash().endswith(
        "repair it with: pip uninstall -y onnxruntime onnxruntime-openvino, then pip install onnxruntime-openvino "
        "(or pip install 'edge-toolkit[cpu]' without its providers)"
    )


def test_short_names_are_those_of_onnxruntime_in_small_letters():
    known = runtime.providers()
    assert known["openvino"] == "OpenVINOExecutionProvider"
    assert known["cpu"] == "CPUExecutionProvider"
    assert set(runtime.built_in()) <= set(known)
    assert set(runtime.DISTRIBUTION_OF.values()) <= set(runtime.DISTRIBUTIONS)


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        ("[ONNXRuntimeError] : 1 : FAIL : it fails\nmore", "it fails"),
        (
            "[ONNXRuntimeError] : 1 : FAIL : Exception during initialization: /a.cc:13 a::B(int, C&) no (x)",
            "no (x)",
        ),
        (
            "/onnxruntime/a.cc:1053 std::shared_ptr<a::B> a::c(const a::D&) const Invalid option: nonsense",
            "Invalid opti",
        ),
        ("", "RuntimeError"),
        ("/a.cc:1 void f() ", "/a.cc:1 void f()"),
    ],
)
def test_an_error_is_told_without_the_place_in_the_source(raised, told):
    assert runtime.first_line(RuntimeError(raised)).startswith(told)

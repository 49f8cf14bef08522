"""Which runtimes are installed: none, one, or two that break each other."""

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

"""The doctor: what works is proved, what is broken comes with its repair."""

import builtins
import json
import sys
from pathlib import Path

import onnxruntime
import pytest

from edge.cli import machine


def checks(root: Path = Path("/")) -> dict[str, machine.Check]:
    return {check.name: check for check in machine.examine(root)}


def test_a_healthy_machine_has_nothing_broken(healthy):
    found = checks()
    assert [check for check in found.values() if check.state == "broken"] == []
    assert found["provider cpu"].detail == "proved by a session"
    assert found["bundle linear-fp32"].state == "ok"
    assert found["cpus"].detail[0].isdigit()


def test_two_runtimes_are_broken_even_while_they_answer(healthy, installed):
    installed(onnxruntime="1.31.1", onnxruntime_gpu="1.31.1")
    runtime = checks()["runtime"]
    assert runtime.state == "broken"
    assert "both installed" in runtime.detail
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in runtime.repair


@pytest.mark.parametrize(("distribution", "state"), [("onnxruntime", "note"), ("onnxruntime_gpu", "broken")])
def test_failing_cuda_is_broken_only_for_who_installed_the_gpu_build(
    healthy, installed, monkeypatch, distribution, state
):
    installed(**{distribution: "1.31.1"})
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    check = checks()["provider cuda"]
    assert check.state == state
    assert check.repair.startswith("swap it for the GPU build: ")


@pytest.mark.parametrize(("distribution", "state"), [("onnxruntime", "note"), ("onnxruntime_qnn", "broken")])
def test_every_provider_that_is_compiled_in_is_tried(healthy, installed, monkeypatch, distribution, state):
    installed(**{distribution: "1.31.1"})
    monkeypatch.setattr("edge.session.runtime.built_in", lambda: ("qnn", "azure", "cpu"))
    found = checks()
    assert found["provider qnn"].state == state
    assert "was built without QNN" in found["provider qnn"].detail
    assert "provider azure" not in found


def test_a_missing_runtime_is_broken_and_the_examination_goes_on(healthy, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found = checks()
    for name in ("runtime", "provider cpu", "bundle linear-fp32"):
        assert found[name].state == "broken"
        assert found[name].repair


@pytest.mark.parametrize(
    ("complaint", "detail", "repair"),
    [
        ("long\n\nOriginal error was: libstdc++.so.6: cannot open\n", "(libstdc++.so.6: cannot open)", "libstdc++6"),
        ("no such thing\nmore", "(no such thing)", "pip install --force-reinstall numpy"),
    ],
)
def test_without_numpy_the_doctor_still_speaks(healthy, monkeypatch, complaint, detail, repair):
    real = builtins.__import__

    def failing(name, *rest):
        if name == "numpy":
            raise ImportError(complaint)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", failing)
    found = checks()
    assert found["arrays"].state == "broken"
    assert found["arrays"].detail == f"NumPy cannot be imported {detail}"
    assert found["arrays"].repair.endswith(repair)
    assert "runtime" not in found


def test_a_missing_extra_is_a_note_with_its_line(healthy, installed):
    installed(torch=None)
    extra = checks()["extra train"]
    assert (extra.state, extra.repair) == ("note", "pip install 'edge-toolkit[train]'")


def test_a_damaged_shipped_bundle_is_broken(healthy, packed):
    (healthy / "linear-fp32.onnx").write_bytes(packed[:-1])
    bundle = checks()["bundle linear-fp32"]
    assert bundle.state == "broken"
    assert bundle.detail.startswith("digest: ")


def test_an_installation_without_bundles_is_broken(healthy):
    (healthy / "linear-fp32.onnx").unlink()
    assert checks()["bundles"].state == "broken"


@pytest.mark.parametrize(
    ("exact", "state", "word"),
    [
        (True, "ok", "summed exactly, measured"),
        (False, "note", "saturate, measured"),
        (None, "note", "not measured"),
    ],
)
def test_whether_int8_saturates_is_measured_and_not_read_from_the_instructions(
    *, healthy, tmp_path, monkeypatch, exact, state, word
):
    monkeypatch.setattr("edge.session.cpu.int8_is_exact", lambda: exact)
    (tmp_path / "proc").mkdir()
    for flags, listed in (("avx2 avx512_vnni", "avx2, avx512_vnni"), ("fp asimd", "none of the instructions for it")):
        (tmp_path / "proc" / "cpuinfo").write_text(f"flags : {flags}\n")
        check = checks(tmp_path)["int8 products"]
        assert check.state == state
        assert word in check.detail
        assert f"({listed})" in check.detail
    (tmp_path / "proc" / "cpuinfo").unlink()
    assert "(unknown instructions)" in checks(tmp_path)["int8 products"].detail


def test_a_runtime_that_kills_who_imports_it_is_told_and_not_imported(healthy, monkeypatch):
    told = "onnxruntime 1.21.0 does not run here; install another version with: pip install 'onnxruntime!=1.21.0'"
    monkeypatch.setattr("edge.session.runtime.crash", lambda: told)
    monkeypatch.setattr("edge.session.runtime.load", lambda: pytest.fail("it is imported"))
    found = checks()
    assert (found["runtime"].state, found["runtime"].detail) == ("broken", "onnxruntime 1.21.0 does not run here")
    assert found["runtime"].repair == "install another version with: pip install 'onnxruntime!=1.21.0'"
    assert not any(name.startswith(("provider", "bundle", "int8")) for name in found)


def test_the_report_is_plain_data(healthy):
    from dataclasses import asdict

    for check in machine.examine():
        assert json.loads(json.dumps(asdict(check)))["name"] == check.name


@pytest.mark.parametrize(("setting", "state"), [("1", "ok"), ("0", "note")])
def test_whether_the_runtime_tells_its_maker_is_said(healthy, monkeypatch, setting, state):
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", setting)
    assert checks()["telemetry"].state == state

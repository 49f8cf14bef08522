"""The plot of `edge bench`, beside its table and where a run is stopped; it needs matplotlib."""

import json
import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("matplotlib")

ENOUGH = ("--batch", "1", "--seconds", "0.2", "--cold-starts", "0", "--provider", "cpu")  # for a median


def test_the_plot_is_drawn_beside_the_table(edge_command, shelf, tmp_path):
    ended = edge_command("bench", "--plot", tmp_path / "plot.svg", *ENOUGH)
    assert ended.code == 0
    assert "linear-fp32" in (tmp_path / "plot.svg").read_text()
    assert f"wrote {tmp_path / 'plot.svg'}" in ended.err


def test_what_a_device_measured_is_shown_and_drawn_on_the_desk_without_its_bundles(edge_command, shelf, tmp_path):
    measured = edge_command("bench", "--json", *ENOUGH)
    (tmp_path / "results.json").write_text(measured.out)
    (shelf / "linear-fp32.onnx").unlink()
    ended = edge_command("bench", "--from", tmp_path / "results.json", "--plot", tmp_path / "plot.png")
    assert ended.code == 0
    assert ["linear-fp32", "cpu", "1", "1"] in [line.split()[:4] for line in ended.out.splitlines()]
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert ended.err == f"wrote {tmp_path / 'plot.png'}\n"
    again = edge_command("bench", "--from", tmp_path / "results.json", "--json")
    assert json.loads(again.out) == json.loads(measured.out)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to a single process")
def test_ctrl_c_gives_what_was_measured_and_exits_with_130(bundle_path, tmp_path):
    command = [sys.executable, "-m", "edge", "bench", bundle_path, "--json", "--plot", tmp_path / "plot.svg"]
    # coverage takes a lock at every new line, and an interrupt while it is held would keep it for ever
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")}
    begun = subprocess.Popen(
        [*command, "--seconds", "1000", "--cold-starts", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=surroundings,
    )
    assert begun.stderr.readline() == "latency: 3 configurations of 1000 s in 8 rounds\n"
    begun.send_signal(signal.SIGINT)
    out, err = begun.communicate(timeout=120)
    assert begun.returncode == 130
    document = json.loads(out)
    assert document["complete"] is False
    assert [each["name"] for each in document["bundles"]] == ["linear-fp32"]
    assert err.startswith("edge: stopped early; ")
    assert not (tmp_path / "plot.svg").exists()

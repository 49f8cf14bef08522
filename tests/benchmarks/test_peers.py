"""The comparison with other runtimes: the work is counted right, the page says what the document says."""

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from edge_train.models import networks
from edge_train.models.specification import MODELS, Recurrent

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks_are_modules(monkeypatch):
    """As when one of them is run as a script."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def peer(name, batch, **changes):
    figures = {"p50_us": 100.0, "p90_us": 120.0, "ratio": 1.0, "calls": 9, "logits_max_error": 1e-6, "flips": 0}
    return {"peer": name, "batch": batch, **figures, "images": 256, "accuracy": 0.99, "size_bytes": 331_000} | changes


@pytest.fixture
def document():
    rows = [
        peer(name, batch, **changes)
        for batch in (1, 256)
        for name, changes in {
            "torch": {"p50_us": 400.0, "ratio": 0.25},
            "default": {},
            "tract": {"flips": 200, "accuracy": 0.12},
            "edge int8": {"p50_us": 41.0, "ratio": 2.44},
        }.items()
    ]
    rows += [{"peer": "ncnn", "batch": batch, "failure": "not installed: ncnn"} for batch in (1, 256)]
    bulk = [{"peer": "edge", "images_per_s": 64000.0, "ratio": 2.5, "flips": 1, "accuracy": 0.99}]
    bound = {"flop": 4_475_392, "fp32_us": 44.8, "int8_us": 22.4}
    return {
        "command": "python benchmarks/peers.py",
        "machine": {
            "cpu": "a processor",
            "cpu_family": "family 26, model 2",
            "system": "Linux",
            "allowed_cpus": 2,
            "load_average": 0.1,
            "int8_instructions": ["avx2"],
            "python": "3.11",
            "edge": "0.1.0",
            "numpy": "2.4",
            "distributions": {"torch": "2.15.0"},
        },
        "settings": {"clock": "wall", "rounds": 3, "images": "strokes", "bulk_images": 2000, "baseline": "default"},
        "limits": {"fp32_gflops": 100.0, "int8_gops": 200.0, "memory_gb_per_s": 14.0},
        "models": [{"model": "lstm", "peers": rows, "bulk": bulk, "bound": bound}],
        "seconds": 60,
    }


def test_the_work_of_an_lstm_is_four_gates_over_28_rows_and_the_head():
    import limits

    assert limits.flop(Recurrent("lstm")) == 2 * 28 * 4 * 128 * (28 + 128) + 2 * 128 * 10


@pytest.mark.represented(name=("gru",))
@pytest.mark.parametrize("name", ["gru", "bilstm", "rnn-256x2", "cnn", "cnn-16k"])
def test_the_counted_work_is_what_torch_multiplies(name):
    import limits

    specification = MODELS[name].specification
    counted = 0

    def count(layer, inputs, output):
        nonlocal counted
        if isinstance(layer, nn.Conv2d):
            counted += 2 * output[0].numel() * layer.weight[0].numel()
        elif isinstance(layer, nn.Linear):
            counted += 2 * layer.weight.numel()
        elif isinstance(layer, nn.RNNBase):
            weights = [weight for key, weight in layer.named_parameters() if key.startswith("weight")]
            counted += 2 * inputs[0].shape[1] * sum(weight.numel() for weight in weights)

    network = networks.build(specification).eval()
    for layer in network.modules():
        layer.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, 28, 28))
    assert limits.flop(specification) == counted


def test_the_bound_is_the_work_divided_by_the_rate():
    import limits

    rates = {"fp32_gflops": 100.0, "int8_gops": 200.0}
    assert limits.bounds_us(1_000_000, rates) == pytest.approx((10.0, 5.0))


def test_of_two_measurements_of_a_limit_the_higher_counts():
    import limits

    assert limits.better({"a": 1.0, "b": 4.0}, {"a": 2.0, "b": 3.0}) == {"a": 2.0, "b": 4.0}


def test_a_peer_that_is_not_installed_is_a_reason_and_no_crash(monkeypatch):
    import peers_runtimes

    monkeypatch.setitem(sys.modules, "tract", None)

    assert peers_runtimes.made("tract", None, 1) == "not installed: tract"


@pytest.mark.represented(bidirectional=(True,))
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_form_that_ncnn_is_given_computes_the_same_network(bidirectional):
    import peers_runtimes

    network = networks.build(Recurrent("gru", hidden=8, bidirectional=bidirectional)).eval()
    images = torch.rand(3, 28, 28)

    with torch.inference_mode():
        torch.testing.assert_close(peers_runtimes.LastStep(network)(images), network(images))


def test_the_page_has_a_row_for_each_model_and_the_limits_last(document):
    import peers_page

    page = peers_page.markdown(document)
    rows = [line for line in page.splitlines() if line.startswith("| lstm")]

    assert rows[0] == (
        "| lstm | 400 (0.25x) | 100 (1.00x) | 100 (1.00x) ✗ | 41 (2.44x) | – | 45 / 22 |"
    )  # torch, default, tract with wrong labels, edge int8, ncnn missing, the bound
    limits_row = page.splitlines()[page.splitlines().index(rows[0]) + 1]
    assert limits_row.startswith("| this machine |")
    assert limits_row.count("|") == rows[0].count("|")
    assert "100 GFLOP/s in fp32, 200 GOP/s in int8, 14 GB/s" in limits_row
    assert "- lstm, batch 1, ncnn: not installed: ncnn" in page
    assert "    python benchmarks/peers.py" in page
    assert "a processor, family 26, model 2, Linux, 2 CPUs" in page
    assert "Python 3.11, edge 0.1.0, numpy 2.4, torch 2.15.0" in page


def test_the_terminal_names_wrong_labels_and_missing_peers(document):
    import peers_page

    lines = peers_page.terminal(document).splitlines()

    assert any("tract" in line and line.endswith("WRONG LABELS") for line in lines)
    assert any("ncnn" in line and line.endswith("not installed: ncnn") for line in lines)
    assert any(line.split() == ["lstm", "4.48", "44.8", "22.4"] for line in lines)


def test_the_picture_is_drawn_from_the_document_alone(document, tmp_path):
    pytest.importorskip("matplotlib")
    import peers_chart

    for row in [row for model in document["models"] for row in model["peers"]][:1]:
        row["failure"] = "did not load"
    peers_chart.draw(json.loads(json.dumps(document)), tmp_path)

    assert (tmp_path / "peers.png").read_bytes().startswith(b"\x89PNG")
    assert "edge int8" in (tmp_path / "peers.svg").read_text(encoding="utf-8")

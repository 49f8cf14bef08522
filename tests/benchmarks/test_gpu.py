"""The whole path of benchmarks/gpu.py: on CUDA where it is, and as far as a CPU can go everywhere."""

import importlib
from pathlib import Path

import pytest

from edge.session import providers, runtime
from edge.session.providers import ProviderError

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ON_A_CPU = ("prove", "predict", "parity", "placement", "streams")
ON_A_GPU = (*ON_A_CPU, "verify", "tf32", "memory")


def cuda_works() -> bool:
    """Whether there is a GPU that this onnxruntime computes on."""
    try:
        providers.prove("cuda")
    except ProviderError:
        return False
    return True


needs_cuda = pytest.mark.skipif(
    not cuda_works(), reason="needs a GPU and its ONNX Runtime: pip install 'edge-toolkit[gpu]'"
)


@pytest.fixture
def gpu(monkeypatch):
    """The program, as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gpu")


@pytest.mark.parametrize("step", ON_A_CPU)
@pytest.mark.represented(step=("predict", "streams"))
def test_a_step_holds_on_the_cpu(gpu, step):
    outcome = gpu.take(step, "cpu")
    assert (outcome.state, outcome.told) == ("holds", "")
    assert outcome.figures


@pytest.mark.parametrize("step", ON_A_GPU)
@needs_cuda
def test_a_step_holds_on_cuda(gpu, step):
    outcome = gpu.take(step, "cuda")
    assert (outcome.state, outcome.told) == ("holds", "")


@pytest.mark.parametrize("step", ["tf32", "memory"])
def test_what_only_cuda_has_is_no_success_elsewhere(gpu, step):
    outcome = gpu.take(step, "cpu")
    assert (outcome.state, outcome.figures) == ("not taken", {})
    assert "only CUDA" in outcome.told


@pytest.mark.exhaustive  # the states of a step are told below
def test_a_step_that_does_not_hold_is_broken(gpu, monkeypatch):
    monkeypatch.setattr(gpu, "FP32_TOLERANCE", -1.0)
    outcome = gpu.take("parity", "cpu")
    assert outcome.state == "broken"
    assert "from the CPU's" in outcome.told


@pytest.mark.skipif("cuda" in runtime.built_in(), reason="this onnxruntime was built with CUDA")
def test_without_cuda_every_step_says_why(gpu):
    outcome = gpu.take("prove", "cuda")
    assert outcome.state == "broken"
    assert "built without CUDA" in outcome.told

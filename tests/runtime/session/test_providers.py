"""CUDA: proved by a session without fallback, or refused by a message that names the first obstacle.

The GPU build of onnxruntime is pretended, so that every obstacle is met on any machine.
"""

import ctypes
import sys
from types import SimpleNamespace

import pytest

from edge.errors import EdgeError, ProviderError
from edge.session import runtime, session


class FakeRuntime:
    """An onnxruntime with CUDA compiled in that behaves as it is told."""

    __version__ = "1.31.1"
    __file__ = __file__

    def __init__(self, real, *, session_fails=None, proof_fails=None, took="CUDA"):
        self.real = real
        self.SessionOptions = self.real.SessionOptions
        self.ExecutionMode = self.real.ExecutionMode
        self.session_fails = session_fails
        self.proof_fails = proof_fails
        self.took = took
        self.requests = []
        self.severity = 2

    def get_available_providers(self):
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def set_default_logger_severity(self, level):
        self.severity = level

    def preload_dlls(self):
        print("Failed to load libcublasLt.so.13")

    def InferenceSession(self, data, options, providers, enable_fallback=1):
        name = providers[0] if isinstance(providers[0], str) else providers[0][0]
        self.requests.append(
            (name, options.get_session_config_entry("session.intra_op.allow_spinning"), enable_fallback)
        )
        if name.startswith("CUDA"):
            assert options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"
            assert providers[0][1] == {"use_tf32": "0"}
            reason = self.proof_fails if len(data) < 200 else self.session_fails
            if reason:
                raise RuntimeError(reason)
        interface = self.real.InferenceSession(data, providers=["CPUExecutionProvider"])
        taken = f"{self.took}ExecutionProvider" if name.startswith("CUDA") else name
        return SimpleNamespace(
            get_providers=lambda: [taken],
            get_inputs=interface.get_inputs,
            get_outputs=interface.get_outputs,
            run=interface.run,
        )


@pytest.fixture
def gpu_build(monkeypatch):
    """Puts a pretended GPU build in place; every library loads unless it is named."""

    real = runtime.load()

    def pretend(*, missing: dict[str, str] | None = None, **behaviour) -> FakeRuntime:
        fake = FakeRuntime(real, **behaviour)
        monkeypatch.setitem(sys.modules, "onnxruntime", fake)

        def load(name):
            for part, reason in (missing or {}).items():
                if part in name:
                    raise OSError(reason)

        monkeypatch.setattr(ctypes, "CDLL", load)
        return fake

    return pretend


def test_cuda_is_proved_by_a_session_without_fallback(packed, gpu_build, capfd):
    fake = gpu_build()
    running = session.create(packed, provider="auto")
    assert (running.provider, running.reason) == ("cuda", "CUDA is proved here")
    assert fake.requests == [("CUDAExecutionProvider", "0", 0)]
    assert fake.severity == 2
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (
            {"session_fails": "x", "missing": {"libcuda.so.1": "libcuda.so.1: cannot open", "nvcuda": "nvcuda: none"}},
            r"no NVIDIA driver \(.*\); install the driver",
        ),
        (
            {"session_fails": "x", "missing": {"providers_cuda": "libcublasLt.so.13: cannot open shared object file"}},
            r"CUDA libraries cannot be loaded \(libcublasLt\.so\.13.*pip install 'onnxruntime-gpu\[cuda,cudnn\]'",
        ),
        (
            {"session_fails": "x", "proof_fails": "CUDA failure 100: no CUDA-capable device is detected\nmore"},
            r"CUDA does not start here \(CUDA failure 100: no CUDA-capable device is detected\); check the GPU",
        ),
        (
            {"session_fails": "graph nodes that are assigned to the default CPU EP, but fallback"},
            r"not for this model: some of its nodes have no CUDA kernel; export it with --precision fp16",
        ),
        ({"session_fails": "cuDNN has no plan\nmore"}, r"not for this model: cuDNN has no plan; "),
        ({"took": "CPU"}, r"replaced CUDA by \['CPUExecutionProvider'\]"),
    ],
)
def test_what_is_missing_for_cuda_is_named(packed, gpu_build, behaviour, message, capfd):
    gpu_build(**behaviour)
    with pytest.raises(ProviderError, match=message):
        session.create(packed, provider="cuda")
    running = session.create(packed, provider="auto")
    assert running.provider == "cpu"
    assert running.reason.startswith("no CUDA: ")
    assert capfd.readouterr() == ("", "")


def test_every_refusal_says_what_to_do_next(packed, gpu_build):
    for behaviour in ({"session_fails": "a"}, {"session_fails": "a", "proof_fails": "b"}, {"took": "CPU"}):
        gpu_build(**behaviour)
        with pytest.raises(EdgeError) as caught:
            session.create(packed, provider="cuda")
        assert "; " in str(caught.value)

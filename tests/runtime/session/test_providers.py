"""Providers: proved by a session without fallback, or refused by a message that names the first obstacle.

Builds of onnxruntime for CUDA and for others are pretended, so that every obstacle is met on any machine.
"""

import ctypes
import pickle
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from edge.bundle import branches, bundle, shipped
from edge.classifier.classifier import load
from edge.errors import EdgeError, InputError, ProviderError, RuntimeMissingError
from edge.session import providers, runtime, session


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

    def get_all_providers(self):
        return self.real.get_all_providers()

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


NO_FALLBACK = "graph nodes that are assigned to the default CPU EP, but fallback to CPU EP has been explicitly disabled"


class OpenVinoBuild(FakeRuntime):
    """An onnxruntime with OpenVINO compiled in, which takes no node of a model where it is told so."""

    def __init__(self, real, *, takes=True, starts=True):
        super().__init__(real)
        self.takes, self.starts = takes, starts
        self.given = []

    def get_available_providers(self):
        return ["OpenVINOExecutionProvider", "CPUExecutionProvider"]

    def InferenceSession(self, data, options, providers, enable_fallback=1):
        if isinstance(providers[0], str):
            return self.real.InferenceSession(data, options, providers=providers)
        name, settings = providers[0]
        self.given.append(settings)
        try:
            strict = options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"
        except RuntimeError:  # it was not set
            strict = False
        if strict and not (self.takes if len(data) > 200 else self.starts):
            raise RuntimeError(NO_FALLBACK)
        real = self.real.SessionOptions()
        real.enable_profiling, real.profile_file_prefix = options.enable_profiling, options.profile_file_prefix
        native = self.real.InferenceSession(data, real, providers=["CPUExecutionProvider"])
        return SimpleNamespace(
            get_providers=lambda: [name, "CPUExecutionProvider"],
            get_inputs=native.get_inputs,
            get_outputs=native.get_outputs,
            run=native.run,
            end_profiling=native.end_profiling,
        )


@pytest.fixture
def openvino_build(monkeypatch):
    real = runtime.load()

    def pretend(**behaviour) -> OpenVinoBuild:
        fake = OpenVinoBuild(real, **behaviour)
        monkeypatch.setitem(sys.modules, "onnxruntime", fake)
        return fake

    return pretend


def test_any_provider_is_proved_by_its_short_name_and_told_the_settings(packed, images, linear, openvino_build):
    fake = openvino_build()
    running = session.create(packed, provider="openvino", threads=3, provider_options={"device_type": "GPU"})
    assert (running.provider, running.reason) == ("openvino", "as asked for")
    assert fake.given == [{"num_of_threads": "3", "device_type": "GPU"}]
    np.testing.assert_allclose(running.run(images)[0], linear.logits(images), atol=1e-4)


def test_the_users_settings_hold_above_the_own_ones(packed, openvino_build):
    fake = openvino_build()
    session.create(packed, provider="openvino", threads=3, provider_options={"num_of_threads": "2"})
    assert fake.given == [{"num_of_threads": "2"}]


def test_what_a_provider_cannot_run_is_named(packed, openvino_build):
    openvino_build(takes=False)
    with pytest.raises(ProviderError) as caught:
        session.create(packed, provider="openvino")
    told = str(caught.value)
    assert told.startswith("OpenVINO works here, but not for this model: it leaves ")
    assert "Gemm" in told
    assert "to the CPU (4 of 4 nodes); take an fp32 bundle, or use --provider cpu" in told


def test_what_cannot_be_measured_is_told_without_names(packed, openvino_build, monkeypatch):
    openvino_build(takes=False)
    for error in (OSError("no folder"), RuntimeError("no run")):
        monkeypatch.setattr("edge.session.providers.placement", lambda *_, error=error: (_ for _ in ()).throw(error))
        with pytest.raises(ProviderError, match="some of its nodes have no OpenVINO kernel"):
            session.create(packed, provider="openvino")


def test_a_device_that_is_not_there_is_no_fault_of_the_model(packed, openvino_build):
    openvino_build(takes=False, starts=False)
    with pytest.raises(ProviderError, match=r"does not start here \(it leaves every node to the CPU\); check its"):
        session.create(packed, provider="openvino", provider_options={"device_type": "GPU"})
    with pytest.raises(ProviderError, match="does not start here"):
        providers.prove("openvino")


def test_the_libraries_of_a_provider_are_looked_at(packed, openvino_build, monkeypatch):
    fake = openvino_build(takes=False)
    monkeypatch.setattr("pathlib.Path.exists", lambda path: "providers_openvino" in path.name)

    def load(name):
        raise OSError("libopenvino.so.2640: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", load)
    with pytest.raises(ProviderError, match=r"the OpenVINO libraries cannot be loaded \(libopenvino.*install what it"):
        session.create(packed, provider="openvino")
    assert len(fake.given) == 1


@pytest.mark.parametrize(
    ("provider", "told"),
    [
        ("qnn", "built without QNN; swap it for the build that has it: pip uninstall -y onnxruntime; pip install onn"),
        ("tensorrt", r"built without Tensorrt; swap it for the GPU build: pip uninstall -y onnxruntime; .*\[gpu\]"),
        ("xnnpack", "built without Xnnpack; use a build of ONNX Runtime that has it, or --provider cpu"),
    ],
)
def test_a_provider_that_is_not_compiled_in_is_told_with_where_it_is(packed, installed, openvino_build, provider, told):
    installed(onnxruntime="1.31.1")
    openvino_build()
    with pytest.raises(ProviderError, match=told):
        session.create(packed, provider=provider)


def test_a_word_that_is_no_provider_is_told_with_those_that_are(packed, monkeypatch):
    with pytest.raises(InputError, match=r"no provider 'tpu'; use one of auto, cpu, cuda, .*openvino"):
        session.create(packed, provider="tpu")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    providers.check("cuda")
    with pytest.raises(RuntimeMissingError):
        providers.check("openvino")


@pytest.mark.parametrize("provider", ["auto", "cpu"])
def test_settings_are_for_a_provider_that_is_named(packed, provider):
    with pytest.raises(InputError, match=f"{provider} takes none; name the one that they are for"):
        session.create(packed, provider=provider, provider_options={"device_type": "GPU"})


def test_a_manifest_decides_about_the_cpu_and_cuda_and_a_session_about_all_others(packed, manifest, openvino_build):
    openvino_build()
    int8 = replace(manifest, providers=("cpu",), precision="int8")
    assert session.create(packed, provider="openvino", manifest=int8).provider == "openvino"
    with pytest.raises(ProviderError, match="made for npu, not for openvino; upgrade edge"):
        session.create(packed, provider="openvino", manifest=replace(manifest, providers=("npu",)))


def test_other_providers_get_the_way_for_a_few_images_at_every_batch(openvino_build):
    source = bundle.read(shipped.locate("gru-int8"))
    openvino_build()
    running = session.create(source.data, provider="openvino", threads=1, manifest=source.manifest)
    assert not running.has_branches
    few = session.create(branches.split(source.data).few, provider="cpu", threads=1)
    images = np.random.default_rng(5).integers(0, 256, (40, 28, 28), dtype=np.uint8)
    np.testing.assert_array_equal(running.run(images)[0], few.run(images)[0])
    assert "If" not in {node.partition(" ")[0] for node in session.placement(source.data, "openvino")}


def test_a_classifier_takes_its_settings_to_another_process(openvino_build):
    fake = openvino_build()
    classifier = load("lstm", provider="openvino", provider_options={"device_type": "NPU"})
    again = pickle.loads(pickle.dumps(classifier))
    assert again.provider == "openvino"
    assert fake.given[0] == fake.given[1] == {"num_of_threads": "1", "device_type": "NPU"}


@pytest.mark.skipif(
    "openvino" not in runtime.built_in(),
    reason="built without OpenVINO; in an environment of its own: pip install onnxruntime-openvino",
)
def test_openvino_runs_what_it_can_and_names_what_it_cannot():
    for name in ("lstm", "cnn-16k", "gru-int8"):
        source = bundle.read(shipped.locate(name))
        running = session.create(source.data, provider="openvino", manifest=source.manifest)
        evidence = source.evidence
        errors = np.abs(running.run(evidence.images)[0] - evidence.logits).max(1)
        assert all(error <= evidence.limit(index) for index, error in enumerate(errors))
        assert set(session.placement(source.data, "openvino").values()) == {"openvino"}
    with pytest.raises(ProviderError, match="leaves DynamicQuantizeLSTM to the CPU"):
        load("lstm-int8", provider="openvino")

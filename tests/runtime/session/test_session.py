"""Sessions: the provider is proved or refused, by a message that names what is missing."""

import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from edge.bundle import branches, bundle, shipped
from edge.errors import BundleError, InputError, ProviderError, RuntimeMissingError
from edge.session import batching, cpu, providers, runtime, session

HAS_CUDA = "CUDAExecutionProvider" in runtime.load().get_available_providers()
without_cuda = pytest.mark.skipif(HAS_CUDA, reason="this onnxruntime was built with CUDA")


def test_the_cpu_runs_the_model(packed, images, linear):
    running = session.create(packed, provider="cpu")
    logits, probabilities = running.run(images)
    assert (running.provider, running.threads) == ("cpu", 1)
    np.testing.assert_allclose(logits, linear.logits(images), atol=1e-4)
    np.testing.assert_allclose(probabilities, linear.probabilities(images), atol=1e-4)


@without_cuda
def test_auto_takes_the_cpu_and_says_why(packed):
    running = session.create(packed, provider="auto")
    assert running.provider == "cpu"
    assert "built without CUDA" in running.reason


@without_cuda
def test_cuda_is_refused_by_a_cpu_only_build_with_the_way_to_swap_it(packed):
    with pytest.raises(ProviderError, match=r"built without CUDA; .*pip uninstall -y onnxruntime\S*; .*\[gpu\]"):
        session.create(packed, provider="cuda")


@without_cuda
def test_cuda_cannot_be_proved_by_a_cpu_only_build():
    with pytest.raises(ProviderError, match="built without CUDA"):
        providers.prove("cuda")


def test_the_cpu_is_proved_by_a_session():
    providers.prove("cpu")


def test_a_model_with_cpu_only_kernels_is_refused_on_cuda_whatever_is_installed(packed, manifest):
    int8 = replace(manifest, name="lstm-int8", model="lstm", precision="int8", providers=("cpu",))
    with pytest.raises(ProviderError, match=r"lstm-int8 has int8 kernels.*CPU only.*--model lstm --precision fp16"):
        session.create(packed, provider="cuda", manifest=int8)
    running = session.create(packed, provider="auto", manifest=int8)
    assert running.provider == "cpu"
    assert "CPU only" in running.reason


def test_an_unknown_provider_and_too_few_threads_are_refused(packed):
    with pytest.raises(InputError, match="tpu"):
        session.create(packed, provider="tpu")
    with pytest.raises(InputError, match="threads"):
        session.create(packed, provider="cpu", threads=0)


def test_a_graph_with_another_interface_is_refused(make_model, linear):
    with pytest.raises(BundleError, match=r"maps pixels uint8 .* expected image uint8"):
        session.create(make_model(linear, input_name="pixels"), provider="cpu")


@pytest.mark.parametrize(
    ("image", "logits", "told"),
    [
        ((1, 28, 28), ("batch", 10), r"image uint8 \[1, 28, 28\] to "),
        (("batch", 32, 32), ("batch", 10), r"image uint8 \[batch, 32, 32\] to "),
        (("batch", 1, 28, 28), ("batch", 10), r"image uint8 \[batch, 1, 28, 28\] to "),
        (("batch", 28, 28), (), r"logits float \[\]"),
        (("batch", 28, 28), ("batch", 1, 10), r"logits float \[3, 1, 10\]"),
        (("batch", 28, 28), (3, 10), "gives logits of 3 images whatever it is asked for"),
    ],
)
def test_a_graph_of_another_shape_is_refused_before_it_runs(make_signature, image, logits, told):
    with pytest.raises(BundleError, match=f"{told}.*re-export the model"):
        session.create(make_signature(image, logits), provider="cpu")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"shape": ("batch", 3, 32, 32), "dtype": "float32"}, r"takes float32 \[batch, 3, 32, 32\], ink 255"),
        ({"shape": (1, 28, 28)}, r"takes uint8 \[1, 28, 28\]"),
        ({"shape": ()}, r"takes uint8 \[\]"),
        ({"ink": 0, "background": 255}, "ink 0 on 255"),
    ],
)
def test_a_bundle_that_takes_what_this_edge_cannot_give_is_refused(packed, manifest, wrong, told):
    with pytest.raises(
        BundleError, match=rf"{told}.*, this edge serves uint8 \[batch, 28, 28\], ink 255 on .*; upgrade"
    ):
        session.create(packed, provider="cpu", manifest=replace(manifest, input=replace(manifest.input, **wrong)))


def test_the_name_of_the_batch_axis_means_nothing(packed, manifest):
    other = replace(manifest, input=replace(manifest.input, shape=("N", 28, 28)))
    assert session.create(packed, provider="cpu", manifest=other).provider == "cpu"


@pytest.mark.parametrize("provider", ["cpu", "cuda", "auto"])
def test_a_bundle_for_a_provider_of_a_later_edge_is_refused_when_it_is_run(packed, manifest, provider):
    later = replace(manifest, providers=("npu",))
    with pytest.raises(ProviderError, match=r"linear-fp32 was made for npu, not for (cpu|cuda); upgrade edge with"):
        session.create(packed, provider=provider, manifest=later)
    both = replace(manifest, providers=("npu", "cpu"), precision="int4")
    assert session.create(packed, provider="auto", manifest=both).provider == "cpu"


def test_a_graph_with_another_number_of_classes_than_labels_is_refused(packed, manifest):
    with pytest.raises(BundleError, match="10 classes in logits, the manifest 2 labels"):
        session.create(packed, provider="cpu", manifest=replace(manifest, labels=("a", "b")))


@pytest.mark.parametrize("too_new", [{"ir_version": 25}, {"opset": 40}])
def test_a_model_that_is_too_new_for_the_runtime_asks_for_an_upgrade(make_model, linear, manifest, too_new):
    with pytest.raises(ProviderError, match=r"cannot load the model: .*1\.19\.2 and newer") as caught:
        session.create(make_model(linear, **too_new), provider="cpu", manifest=manifest)
    assert "[ONNXRuntimeError]" not in str(caught.value)


def test_bytes_that_are_no_model_are_refused():
    for data in (b"", b"no model"):
        with pytest.raises(ProviderError, match="cannot load"):
            session.create(data, provider="cpu")


def test_a_batch_that_the_graph_does_not_take_is_told(packed):
    running = session.create(packed, provider="cpu")
    with pytest.raises(ProviderError, match="batch of 2 images"):
        running.run(np.zeros((2, 28, 27), np.uint8))


def test_the_answer_to_one_image_outlives_the_next(packed, images, linear):
    running = session.create(packed, provider="cpu")
    found = [running.fetch(("logits",), images[index : index + 1])[0] for index in range(len(images))]
    listed = [running.numbers(("logits",), images[index : index + 1])[0] for index in range(len(images))]
    np.testing.assert_allclose(np.concatenate(found), linear.logits(images), atol=1e-4)
    np.testing.assert_array_equal(np.concatenate(listed).astype(np.float32), np.concatenate(found))


@pytest.mark.parametrize("wrong", [np.zeros((1, 28, 1), np.uint8), np.zeros((1, 28, 28), np.float32)])
def test_one_image_of_another_shape_or_type_is_told_after_good_ones_too(packed, images, wrong):
    running = session.create(packed, provider="cpu")
    for _ in range(3):
        running.fetch(("logits",), images[:1])
        with pytest.raises(ProviderError, match="onnxruntime failed on an image"):
            running.fetch(("logits",), wrong)


def test_small_models_run_on_one_thread_and_large_ones_on_all_allowed_cpus():
    assert batching.default_threads(100_000) == 1
    assert batching.default_threads(100_000_000) == cpu.allowed()


def test_idle_threads_do_not_spin(packed, monkeypatch):
    entries = {}
    real = runtime.load()

    class Recording(real.SessionOptions):
        def add_session_config_entry(self, key, value):
            entries[key] = value
            super().add_session_config_entry(key, value)

    monkeypatch.setattr(real, "SessionOptions", Recording)
    session.create(packed, provider="cpu")
    assert entries == {"session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0"}


@pytest.fixture
def with_branches():
    """A shipped bundle that computes a few images in another way than many."""
    return bundle.read(shipped.locate("rnn-int8"))


def test_a_few_images_and_many_are_each_computed_in_their_way(with_branches):
    ways = branches.split(with_branches.data)
    images = np.random.default_rng(3).integers(0, 256, (40, 28, 28), dtype=np.uint8)
    running = session.create(with_branches.data, provider="cpu", threads=1, manifest=with_branches.manifest)
    few, many = (session.create(one, provider="cpu", threads=1) for one in (ways.few, ways.many))
    assert (running.has_branches, running.few_images) == (True, ways.limit)
    assert (few.has_branches, many.has_branches) == (False, False)
    for limit in (ways.limit, 20, 1, 1000):
        running.few_images = limit
        for count in (1, 19, 20, 40):
            expected = (few if count < limit else many).run(images[:count])[0]
            np.testing.assert_array_equal(running.run(images[:count])[0], expected)


def test_a_bundle_says_how_many_images_are_a_few_where_there_is_vnni(with_branches, monkeypatch):
    limit = branches.split(with_branches.data).limit
    told = replace(with_branches.manifest, few_images_vnni=3)
    for instructions, expected in ((("avx2", "avx_vnni"), 3), (("avx2",), limit), (None, limit)):
        monkeypatch.setattr(cpu, "instruction_sets", lambda found=instructions: found and frozenset(found))
        assert session.create(with_branches.data, provider="cpu", manifest=told).few_images == expected
        assert session.create(with_branches.data, provider="cpu", manifest=with_branches.manifest).few_images == limit


def test_what_is_for_many_is_loaded_when_many_come_and_only_once(with_branches, monkeypatch):
    opened = []
    real = session.open_on
    monkeypatch.setattr(session, "open_on", lambda data, *a, **named: opened.append(data) or real(data, *a, **named))
    running = session.create(with_branches.data, provider="cpu", threads=1, manifest=with_branches.manifest)
    ways = branches.split(with_branches.data)
    images, everything = np.zeros((40, 28, 28), np.uint8), ("logits", "probabilities", "score")
    running.fetch(everything, images[:1])
    assert opened == [ways.few]
    at_once = [threading.Thread(target=running.fetch, args=(everything, images)) for _ in range(8)]
    for each in at_once:
        each.start()
    for each in at_once:
        each.join()
    assert opened == [ways.few, ways.many]


@pytest.mark.parametrize("name", ["rnn", "rnn-int8", "cnn-16k-int8"])
def test_what_is_not_asked_for_is_not_computed_and_what_is_has_the_same_bits(name, monkeypatch):
    source, opened = bundle.read(shipped.locate(name)), []
    real = session.open_on
    monkeypatch.setattr(session, "open_on", lambda data, *a, **named: opened.append(data) or real(data, *a, **named))
    running = session.create(source.data, provider="cpu", threads=1, manifest=source.manifest)
    images = np.random.default_rng(3).integers(0, 256, (40, 28, 28), np.uint8)
    for batch in (images[:1], images):
        every = running.fetch(("logits", "probabilities", "score"), batch)
        for outputs, wanted in (
            (("logits",), every[:1]),
            (("probabilities",), every[1:2]),
            (("probabilities", "score"), every[1:]),
            (("logits", "probabilities"), every[:2]),
        ):
            for found, expected in zip(running.fetch(outputs, batch), wanted, strict=True):
                np.testing.assert_array_equal(found, expected)
    ways = 2 if running.has_branches else 1
    assert len(opened) == 4 * ways, "the whole, and three that lack the score"
    assert sum(b"ReduceLogSumExp" in data for data in opened) == ways


def test_a_large_model_is_loaded_once_whatever_is_asked_for(monkeypatch):
    monkeypatch.setattr(batching, "SMALL_MODEL_BYTES", 1000)
    source, opened = bundle.read(shipped.locate("rnn")), []
    real = session.open_on
    monkeypatch.setattr(session, "open_on", lambda data, *a, **named: opened.append(data) or real(data, *a, **named))
    running = session.create(source.data, provider="cpu", threads=1, manifest=source.manifest)
    running.fetch(("logits",), np.zeros((1, 28, 28), np.uint8))
    assert len(opened) == 1


@without_cuda
def test_auto_takes_the_ways_apart_too(with_branches):
    assert session.create(with_branches.data, provider="auto", manifest=with_branches.manifest).has_branches


def test_a_session_serves_several_threads_at_once(packed, images, linear):
    running = session.create(packed, provider="cpu")
    expected = linear.logits(images)
    problems = []

    def work():
        for start in range(50):
            one = slice(start % len(images), start % len(images) + 1)
            problems.extend(
                part
                for part in (slice(None), one)
                if not np.allclose(running.run(images[part])[0], expected[part], atol=1e-4)
            )

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert problems == []


def test_placement_is_measured_node_by_node(packed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    placed = session.placement(packed, "cpu")
    assert set(placed.values()) == {"cpu"}
    assert "Gemm the Gemm" in placed
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_the_runtime_reaches_the_user(packed, capfd):
    for provider in ("cpu", "auto"):
        session.create(packed, provider=provider)
    with pytest.raises(ProviderError):
        session.create(packed[:1000], provider="cpu")
    assert capfd.readouterr() == ("", "")


def test_a_missing_runtime_is_told_with_both_ways_to_install_it(packed, monkeypatch, installed):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    installed()
    with pytest.raises(RuntimeMissingError, match=r"not installed.*\[cpu\].*\[gpu\]") as caught:
        session.create(packed)
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, ProviderError)


def test_two_runtimes_that_broke_each_other_are_told_with_the_repair(packed, monkeypatch, installed):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    installed(onnxruntime="1.31.1", onnxruntime_gpu="1.31.1")
    with pytest.raises(RuntimeMissingError, match=r"both installed.*uninstall -y onnxruntime onnxruntime-gpu, then"):
        session.create(packed)


def test_what_an_uninstalled_sibling_leaves_behind_is_told(packed, monkeypatch, installed):
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace())
    installed(onnxruntime="1.31.1")
    with pytest.raises(RuntimeMissingError, match=r"onnxruntime 1\.31\.1 cannot be imported \(the module is empty\)"):
        session.create(packed)

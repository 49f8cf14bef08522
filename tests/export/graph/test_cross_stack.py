"""The same pictures through every form of the shipped LSTM: torch, ONNX fp32, ONNX int8, the runtime, a PNG file.

One set of pictures, one answer, a tolerance for each form: where two of these disagree, a user sees another label on
the device than in training.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.classifier import classifier
from edge.picture import preprocessing
from edge_export import (
    pipeline,
)
from edge_export.graph import conversion, fp16, session
from edge_export.int8 import (
    candidates,
    latency,
)
from edge_export.int8.processors import PROFILES
from edge_export.model import trained_model
from edge_export.parity import (
    evaluation_data,
)
from edge_train import strokes
from edge_train.data import published
from edge_train.training import checkpoint
from edge_train.training.evaluation import logits_of

CANDIDATE = "branched"  # two ways to compute in one graph
SHIPPED = sorted(path.stem for path in (Path(checkpoint.__file__).parents[1] / "checkpoints").glob("*.safetensors"))


@dataclass(frozen=True)
class Form:
    """A form of the model and what it may differ from PyTorch by, in logits and in flips."""

    name: str
    error: float
    flips: int = 0


FORMS = [
    Form("onnx fp32 one by one", 1e-4),
    Form("onnx fp32 in bulk", 1e-4),
    Form("onnx fp16 one by one", 0.1),
    Form("onnx int8 one by one", 0.5),
    Form("onnx int8 in bulk", 0.5),
    Form("runtime fp32", 1e-4),
    Form("runtime int8", 0.5),
    Form("PNG file fp32", 1e-4),
    Form("PNG file int8", 0.5),
]


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """uint8 (40, 28, 28): digits that no training and no export has seen."""
    return strokes.sample(40, seed=4_321)[0]


@pytest.fixture(scope="module")
def torch_logits(pictures) -> np.ndarray:
    return logits_of(checkpoint.load(checkpoint.shipped("lstm")).model(), pictures)


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> dict[str, Path]:
    """The bundles of the shipped LSTM, by precision."""
    folder = tmp_path_factory.mktemp("bundles")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation_data, "STROKE_IMAGES", 100)
        patch.setattr(latency, "REPETITIONS", {1: 3, 256: 3})
        patch.setattr(latency, "SECONDS", 0)
        return {
            precision: pipeline.export(
                pipeline.ExportRequest("lstm", precision=precision, data="strokes", out=folder, candidate=candidate),
                lambda _: None,
            ).path
            for precision, candidate in (("fp32", None), ("int8", CANDIDATE))
        }


@pytest.fixture(scope="module")
def files(pictures, tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{index:02}.png" for index in range(len(pictures))]
    for path, image in zip(paths, pictures, strict=True):
        Image.fromarray(image).save(path)
    return paths


@pytest.fixture(scope="module")
def answers(pictures, exported, files) -> dict[str, np.ndarray]:
    """Logits of the same pictures by form."""
    fp32 = trained_model.find("lstm", None, None).convert().model
    int8 = candidates.build(fp32, evaluation_data.find("strokes", None).calibration, PROFILES["any"], CANDIDATE)[
        CANDIDATE
    ].model
    graphs = {"fp32": fp32, "int8": int8, "fp16": fp16.to_fp16(fp32)}
    found = {}
    for precision, model in graphs.items():
        running = session.open_session(model)
        found[f"onnx {precision} one by one"] = session.run(running, pictures, 1)[0]
        found[f"onnx {precision} in bulk"] = session.run(running, pictures, 256)[0]
    for precision, path in exported.items():
        loaded = classifier.load(path, provider="cpu")
        found[f"runtime {precision}"] = loaded.logits(pictures)
        found[f"PNG file {precision}"] = np.concatenate([loaded.logits(preprocessing.read(file)) for file in files])
    return found


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_every_form_says_what_pytorch_says(form, answers, torch_logits):
    found = answers[form.name]
    assert np.abs(found - torch_logits).max() <= form.error
    assert (found.argmax(1) != torch_logits.argmax(1)).sum() <= form.flips


def test_pytorch_itself_reads_the_pictures(torch_logits):
    labels = strokes.sample(40, seed=4_321)[1]
    assert (torch_logits.argmax(1) == labels).mean() >= 0.95


def test_a_picture_file_gives_bit_for_bit_what_its_tensor_gives(answers, exported, pictures):
    for precision, path in exported.items():
        loaded = classifier.load(path, provider="cpu")
        alone = np.concatenate([loaded.logits(image) for image in pictures])
        np.testing.assert_array_equal(answers[f"PNG file {precision}"], alone)


def test_the_runtime_adds_nothing_to_the_graph(answers):
    np.testing.assert_array_equal(answers["runtime fp32"], answers["onnx fp32 in bulk"])
    np.testing.assert_array_equal(answers["runtime int8"], answers["onnx int8 in bulk"])


def test_labels_and_probabilities_follow_the_logits(exported, files, torch_logits):
    loaded = classifier.load(exported["fp32"], provider="cpu")
    temperature = loaded.manifest.temperature
    for file, logits in zip(files, torch_logits.astype(np.float64), strict=True):
        prediction = loaded.predict(file)
        powers = np.exp(logits / temperature)
        assert prediction.label == str(logits.argmax())
        assert prediction.confidence == pytest.approx(powers.max() / powers.sum(), abs=1e-4)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_checkpoint_converts_within_the_tolerance(name, pictures):
    stored = checkpoint.load(checkpoint.shipped(name))
    expected = logits_of(stored.model(), pictures)
    running = session.open_session(conversion.convert(stored).model)
    for batch in (1, 3, 17):
        logits, _ = session.run(running, pictures, batch)
        assert np.abs(logits - expected).max() <= 1e-4
        np.testing.assert_array_equal(logits.argmax(1), expected.argmax(1))


@pytest.mark.slow
def test_the_shipped_lstm_keeps_its_accuracy_on_mnist_in_int8(mnist_folder, exported):
    test = published.load_test("mnist", mnist_folder, fetch=False)
    expected = logits_of(checkpoint.load(checkpoint.shipped("lstm")).model(), test.images)
    found = classifier.load(exported["int8"], provider="cpu").logits(test.images)
    flips = (found.argmax(1) != expected.argmax(1)).mean()
    lost = (expected.argmax(1) == test.labels).mean() - (found.argmax(1) == test.labels).mean()
    assert flips <= 0.002
    assert lost <= 0.001


@pytest.mark.slow
def test_200_mnist_digits_lose_nothing_on_their_way_through_png_files(mnist_folder, exported, tmp_path):
    images = published.load_test("mnist", mnist_folder, fetch=False).images[:200]
    loaded = classifier.load(exported["int8"], provider="cpu")
    for index, image in enumerate(images):
        path = tmp_path / f"{index}.png"
        Image.fromarray(image).save(path)
        np.testing.assert_array_equal(preprocessing.read(path), image)
        assert loaded.predict(path).probabilities == loaded.predict_image(image).probabilities

"""From a checked graph to the bytes of a bundle: golden images, evidence and manifest."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edge import verification
from edge.bundle import bundle
from edge.bundle.evidence import DRAWN, Evidence
from edge.bundle.input import COLUMNS, OUTPUTS, ROWS, SCORE
from edge.bundle.manifest import Accuracy, Manifest, Precision, ProviderName, Rejection
from edge.picture import preprocessing
from edge.session import runtime
from edge_export.int8.quantisation import int8_share
from edge_export.model.trained_model import TrainedModel, bundle_name
from edge_export.options import Target
from edge_export.pack.score_output import add_score
from edge_export.parity.comparison import exact_logits, margins
from edge_export.parity.tolerances import evidence_tolerance
from edge_train import strokes

# The oldest ONNX Runtime that the extra `cpu` admits; the test command replays every shipped bundle on it.
MINIMUM_ONNXRUNTIME = "1.19"

# What a bundle's bytes depend on besides the checkpoint, and ONNX Runtime, whose distribution has one of several names.
_MAKERS = ("edge-toolkit", "torch", "onnx")

EVERYWHERE: tuple[ProviderName, ...] = ("cpu", "cuda")
CPU_ONLY: tuple[ProviderName, ...] = ("cpu",)

STROKE_SEED = 20_28
STROKES = 20  # two of each digit
NOISE_SEED = 28
NOISE = 3
# Grey levels of the golden images: as telling as 256, and a third of the bytes in every bundle.
STROKE_LEVELS = 4
NOISE_LEVELS = 16


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How int8 came about.

    Attributes:
        method: the candidate.
        target: the processors that it is for; `None` where no product is an integer product, which is right on all.
        verdict: what it brings, in a sentence.
        few_images_vnni: as of the quantised model.
    """

    method: str
    target: Target | None
    verdict: str
    few_images_vnni: int | None = None


def golden_images() -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Every bundle is replayed on these images, the same ones for every model: drawn, never anybody's handwriting.

    Strokes decide as pictures do; all-zero, all-255 and noise drive the arithmetic to its ends, where a saturating
    int8 product shows first.

    Returns:
        The images, uint8 (25, 28, 28), ink 255 on background 0, and what each is, such as "stroke 7" or "noise".
    """
    digits, labels = strokes.sample(STROKES, seed=STROKE_SEED)
    images, kinds = extreme_images()
    return np.concatenate([_coarse(digits, STROKE_LEVELS), images]), (
        *(f"{DRAWN} {label}" for label in labels),
        *kinds,
    )


def extreme_images() -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """The golden images without a right answer: all-zero, all-255, noise of many levels once, of 0 and 255 twice.

    Returns:
        The images, uint8 (5, 28, 28), and what each is.
    """
    noise = np.random.Generator(np.random.PCG64(NOISE_SEED)).integers(0, 256, (NOISE, ROWS, COLUMNS), np.uint8)
    noise = np.concatenate([_coarse(noise[:1], NOISE_LEVELS), _coarse(noise[1:], 2)])
    flat = np.stack([np.zeros((ROWS, COLUMNS), np.uint8), np.full((ROWS, COLUMNS), 255, np.uint8)])
    return np.concatenate([flat, noise]), ("all-zero", "all-255", *["noise"] * NOISE)


def evidence(trained: TrainedModel, precision: Precision, run: verification.Run) -> Evidence:
    """A bundle's evidence holds the golden images, PyTorch's logits of them, and what a device may differ by.

    The observed error is taken the way `edge verify` takes it: image by image and as one batch.

    Args:
        trained: the model.
        precision: of the bundle.
        run: the graph that is packed: uint8 (N, 28, 28) to logits and probabilities, each float32 (N, classes).

    Returns:
        The evidence; its limits are those of `edge_export.parity.tolerances.evidence_tolerance`.
    """
    images, kinds = golden_images()
    expected = exact_logits(trained.module, images)
    unlimited = Evidence(images, expected, kinds, max_logit_error=float("inf"), max_flips=len(images))
    replay = verification.replay(run, unlimited, trained.temperature)
    errors, flipped = np.array(replay.image_errors), np.array(replay.flipped)
    digits = np.array([kind.startswith(DRAWN) for kind in kinds])
    # A digit that parity let flip proves nothing on a device: to a model of other classes it is no decision at all.
    if (firm := digits & ~flipped).any():
        kept = firm | ~digits
        images, expected, errors, digits = images[kept], expected[kept], errors[kept], digits[kept]
        kinds = tuple(kind for kind, one in zip(kinds, kept, strict=True) if one)
    # Digits and extremes apart: an unbounded state grows far beyond a digit's on a page that is all ink.
    limits = np.empty(len(kinds))
    for group in (digits, ~digits):
        limits[group] = evidence_tolerance(precision, float(errors[group].max()))
    # Where two logits of an extreme lie closer than twice the tolerance, they may change places within it: that is no
    # defect. A digit may not.
    undecided = int((margins(expected) <= 2 * limits)[~digits].sum())
    return Evidence(images, expected, kinds, float(limits.max()), undecided, tuple(limits.tolist()))


def left_out(proof: Evidence) -> int:
    """How many of the drawn digits are no evidence, because the packed graph reads them otherwise than PyTorch."""
    return STROKES - sum(kind.startswith(DRAWN) for kind in proof.kinds)


def manifest(
    trained: TrainedModel,
    *,
    model: ModelProto,
    precision: Precision,
    quantised: Quantisation | None,
    cpu_only: bool,
    accuracy: Sequence[dict[str, Any]],
    rejection: Rejection | None = None,
    warning: str | None = None,
) -> Manifest:
    """The manifest is what the bundle says about itself; it holds no date, path or time.

    Args:
        trained: the model.
        model: the graph that is packed.
        precision: of the bundle.
        quantised: how int8 came about; `None` for the other precisions.
        cpu_only: whether the graph holds operators that exist for the CPU only.
        accuracy: measured figures of this bundle, as `edge_train.training.evaluation.accuracy_record` writes them.
        rejection: when an answer is none; `None` for a model that does not read digits.
        warning: what is known to be wrong with the model; `None` where nothing is.
    """
    own = [Accuracy(**figure, of="bundle") for figure in accuracy]
    before = [Accuracy(**figure, of="checkpoint") for figure in trained.accuracy]
    return Manifest(
        name=bundle_name(trained, precision),
        model=trained.model,
        architecture=trained.architecture,
        parameters=trained.parameters,
        labels=trained.labels,
        picture=preprocessing.RECIPE,
        precision=precision,
        method="none" if quantised is None else quantised.method,
        int8_weight_share=round(int8_share(model), 4),
        int8_verdict=None if quantised is None else quantised.verdict,
        int8_target=None if quantised is None else quantised.target,
        providers=CPU_ONLY if cpu_only else EVERYWHERE,
        accuracy=(*own, *before),
        temperature=trained.temperature,
        rejection=rejection,
        outputs=OUTPUTS if rejection is None else (*OUTPUTS, SCORE),
        preparation=trained.preparation,
        few_images_vnni=None if quantised is None else quantised.few_images_vnni,
        warning=warning,
        checkpoint_sha256=trained.checkpoint_sha256,
        opset=next(entry.version for entry in model.opset_import if entry.domain == ""),
        ir_version=model.ir_version,
        minimum_onnxruntime=MINIMUM_ONNXRUNTIME,
        versions={
            **{package: metadata.version(package) for package in _MAKERS},
            "onnxruntime": runtime.load().__version__,
        },
    )


def pack(model: ModelProto, facts: Manifest, proof: Evidence, rows: bytes | None = None) -> bytes:
    """A bundle's bytes are the graph, with its score, followed by manifest, evidence and digest.

    Args:
        model: the checked graph.
        facts: its manifest.
        proof: its evidence.
        rows: the piece of graph that `edge_export.pack.row_logits` gives; `None` where there is none.

    Returns:
        The bytes; the same arguments give the same bytes.
    """
    whole = model if facts.rejection is None else add_score(model, facts.rejection)
    return bundle.pack(whole.SerializeToString(deterministic=True), facts, proof, rows)


def _coarse(images: NDArray[np.uint8], levels: int) -> NDArray[np.uint8]:
    """The images with that many grey levels, from 0 to 255 in equal steps."""
    scaled = images.astype(np.uint16) * levels // 256
    return (scaled * 255 // (levels - 1)).astype(np.uint8)

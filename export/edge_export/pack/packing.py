"""From a checked graph to the bytes of a bundle: manifest and evidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import onnxruntime
from onnx import ModelProto

from edge import verification
from edge.bundle import bundle
from edge.bundle.evidence import Evidence
from edge.bundle.manifest import Accuracy, Manifest, ProviderName, Rejection
from edge.picture import picture
from edge_export.int8.rounding import int8_share
from edge_export.int8.target import Target
from edge_export.pack import golden
from edge_export.parity.parity import exact_logits, margins
from edge_export.parity.tolerances import Precision, evidence_tolerance
from edge_export.trained_model import TrainedModel, bundle_name

# The oldest ONNX Runtime that the extra `cpu` admits; the test command replays every shipped bundle on it.
MINIMUM_ONNXRUNTIME = "1.19"

# What a bundle's bytes depend on besides the checkpoint, and ONNX Runtime, whose distribution has one of several names.
_MAKERS = ("edge-toolkit", "torch", "onnx")

EVERYWHERE: tuple[ProviderName, ...] = ("cpu", "cuda")
CPU_ONLY: tuple[ProviderName, ...] = ("cpu",)


@dataclass(frozen=True, slots=True)
class Int8:
    """How int8 came about: the candidate, the processors that it is for, and what it brings, in a sentence.

    `target` is `None` where no product is an integer product: fp32 is right on every processor.
    """

    method: str
    target: Target | None
    verdict: str


def evidence(trained: TrainedModel, precision: Precision, run: verification.Run) -> Evidence:
    """The golden images with PyTorch's logits, and what a target may differ by.

    The observed error is taken the way `edge verify` takes it: image by image and as one batch.

    Args:
        trained: the model.
        precision: of the bundle.
        run: the graph that is packed: uint8 (N, 28, 28) to logits and probabilities, each float32 (N, classes).
    """
    images, kinds = golden.golden()
    expected = exact_logits(trained.module, images)
    unlimited = Evidence(images, expected, kinds, max_logit_error=float("inf"), max_flips=len(images))
    errors = np.array(verification.replay(run, unlimited, trained.temperature).image_errors)
    # Digits and extremes apart: an unbounded state grows far beyond a digit's on a page that is all ink.
    digits = np.array([kind.startswith(golden.STROKE) for kind in kinds])
    limits = np.empty(len(kinds))
    for group in (digits, ~digits):
        limits[group] = evidence_tolerance(precision, float(errors[group].max()))
    # Where two logits lie closer than twice the tolerance, they may change places within it: that is no defect.
    undecided = int((margins(expected) <= 2 * limits).sum())
    return Evidence(images, expected, kinds, float(limits.max()), undecided, tuple(limits.tolist()))


def manifest(
    trained: TrainedModel,
    *,
    model: ModelProto,
    precision: Precision,
    quantised: Int8 | None,
    cpu_only: bool,
    accuracy: Sequence[dict[str, Any]],
    rejection: Rejection | None = None,
) -> Manifest:
    """What the bundle says about itself.

    Args:
        trained: the model.
        model: the graph that is packed.
        precision: of the bundle.
        quantised: how int8 came about; `None` for the other precisions.
        cpu_only: whether the graph holds operators that exist for the CPU only.
        accuracy: measured figures of this bundle, as `edge_train.training.training.record` writes them.
        rejection: when an answer is none; `None` for a model that does not read digits.
    """
    own = [Accuracy(**figure, of="bundle") for figure in accuracy]
    before = [Accuracy(**figure, of="checkpoint") for figure in trained.accuracy]
    return Manifest(
        name=bundle_name(trained, precision),
        model=trained.model,
        architecture=trained.architecture,
        parameters=trained.parameters,
        labels=trained.labels,
        picture=picture.RECIPE,
        precision=precision,
        method="none" if quantised is None else quantised.method,
        int8_weight_share=round(int8_share(model), 4),
        int8_verdict=None if quantised is None else quantised.verdict,
        int8_target=None if quantised is None else quantised.target,
        providers=CPU_ONLY if cpu_only else EVERYWHERE,
        accuracy=(*own, *before),
        temperature=trained.temperature,
        rejection=rejection,
        checkpoint_sha256=trained.checkpoint_sha256,
        opset=next(entry.version for entry in model.opset_import if entry.domain == ""),
        ir_version=model.ir_version,
        minimum_onnxruntime=MINIMUM_ONNXRUNTIME,
        versions={
            **{package: metadata.version(package) for package in _MAKERS},
            "onnxruntime": onnxruntime.__version__,
        },
    )


def pack(model: ModelProto, facts: Manifest, proof: Evidence, rows: bytes | None = None) -> bytes:
    """The bundle's bytes; the same arguments give the same bytes."""
    return bundle.pack(model.SerializeToString(deterministic=True), facts, proof, rows)

"""Verification: replays a bundle's evidence on this machine, without torch.

int8 arithmetic differs between processors, and providers between themselves, so a model is right on a target
only when it was asked there. The last two steps stand on the two before, and are both taken:

    digest      every byte is as it was packed, the manifest is understood, the graph holds what a bundle may, and where
                keys are given, one of them has signed it
    load        onnxruntime accepts the graph on the provider
    placement   every node ran on that provider
    evidence    the logits are PyTorch's within the tolerance, the labels the same, the probabilities and scores theirs

A bundle of a stranger is verified in a child process: `edge.isolation`.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.bundle import bundle, signature
from edge.bundle.bundle import Bundle
from edge.bundle.evidence import Evidence
from edge.bundle.input import OUTPUTS, SCORE
from edge.bundle.signature import Trusted
from edge.classifier.prediction import Scorer, softmax
from edge.errors import BundleError, EdgeError, ProviderError, VerificationError
from edge.session import cpu, session
from edge.session.providers import Provider
from edge.session.session import Session

StepName = Literal["digest", "load", "placement", "evidence"]
STEPS: tuple[StepName, ...] = ("digest", "load", "placement", "evidence")

# A softmax in float16 keeps 11 bits, and each probability is at most 1: half a thousandth, with room for exp.
PROBABILITY_TOLERANCE = 2e-3

# More than a bundle of edge computes in the way for a few (`edge.bundle.branches`).
MANY_IMAGES = 64

# A score in float32, of logits that are tens of its spreads: five digits.
SCORE_TOLERANCE = 1e-3

Run = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], NDArray[np.float32]]]


@dataclass(frozen=True, slots=True)
class Step:
    """The outcome of one step.

    Attributes:
        name: which step.
        passed: whether it holds.
        detail: what was found, in one line.
        figures: the numbers behind it, by name.
    """

    name: StepName
    passed: bool
    detail: str
    figures: dict[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome for one bundle; steps after a failed one are not there.

    Attributes:
        path: the file.
        provider: where it ran, such as "cpu"; None when no session could be made.
        steps: the steps that were taken, in order.
    """

    path: str
    provider: str | None
    steps: tuple[Step, ...]

    @property
    def passed(self) -> bool:
        """Whether every step was taken and holds."""
        return len(self.steps) == len(STEPS) and all(step.passed for step in self.steps)

    @property
    def failed(self) -> Step | None:
        """The first step that does not hold; None where every step that was taken does."""
        return next((step for step in self.steps if not step.passed), None)

    def raise_if_failed(self) -> None:
        """Turns a failure into an error.

        Raises:
            VerificationError: a step does not hold; the message says which, and why.
        """
        if (step := self.failed) is not None:
            raise VerificationError(f"{self.path} fails at {step.name}: {step.detail}")


@dataclass(frozen=True, slots=True)
class Replay:
    """How far a model is from its evidence.

    Attributes:
        images: number of golden images.
        max_logit_error: largest absolute difference of a logit.
        image_errors: the same for each image.
        mean_logit_error: mean absolute difference of the logits.
        flipped: for each image, whether it got another label than PyTorch gave.
        flips: how many did.
        digit_flips: those of them that are drawn, and no page of one grey or of noise.
        max_probability_error: largest absolute difference of a probability from the softmax of the logits that
            the model gave, divided by the temperature.
    """

    images: int
    max_logit_error: float
    image_errors: tuple[float, ...]
    mean_logit_error: float
    flipped: tuple[bool, ...]
    flips: int
    digit_flips: int
    max_probability_error: float


def verify(
    path: str | os.PathLike[str],
    provider: Provider = "auto",
    *,
    trusted: Trusted | None = None,
    provider_options: Mapping[str, str] | None = None,
) -> Verification:
    """Takes the four steps on this machine, in this process.

    Args:
        path: the bundle.
        provider: "cpu", "cuda" or the short name of another one, or "auto" for CUDA where it works.
        trusted: public keys, one of which must have signed the bundle: paths of PEM files, or 64 hexadecimal digits
            each. None takes those that the environment variable `EDGE_TRUSTED_KEYS` names.
        provider_options: settings of the provider, as ONNX Runtime names them.

    Returns:
        The outcome; what fails is in it, not raised.

    Raises:
        KeyFileError: a public key cannot be read.
        InputError: an unknown provider, or settings for one that takes none.
    """
    taken = list(steps(path, provider, signature.public_keys(trusted), provider_options))
    return Verification(os.fspath(path), taken[-1][1], tuple(step for step, _ in taken))


def steps(
    path: str | os.PathLike[str],
    provider: Provider,
    keys: tuple[str, ...],
    provider_options: Mapping[str, str] | None = None,
) -> Iterator[tuple[Step, str | None]]:
    """Takes the steps, one after the other.

    Args:
        path: the bundle.
        provider: as `verify` takes it.
        keys: public keys, one of which must have signed it; none asks for no signature.
        provider_options: as `verify` takes them.

    Yields:
        Each step, and where the model runs, as far as that is known.
    """
    try:
        source = bundle.read(path, trusted=keys)
    except BundleError as error:
        yield Step("digest", passed=False, detail=str(error)), None
        return
    yield _digest_step(source, checked=bool(keys)), None
    try:
        running = session.create(
            source.data, provider=provider, manifest=source.manifest, provider_options=provider_options
        )
    except (ProviderError, BundleError, MemoryError) as error:
        yield Step("load", passed=False, detail=str(error) or "there is not enough memory for it"), None
        return
    yield _load_step(source, running), running.provider
    following: tuple[tuple[StepName, Callable[[Bundle, Session], Step]], ...] = (
        ("placement", _placement_step),
        ("evidence", _evidence_step),
    )
    for name, take in following:
        try:
            yield take(source, running), running.provider
        except (EdgeError, MemoryError) as error:
            yield Step(name, passed=False, detail=str(error) or "there is not enough memory for it"), running.provider


def table(outcome: Verification) -> list[tuple[str, str, str]]:
    """The steps as rows of a table: the name, whether it holds, and what was found; those not taken at the end.

    Args:
        outcome: of one bundle.
    """
    rows = [(f"  {step.name}", "ok" if step.passed else "FAILED", step.detail) for step in outcome.steps]
    return rows + [(f"  {step}", "skipped", "") for step in STEPS[len(outcome.steps) :]]


def replay(run: Run, evidence: Evidence, temperature: float = 1.0) -> Replay:
    """Asks a model for the golden images, one by one, all at once, and among many, and compares it with PyTorch.

    A graph may compute many images in another way than a few, and dynamic quantisation scales a batch as a whole: the
    worst counts.

    Args:
        run: uint8 (N, 28, 28) to logits and probabilities, each float32 (N, classes).
        evidence: golden images and PyTorch's logits.
        temperature: divisor of the logits before the softmax.

    Raises:
        BundleError: the model answers with arrays of another shape.
    """
    count, shape = len(evidence.images), evidence.logits.shape
    runs = [run(evidence.images)]
    many = run(np.resize(evidence.images, (max(count, MANY_IMAGES), *evidence.images.shape[1:])))
    runs.append((many[0][:count], many[1][:count]))
    singles = [run(evidence.images[index : index + 1]) for index in range(count)]
    runs.append((np.concatenate([one[0] for one in singles]), np.concatenate([one[1] for one in singles])))
    if wrong := [array.shape for one in runs for array in one if array.shape != shape]:
        raise BundleError(
            f"the graph answers {count} images with an array of shape {wrong[0]}, not {shape}; re-export it"
        )
    logits = np.stack([one[0] for one in runs]).astype(np.float64)  # (3, N, classes)
    probabilities = np.stack([one[1] for one in runs]).astype(np.float64)
    errors = np.abs(logits - evidence.logits)
    flipped = (logits.argmax(-1) != evidence.logits.argmax(-1)).any(0)
    return Replay(
        images=count,
        max_logit_error=float(errors.max()),
        image_errors=tuple(errors.max(axis=(0, 2)).tolist()),
        mean_logit_error=float(errors.mean()),
        flipped=tuple(flipped.tolist()),
        flips=int(flipped.sum()),
        digit_flips=int(flipped[evidence.digits].sum()),
        max_probability_error=float(np.abs(probabilities - softmax(logits / temperature)).max()),
    )


def _digest_step(source: Bundle, *, checked: bool) -> Step:
    figures: dict[str, float | int | str] = {"size_bytes": source.size, "sha256": source.sha256}
    detail = f"{source.size} bytes, SHA-256 {source.sha256[:12]}..."
    if checked and source.seal is not None:
        figures["signed_by"] = source.seal.key
        detail += f", signed by {source.seal.key[:12]}..."
    return Step("digest", passed=True, detail=detail, figures=figures)


def _load_step(source: Bundle, running: Session) -> Step:
    threads = "1 thread" if running.threads == 1 else f"{running.threads} threads"
    note = source.manifest.picture_note
    detail = f"{running.provider}, {threads} ({running.reason})" + (f"; {note}" if note else "")
    return Step("load", passed=True, detail=detail)


def _placement_step(source: Bundle, running: Session) -> Step:
    try:
        placed = session.placement(
            source.data,
            running.provider,
            manifest=source.manifest,
            provider_options=running.provider_options,
        )
    except session.NoProfileError as error:
        detail = f"not measured, {error}; the session may use {running.provider} only"
        return Step("placement", passed=True, detail=detail)
    strays = [node for node, provider in placed.items() if provider != running.provider]
    figures: dict[str, float | int | str] = {"nodes": len(placed), "nodes_elsewhere": len(strays)}
    if strays or not placed:
        detail = f"{len(strays)} of {len(placed)} nodes ran elsewhere ({', '.join(strays[:3])}); use --provider cpu"
        return Step("placement", passed=False, detail=detail, figures=figures)
    return Step("placement", passed=True, detail=f"all {len(placed)} nodes on {running.provider}", figures=figures)


def _evidence_step(source: Bundle, running: Session) -> Step:
    evidence = source.evidence
    if evidence.logits.shape[1] != len(source.manifest.labels):
        detail = f"it has {evidence.logits.shape[1]} classes for {len(source.manifest.labels)} labels; re-export it"
        return Step("evidence", passed=False, detail=detail)
    result = replay(running.run_whole, evidence, source.manifest.temperature)
    score_error = _score_error(source, running, evidence)
    worst = _worst(result, evidence)
    largest, allowed = result.image_errors[worst], evidence.limit(worst)
    figures: dict[str, float | int | str] = {
        "images": result.images,
        "max_logit_error": largest,
        "max_logit_error_allowed": allowed,
        "max_logit_error_image": evidence.kinds[worst],
        "mean_logit_error": result.mean_logit_error,
        "flips": result.flips,
        "digit_flips": result.digit_flips,
        "flips_allowed": evidence.max_flips,
        "max_probability_error": result.max_probability_error,
        "max_score_error": score_error,
    }
    complaints = _complaints(result, evidence)
    if not score_error <= SCORE_TOLERANCE:
        complaints.append(f"the scores are {score_error:.1e} off what the logits say (allowed {SCORE_TOLERANCE:.0e})")
    if complaints and (reason := _saturation(source.manifest.int8_target)):
        complaints.append(reason)
    digits = int(evidence.digits.sum())
    found = (
        f"{result.images} images, max |logit error| {largest:.2e} (allowed {allowed:.2e}), "
        f"mean {result.mean_logit_error:.2e}, "
        f"{result.digit_flips} of {digits} digits flip (allowed 0), "
        f"{result.flips - result.digit_flips} of {result.images - digits} extremes "
        f"(allowed {min(evidence.max_flips, result.images - digits)})"
    )
    detail = "; ".join([found, *complaints])
    return Step("evidence", passed=not complaints, detail=detail, figures=figures)


def _score_error(source: Bundle, running: Session, evidence: Evidence) -> float:
    """How far the graph's scores are from those of its own logits, as a share of each, or of 1 where it is less."""
    if source.manifest.rejection is None or not running.has_score:
        return 0.0
    logits, scores = running.fetch((OUTPUTS[0], SCORE), evidence.images)
    expected = Scorer.of(source.manifest.rejection).scores(logits)
    return float((np.abs(scores - expected) / np.maximum(np.abs(expected), 1)).max())


def _saturation(target: str | None) -> str:
    """Why int8 for some processors fails on this one, in words; empty where that is not the cause."""
    if target in {None, cpu.ANY_TARGET} or cpu.int8_is_exact() is not False:
        return ""
    return f"the bundle is for {target}, and products saturate on this processor: export it with --target any"


def _worst(result: Replay, evidence: Evidence) -> int:
    """The image that comes closest to its limit, or exceeds it by most; one that is not a number above all."""
    shares = [error / evidence.limit(index) for index, error in enumerate(result.image_errors)]
    return int(np.argmax(np.nan_to_num(shares, nan=np.inf)))


def _complaints(result: Replay, evidence: Evidence) -> list[str]:
    """What does not hold, each with the tolerance that would have passed. Written so that NaN never passes."""
    complaints = []
    worst = _worst(result, evidence)
    if not (largest := result.image_errors[worst]) <= evidence.limit(worst):
        complaints.append(f"{evidence.kinds[worst]}: a tolerance of {_rounded_up(largest)} would have passed")
    if result.digit_flips:
        complaints.append(f"{result.digit_flips} digits get another label than PyTorch gave")
    elif result.flips > evidence.max_flips:
        complaints.append(f"{result.flips} flips of extremes allowed would have passed")
    if not result.max_probability_error <= PROBABILITY_TOLERANCE:
        complaints.append(
            f"the probabilities are {result.max_probability_error:.1e} off the softmax of the logits "
            f"(allowed {PROBABILITY_TOLERANCE:.0e})"
        )
    return complaints


def _rounded_up(value: float) -> str:
    # Two digits rounded to the nearest could fall below the value: a tenth more never does.
    return f"{value * 1.1:.1e}" if np.isfinite(value) else "no size"

"""C99: a model as one file without a library, whose self-test holds on any processor the bits that were verified here.

`matrices` makes the integers, `referee` computes with them in numpy, `text` writes them into the templates, and
`compilation` asks the compiler at hand. What counts is judged on the referee over the whole judging data; the C is held
to its bits.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from edge.bundle.bundle import Bundle
from edge.text.files import make_folder, write_together
from edge.text.table import size
from edge.verification import Step, Verification
from edge_export.graph import session
from edge_export.int8.convolutional import blocks
from edge_export.int8.convolutional.network import UnsuitableError
from edge_export.int8.processors import PROFILES
from edge_export.parity import evaluation_data
from edge_export.parity.comparison import BULK
from edge_export.parity.evaluation_data import EvaluationData
from edge_export.parity.tolerances import EVIDENCE_FLOOR, EVIDENCE_HEADROOM, broken_tolerances, with_budget
from edge_export.targets.c import compilation, matrices, referee, text
from edge_export.targets.c.matrices import CNetwork
from edge_export.targets.registry import AS_IT_IS, DeploymentError, TargetRequest, WrittenTarget, refuse_unless_verified

FLOATS_JUDGED = 100  # images: fp32 differs from PyTorch by rounding, and its referee takes a hundred times as long


@dataclass(frozen=True, slots=True, eq=False)
class CForm:
    """A network as C, judged and compiled.

    Attributes:
        name: as a bundle is called.
        precision: "int8" or "fp32".
        source: the two files.
        verdict: what it is worth, in a sentence.
        golden: float32 (N, classes), its logits of the golden images.
        limits: float64 (N,), how far each of them may be from PyTorch's.
        tests: the self-tests that were run here.
    """

    name: str
    precision: str
    source: text.CSource
    verdict: str
    golden: NDArray[np.float32]
    limits: NDArray[np.float64]
    tests: tuple[compilation.SelfTest, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know, a line each."""
        ran = [f"self-test passed: {one.compiler}, {' '.join(one.flags)}" for one in self.tests]
        return (
            self.verdict,
            f"{size(self.source.constant_bytes)} of constants, {size(self.source.stack_bytes)} of stack",
            *(ran or ["self-test not run, because there is no C compiler `cc` here (Debian: apt install gcc)"]),
        )


def write(source: Bundle, out: Path, request: TargetRequest = AS_IT_IS) -> WrittenTarget:
    """Writes `NAME.c` and `NAME.h`.

    Args:
        source: the bundle.
        out: folder of what is written.
        request: precision, int8 unless another is named, the fp32 graph, and what int8 is judged on.

    Raises:
        DeploymentError: the model has no form in C, int8 loses too much, or the evidence or the compiled bits do not
            hold.
        WriteError: the folder cannot be made or written.
    """
    made = form(source, request)
    replay = verified(made, source)
    name = made.source.name
    make_folder(out)
    contents = {out / f"{name}.c": made.source.code.encode(), out / f"{name}.h": made.source.header.encode()}
    write_together(contents)
    advice = f"where it will run: cc -std=c99 -O2 -D{name.upper()}_SELF_TEST {name}.c && ./a.out"
    return WrittenTarget(tuple(contents), replay, (*made.notes, advice))


def form(source: Bundle, request: TargetRequest = AS_IT_IS) -> CForm:
    """The C of a bundle, judged on the referee, with its self-test run by the compiler at hand.

    Args:
        source: the bundle.
        request: precision, int8 unless another is named, the fp32 graph, and what int8 is judged on.

    Raises:
        DeploymentError: the model has no form in C, int8 loses too much, or the compiler does not take it.
    """
    manifest = source.manifest
    precision = request.precision or ("fp32" if manifest.precision == "fp16" else "int8")
    base = manifest.name.removesuffix(f"-{manifest.precision}")
    network, verdict, golden, limits = _judged(source, replace(request, precision=precision))
    name = base if precision == "fp32" else f"{base}-{precision}"
    written = text.write(network, source, name, verdict, golden)
    return CForm(name, precision, written, verdict, golden, limits, tuple(compilation.run_self_test(written)))


def verified(made: CForm, source: Bundle) -> Verification:
    """The steps of a verification, as far as they mean something for C.

    Args:
        made: what `form` made of it.
        source: the bundle.

    Raises:
        DeploymentError: one of them does not hold.
    """
    evidence, tests = source.evidence, made.tests
    error = np.abs(made.golden - evidence.logits).max(1)
    flipped = (made.golden.argmax(1) != evidence.logits.argmax(1)) & evidence.digits
    over = error > made.limits
    failed = [one for one in tests if not one.passed]
    detail = (
        f"{len(error)} images, max |logit error| {error.max():.2e}, {int(over.sum())} above their limit, "
        f"{int(flipped.sum())} of {int(evidence.digits.sum())} digits flip (allowed 0)"
    )
    if failed:
        detail += f"; {failed[0].compiler} {' '.join(failed[0].flags)} computes other bits than the referee"
    elif tests:
        detail += "; compiled, it has the referee's bits"
    compiled = f"compiled by {tests[0].compiler}" if tests else "computed by the referee: no C compiler here"
    steps = (
        Step("digest", passed=True, detail=f"made from {source.manifest.name}, SHA-256 {source.sha256[:12]}..."),
        Step("load", passed=True, detail=compiled),
        Step("placement", passed=True, detail=f"{made.source.constant_bytes} bytes of constants, no library"),
        Step("evidence", passed=not (over.any() or flipped.any() or failed), detail=detail),
    )
    replay = Verification(made.source.name, "c", steps)
    refuse_unless_verified(replay, "C form")
    return replay


def network_of(source: Bundle, request: TargetRequest = AS_IT_IS, data: EvaluationData | None = None) -> CNetwork:
    """The network that `write` makes C of: what `referee.logits` takes.

    An integer chain of a bundle is taken as it is; all else is made of fp32, calibrated as a bundle is.

    Args:
        source: the bundle.
        request: precision, int8 unless another is named, the fp32 graph, and what it is calibrated on.
        data: that, where it is at hand already.

    Raises:
        DeploymentError: the model has no form in C.
    """
    precision, calibration = request.precision or "int8", (data or _data(source, request)).calibration
    try:
        if _is_chain(source, precision):
            return matrices.chain(onnx.load_from_string(source.data), precision)
        fp32 = _fp32(source, request)
        if fp32 is None:
            raise DeploymentError(
                "a packed int8 or fp16 bundle holds no weights that C could round in its own way; give the fp32 "
                "bundle, or export from the checkpoint: edge export --model NAME --to c"
            )
        found = matrices.recurrent(fp32, precision, calibration)
        if found is not None:
            return found
        if precision == "int8":
            fp32 = blocks.build(fp32, calibration, PROFILES["any"].bits)
        return matrices.chain(fp32, precision)
    except UnsuitableError as error:
        raise DeploymentError(f"the model has no form in C: {error}; deploy the bundle itself") from error


def _data(source: Bundle, request: TargetRequest) -> EvaluationData:
    manifest = source.manifest
    trained_on = next((one.data for one in manifest.accuracy), None)
    data = evaluation_data.find(request.data, request.data_dir, trained_on=trained_on, labels=manifest.labels)
    return data.in_order(manifest.labels)


def _fp32(source: Bundle, request: TargetRequest) -> ModelProto | None:
    """The graph of the weights; `None` where there are rounded ones only."""
    return onnx.load_from_string(source.data) if source.manifest.precision == "fp32" else request.fp32


def _is_chain(source: Bundle, precision: str) -> bool:
    """Whether the bundle is a chain of integers already, which is taken as it is."""
    return source.manifest.precision == "int8" == precision and b"stage.0.weight" in source.data


def _judged(source: Bundle, request: TargetRequest) -> tuple[CNetwork, str, NDArray[np.float32], NDArray[np.float64]]:
    """The network, its verdict, its logits of the golden images, and how far they may be from PyTorch's."""
    manifest, evidence = source.manifest, source.evidence
    data, fp32 = _data(source, request), _fp32(source, request)
    made = network_of(source, request, data)
    precision = made.precision
    images = data.parity.images if precision == "int8" else data.parity.images[:FLOATS_JUDGED]
    labels = data.parity.labels[: len(images)]
    running = session.open_session(onnx.load_from_string(source.data) if fp32 is None else fp32)
    expected, golden_expected = (session.run(running, each, BULK)[0] for each in (images, evidence.images))
    found, golden = (referee.logits(made, each) for each in (images, evidence.images))
    apart, golden_apart = (np.abs(one - other) for one, other in ((found, expected), (golden, golden_expected)))
    flips = int((found.argmax(1) != expected.argmax(1)).sum())
    right, before = (float((each.argmax(1) == labels).mean()) for each in (found, expected))
    labelled = data.labels == manifest.labels
    drop = 100 * (before - right) if labelled else 0.0
    tolerance = with_budget(request.max_drop)["int8" if precision == "int8" else "fp32"]
    if broken := broken_tolerances(tolerance, float(apart.max()), flips, len(images), drop):
        raise DeploymentError(f"{precision} in C: {'; '.join(broken)}; nothing was written; take --precision fp32")
    against = "the bundle's" if fp32 is None else "fp32's"
    verdict = (
        f"{precision} in C: {flips} of {len(images)} {data.parity.name} labels are not {against}"
        + (f", accuracy {0.0 - drop:+.2f} points" if labelled else "")
        + f", logits at most {apart.max():.2g} off"
    )
    limits = np.array([evidence.limit(index) for index in range(len(evidence.kinds))])
    if precision == "int8" and not _is_chain(source, precision):
        # The bundle's limits are another arithmetic's: PyTorch's logits lie as near as those of its fp32 graph do.
        for group, worst in ((evidence.digits, apart.max()), (~evidence.digits, 0.0)):
            seen = max(worst, golden_apart[group].max(initial=0.0))
            limits[group] = max(EVIDENCE_FLOOR["int8"], EVIDENCE_HEADROOM * seen)
    return made, verdict, golden, limits

"""C99: a model as one file without a library, whose self-test holds on any processor the bits that were verified here.

`matrices` makes the integers, `referee` computes with them in numpy, `text` writes them into the templates, and
`compilation` asks the compilers at hand. What counts is judged on the referee over the whole judging data; the C is
held to its bits.
"""

import base64
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from edge.bundle import bundle
from edge.bundle.bundle import Bundle
from edge.bundle.evidence import Evidence
from edge.bundle.graph import encode_metadata
from edge.bundle.manifest import Manifest
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
from edge_export.parity.tolerances import broken_tolerances, evidence_tolerance, with_budget
from edge_export.targets.c import compilation, matrices, referee, text
from edge_export.targets.registry import AS_IT_IS, DeploymentError, TargetRequest, WrittenTarget, refuse_unless_verified

FLOATS_JUDGED = 100  # images: fp32 differs from PyTorch by rounding, and its referee takes a hundred times as long


@dataclass(frozen=True, slots=True, eq=False)
class CForm:
    """A network as C, judged, compiled and verified.

    Attributes:
        source: the two files.
        manifest: as a bundle of it would have it.
        evidence: that of the bundle, with what C may differ by.
        golden: float32 (N, classes), its logits of the golden images.
        replay: the steps of a verification, as far as they mean something for C.
        notes: what a user should know, a line each.
    """

    source: text.CSource
    manifest: Manifest
    evidence: Evidence
    golden: NDArray[np.float32]
    replay: Verification
    notes: tuple[str, ...]


def write(source: Bundle, out: Path, request: TargetRequest = AS_IT_IS) -> WrittenTarget:
    """Writes `NAME.c` and `NAME.h`.

    Args:
        source: the bundle.
        out: folder of what is written.
        request: as for `form`.

    Raises:
        DeploymentError: as of `form`.
        WriteError: the folder cannot be made or written.
    """
    made = form(source, request)
    name = made.source.name
    contents = {out / f"{name}.c": made.source.code.encode(), out / f"{name}.h": made.source.header.encode()}
    make_folder(out)
    write_together(contents)
    advice = f"where it will run: cc -std=c99 -O2 -D{name.upper()}_SELF_TEST {name}.c && ./a.out"
    return WrittenTarget(tuple(contents), made.replay, (*made.notes, advice))


def form(source: Bundle, request: TargetRequest = AS_IT_IS) -> CForm:
    """The C of a bundle, judged on the referee, with its self-test run by the compiler at hand.

    Args:
        source: the bundle.
        request: precision, int8 unless another is named, the fp32 graph, and what int8 is judged on.

    Raises:
        DeploymentError: the model has no form in C, int8 loses too much, the compiler does not take it, or the evidence
            or the compiled bits do not hold.
    """
    manifest, evidence, data = source.manifest, source.evidence, _data(source, request)
    precision = request.precision or ("fp32" if manifest.precision == "fp16" else "int8")
    exact, base = precision == "int8", manifest.name.removesuffix(f"-{manifest.precision}")
    name = f"{base}-{precision}" if precision != "fp32" else base
    made, fp32 = network_of(source, replace(request, precision=precision), data), _fp32(source, request)
    judged = None if exact else FLOATS_JUDGED
    images, labels = data.parity.images[:judged], data.parity.labels[:judged]
    running = session.open_session(onnx.load_from_string(source.data) if fp32 is None else fp32)
    expected, found = session.run(running, images, BULK)[0], referee.logits(made, images)
    apart, flips = float(np.abs(found - expected).max()), int((found.argmax(1) != expected.argmax(1)).sum())
    lost = 100 * float((expected.argmax(1) == labels).mean() - (found.argmax(1) == labels).mean())
    labelled, tolerance = data.labels == manifest.labels, with_budget(request.max_drop)["int8" if exact else "fp32"]
    if broken := broken_tolerances(tolerance, apart, flips, len(images), lost if labelled else 0.0):
        raise DeploymentError(f"{precision} in C: {'; '.join(broken)}; nothing was written; take --precision fp32")
    verdict = (
        f"{precision} in C: {flips} of {len(images)} {data.parity.name} labels are not "
        f"{'the bundle' if fp32 is None else 'fp32'}'s{f', accuracy {0.0 - lost:+.2f} points' if labelled else ''}, "
        f"logits at most {apart:.2g} off"
    )
    golden = referee.logits(made, evidence.images)
    error, flipped = np.abs(golden - evidence.logits).max(1), golden.argmax(1) != evidence.logits.argmax(1)
    limits = np.array([evidence.limit(index) for index in range(len(error))])
    if exact and not _is_chain(source, precision):
        # The bundle's limits are another arithmetic's: PyTorch's logits lie as near as those of its fp32 graph do.
        near = np.abs(golden - session.run(running, evidence.images, BULK)[0]).max(1)
        for group, worst in ((evidence.digits, apart), (~evidence.digits, 0.0)):
            limits[group] = evidence_tolerance("int8", max(worst, float(near[group].max(initial=0.0))))
    over, wrong = int((error > limits).sum()), int((flipped & evidence.digits).sum())
    written = text.write(made, source, name, verdict, golden)
    tests = compilation.run_self_test(written)
    failed = [build for build, test in tests.items() if test.returncode]
    bits = f"; {failed[0]} computes other bits than the referee" if failed else "; compiled, it has the referee's bits"
    detail = (
        f"{len(error)} images, max |logit error| {error.max():.2e}, {over} above their limit, "
        f"{wrong} of {int(evidence.digits.sum())} digits flip (allowed 0){bits if tests else ''}"
    )
    steps = (
        Step("digest", passed=True, detail=f"made from {manifest.name}, SHA-256 {source.sha256[:12]}..."),
        Step("load", passed=True, detail=f"compiled by {next(iter(tests), 'nobody: the referee computes')}"),
        Step("placement", passed=True, detail=f"{written.constant_bytes} bytes of constants, no library"),
        Step("evidence", passed=not (over or wrong or failed), detail=detail),
    )
    replay = Verification(written.name, "c", steps)
    refuse_unless_verified(replay, "C form")
    missing = "self-test not run, because there is no C compiler `cc` here (Debian: apt install gcc)"
    told = [f"self-test passed: {build}" for build in tests] or [missing]
    notes = (verdict, f"{size(written.constant_bytes)} of constants, {size(written.stack_bytes)} of stack", *told)
    flips = max(int(flipped.sum()), evidence.max_flips)  # an extreme is of no class: other arithmetic may say another
    allowed = replace(evidence, limits=tuple(map(float, limits)), max_logit_error=float(limits.max()), max_flips=flips)
    own = replace(manifest, name=f"{name}-c", precision=precision, method="c", accuracy=())
    return CForm(written, replace(own, int8_verdict=verdict if exact else None), allowed, golden, replay, notes)


def pack(made: CForm, source: Bundle) -> Bundle:
    """The form in WebAssembly as `edge.mjs` opens it: a bundle with the module in place of a graph, and its bits.

    Args:
        made: the C form.
        source: the bundle that it was made from.

    Raises:
        DeploymentError: there is no compiler for WebAssembly, or it does not take the file.
    """
    module, compiler = compilation.module(made.source)
    facts = {
        "classes": len(made.manifest.labels),
        "compiler": compiler,
        "source": {"name": source.manifest.name, "sha256": source.sha256},
        "wasm": base64.b64encode(module).decode(),
    }
    entries = {
        "edge.wasm": json.dumps(facts, sort_keys=True, separators=(",", ":")),
        "edge.bits": hashlib.sha256(made.golden.astype("<f4").tobytes()).hexdigest(),
    }
    data = b"".join(map(encode_metadata, entries, entries.values()))
    return bundle.read(bundle.pack(data, made.manifest, made.evidence))


def network_of(
    source: Bundle, request: TargetRequest = AS_IT_IS, data: EvaluationData | None = None
) -> matrices.CNetwork:
    """The network that `write` makes C of, which `referee.logits` takes.

    An integer chain of a bundle is taken as it is; all else is made of fp32, calibrated as a bundle is.

    Args:
        source: the bundle.
        request: precision, int8 unless another is named, the fp32 graph, and what it is calibrated on.
        data: that, where it is at hand already.

    Raises:
        DeploymentError: the model has no form in C.
    """
    precision, fp32 = request.precision or "int8", _fp32(source, request)
    try:
        if _is_chain(source, precision):
            return matrices.chain(onnx.load_from_string(source.data), precision)
        if fp32 is None:
            raise DeploymentError(
                "a packed int8 or fp16 bundle holds no weights that C could round in its own way; give the fp32 "
                "bundle, or export from the checkpoint: edge export --model NAME --to c"
            )
        calibration = (data or _data(source, request)).calibration
        found = matrices.recurrent(fp32, precision, calibration)
        if found is None and precision == "int8":
            fp32 = blocks.build(fp32, calibration, PROFILES["any"].bits)
        return found or matrices.chain(fp32, precision)
    except UnsuitableError as error:
        raise DeploymentError(f"the model has no form in C: {error}; deploy the bundle itself") from error


def _data(source: Bundle, request: TargetRequest) -> EvaluationData:
    labels, trained_on = source.manifest.labels, next((one.data for one in source.manifest.accuracy), None)
    data = evaluation_data.find(request.data, request.data_dir, trained_on=trained_on, labels=labels)
    return data.in_order(labels)


def _fp32(source: Bundle, request: TargetRequest) -> onnx.ModelProto | None:
    """The graph of the weights; `None` where there are rounded ones only."""
    return onnx.load_from_string(source.data) if source.manifest.precision == "fp32" else request.fp32


def _is_chain(source: Bundle, precision: str) -> bool:
    """Whether the bundle is a chain of integers already, which is taken as it is."""
    return source.manifest.precision == "int8" == precision and b"stage.0.weight" in source.data

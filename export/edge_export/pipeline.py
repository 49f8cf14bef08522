"""An export from request to files, in named steps. Nothing is written before everything holds."""

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edge.bundle.manifest import Precision
from edge.session import cpu
from edge.text.terminal import printable
from edge_export.graph import exporters, fp16, session
from edge_export.graph.builder import Converted, Tap
from edge_export.graph.session import RuntimeSession
from edge_export.int8 import candidates, latency, processors, selection
from edge_export.int8.processors import PROFILES
from edge_export.int8.quantisation import int8_share
from edge_export.int8.selection import Measured
from edge_export.model import diagnosis, trained_model
from edge_export.model.diagnosis import UnfitForItsJobError
from edge_export.model.trained_model import NOTHING_TOLD, Told, TrainedModel
from edge_export.model.tried_forms import Options
from edge_export.options import Goal, Target
from edge_export.pack import artifacts, packing, rejection_threshold, row_logits, tables
from edge_export.pack.artifacts import CheckedExport, Exported
from edge_export.parity import comparison, evaluation_data, layerwise, round_trip
from edge_export.parity.comparison import Logits, ParityError, ParityRow, Reference
from edge_export.parity.evaluation_data import EvaluationData
from edge_export.parity.tolerances import with_budget
from edge_train.training.evaluation import accuracy_record, logits_of

LOCATE_IMAGES = 64  # enough to show where an error begins, few enough to keep every tensor of them

# What each of `graph.exporters` is called for people.
EXPORTER_WORDS = {
    "tracing": "tracing exporter",
    "exported program": "newer exporter, torch.export",
    "picture by picture": "tracing exporter, and repeated for each picture, because its forward loops over them",
}

DEFAULT_OUT = Path("bundles")

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What was asked for on the command line.

    Attributes:
        model: a name, or `package.module:factory`; `None` takes the checkpoint's.
        checkpoint: the trained weights; `None` takes those that are shipped.
        labels: a text file with one label a line; `None` takes the checkpoint's, or the ten digits.
        precision: of the bundle.
        data: what parity is judged on, as `edge_export.parity.evaluation_data.find` takes it.
        data_dir: where published sets are.
        out: folder of the bundle and its report.
        goal: decides among the int8 candidates.
        max_drop: accuracy that int8 may lose, in percentage points.
        candidate: the int8 candidate that is taken without a choice.
        target: the processors that int8 is for.
        force: whether int8 that does not beat fp32, or a model that reads its data badly, is packed.
        told: what is known of somebody's own model.
    """

    model: str | None = None
    checkpoint: Path | None = None
    labels: Path | None = None
    precision: Precision = "fp32"
    data: str = "auto"
    data_dir: Path | None = None
    out: Path = DEFAULT_OUT
    goal: Goal = "balanced"
    max_drop: float = 0.1
    candidate: str | None = None
    target: Target = "any"
    force: bool = False
    told: Told = NOTHING_TOLD


def export(request: ExportRequest, tell: Tell) -> Exported:
    """Converts, quantises, compares and packs; writes the bundle and its report when every tolerance holds.

    Args:
        request: what to export, and how.
        tell: takes a line of progress.

    Raises:
        ParityError: a tolerance is broken; the message says which, what would have passed, and where it begins.
        NotWorthwhileError: no int8 candidate beats fp32 for the goal.
        EdgeError: the checkpoint, the model or the data cannot be used.
    """
    if request.precision == "int8":
        processors.check(request.target, exact_here=cpu.int8_is_exact())
    chosen = trained_model.find(request.model, request.checkpoint, request.labels, request.told, tell)
    data = evaluation_data.find(request.data, request.data_dir, trained_on=chosen.trained_on, labels=chosen.labels)
    chosen = chosen.labelled_by(data.labels)
    data = data.in_order(chosen.labels)
    extremes, _ = packing.extreme_images()
    reference = comparison.reference(
        chosen.module,
        data.parity,
        extremes,
        temperature=chosen.temperature,
        labelled=chosen.labels == data.labels,
        tolerances=with_budget(request.max_drop),
    )
    if chosen.preparation is not None:  # somebody's own: nobody knows how large its logits are
        reference = replace(reference, by_magnitude=True)

    warning = _warning(request, chosen, data, reference, tell)

    tell("step 1/4 convert: PyTorch to an fp32 graph")
    converted = chosen.convert()
    if converted.exporter is not None:
        tell(f"  by torch's {EXPORTER_WORDS[converted.exporter]}: {len(converted.model.graph.node)} nodes")
    fp32 = session.open_session(converted.model)
    rows = _compared(chosen, converted.taps, converted.model, "fp32", reference)

    tell(f"step 2/4 quantise: {_intention(request, data)}")
    measured: tuple[Measured, ...] = ()
    taken: Measured | None = None
    model = converted.model
    if request.precision == "int8":
        measured = _measured(request, converted, data, reference, tell)
        taken = _best(request, chosen, converted, measured, reference, tell=tell)
        model = taken.quantised.model
    elif request.precision == "fp16":
        model = fp16.to_fp16(model)

    batches = ", ".join(map(str, comparison.BATCHES))
    tell(f"step 3/4 parity: {len(data.parity):,} {data.parity.name} images at batches {batches}")
    final = fp32
    if request.precision != "fp32":
        final = session.open_session(model)
        rows += _compared(chosen, converted.taps, model, request.precision, reference)
    bulk, _ = session.run(final, data.parity.images, comparison.BULK)
    latencies = () if taken is None else taken.latencies
    if request.precision == "fp16":
        latencies = latency.measure(fp32, {"fp16": final}, data.parity.images, batches=latency.ENDS)["fp16"]

    tell("step 4/4 pack: manifest, evidence, digest; then the bundle itself, and PNG files, through the runtime")
    facts = packing.manifest(
        chosen,
        model=model,
        precision=request.precision,
        quantised=None if taken is None else _int8(request, taken, rows),
        cpu_only=taken is not None and bool(taken.quantised.cpu_only),
        accuracy=_accuracy(final, data, bulk) if reference.labelled else [],
        rejection=rejection_threshold.fit(bulk, data.parity) if reference.labelled else None,
        warning=warning,
    )
    proof = packing.evidence(chosen, request.precision, lambda images: session.run(final, images, len(images)))
    packed = packing.pack(
        model,
        facts,
        proof,
        row_logits.of(chosen, model, None if taken is None else taken.quantised),
    )
    row_logits.check(packed, request.precision)
    rows += round_trip.compare(packed, request.precision, reference)
    return artifacts.write(
        request.out,
        CheckedExport(
            name=facts.name,
            packed=packed,
            labels=chosen.labels,
            rows=tuple(rows),
            latencies=latencies,
            candidates=measured,
            goal=request.goal,
            reference=reference,
            logits=bulk,
            calibration=data.calibration_name if taken is not None and taken.quantised.calibrated else None,
            reported_only=None if data.test is None else data.test.name,
            fp32=converted.model,
            exporter=converted.exporter,
            left_out=packing.left_out(proof),
        ),
    )


def _warning(
    request: ExportRequest, chosen: TrainedModel, data: EvaluationData, reference: Reference, tell: Tell
) -> str | None:
    """What is wrong with the model, for a bundle that is packed in spite of it; None where nothing is."""
    split, logits, among = reference.split, reference.logits, ""
    if reference.accuracy is None:
        judged = diagnosis.narrowed(chosen, data.labels)
        if judged is None:
            return None
        logits = logits[:, [chosen.labels.index(label) for label in data.labels]]
        chosen, among = judged, f", of its {len(chosen.labels)} classes asked for these {len(data.labels)}"
    accuracy = float((logits.argmax(1) == split.labels).mean())
    tell(f"PyTorch reads {accuracy:.2%} of {len(split):,} {split.name} images right{among}")
    finding = diagnosis.check(chosen, split, logits, request.told, tell)
    if finding is None:
        return None
    if request.force:
        return f"packed by --force: {finding.sentence}"
    mended = f"; try: {command_line(request, finding.options)}" if finding.options else ""
    raise UnfitForItsJobError(f"{finding.sentence}{mended}; --force packs it with this verdict")


def command_line(request: ExportRequest, options: Options) -> str:
    """The command of a request with other options, as a line to copy into a shell.

    Args:
        request: as it was.
        options: what it has to be told, or no longer.
    """
    told = request.told
    flags: dict[str, str | Path | bool | None] = {
        "--model": request.model,
        "--checkpoint": request.checkpoint,
        "--labels": request.labels,
        "--data": None if request.data == evaluation_data.AUTO else request.data,
        "--data-dir": request.data_dir,
        "--precision": None if request.precision == "fp32" else request.precision,
        "--out": None if request.out == DEFAULT_OUT else request.out,
        "--input": told.layout,
        "--normalise": told.normalise,
        "--invert": told.invert or None,
        "--transpose": told.transpose or None,
        "--output": told.output,
        "--weights": told.weights,
    }
    words = ["edge export"]
    for flag, value in {**{flag: _quoted(value) for flag, value in flags.items()}, **options}.items():
        if value is not None:
            words += [flag] if value is True else [flag, str(value)]
    return " ".join(words)


def _quoted(value: str | Path | bool | None) -> str | bool | None:
    return value if value is None or value is True else shlex.quote(str(value))


def _measured(
    request: ExportRequest, converted: Converted, data: EvaluationData, reference: Reference, tell: Tell
) -> tuple[Measured, ...]:
    """Every int8 candidate that suits, with its figures."""
    built = candidates.build(converted.model, data.calibration, PROFILES[request.target], request.candidate)
    tell(f"  measuring {', '.join(built)} against fp32")
    return selection.measure(converted.model, built, reference)


def _best(
    request: ExportRequest,
    chosen: TrainedModel,
    converted: Converted,
    measured: tuple[Measured, ...],
    reference: Reference,
    *,
    tell: Tell,
) -> Measured:
    """The candidate that is packed."""
    if not any(one.passed for one in measured):
        closest = selection.closest(measured)
        where = _where(chosen, converted.taps, closest.quantised.model, "int8", reference)
        tell(tables.candidate_table(measured, request.goal, None))
        raise ParityError(comparison.refusal(closest.rows, where))
    best = selection.choose(measured, request.goal)
    if best is None and (request.force or request.candidate is not None):
        best = selection.best_of_losers(measured, request.goal)
    if best is None:
        tell(tables.candidate_table(measured, request.goal, None))
        raise selection.not_worthwhile(measured, request.goal)
    return best


def _compared(
    chosen: TrainedModel,
    taps: tuple[Tap, ...],
    model: ModelProto,
    precision: Precision,
    reference: Reference,
) -> list[ParityRow]:
    running = session.open_session(model)
    rows = comparison.compare(
        f"onnx {precision}", precision, reference, lambda images, batch: session.run(running, images, batch)
    )
    if all(row.passed for row in rows):
        return rows
    if chosen.preparation is not None and (why := _depends_on_others(chosen, reference)):
        raise ParityError(why)
    refusal = comparison.refusal(rows, _where(chosen, taps, model, precision, reference))
    if chosen.preparation is not None and precision == "fp32":
        refusal = f"{refusal.removesuffix(comparison.REPORT)}{exporters.DECIDES}; otherwise {comparison.REPORT}"
    raise ParityError(refusal)


def _depends_on_others(chosen: TrainedModel, reference: Reference) -> str:
    """That PyTorch itself answers otherwise picture by picture, and what mends it; empty where it does not."""
    digits = slice(None, LOCATE_IMAGES)
    expected = np.concatenate([reference.extreme_logits, reference.logits[digits]])
    images = np.concatenate([reference.extremes, reference.split.images[digits]])
    error = float(np.abs(logits_of(chosen.module, images, batch=1) - expected).max())
    limit = reference.limits("fp32", expected).logit_error
    if limit is None or error <= 2 * limit:
        return ""
    assert chosen.preparation is not None
    alone = chosen.preparation.layout.replace("N", "1", 1)
    asked = f"; if it shall be asked picture by picture, say --input {alone}" if alone.startswith("1,") else ""
    return (
        f"PyTorch's own answers to {chosen.model} depend on the pictures beside: asked one by one, a logit differs by "
        f"up to {error:.2g}; its forward computes something over the whole batch, a mean, a maximum or a loop until "
        f"all are done: compute it for each picture, as in x.amax((1, 2, 3), keepdim=True){asked}"
    )


def _where(
    chosen: TrainedModel, taps: tuple[Tap, ...], model: ModelProto, precision: Precision, reference: Reference
) -> str:
    """Where the difference to PyTorch begins, in words; empty where no layer can be named."""
    worst = _worst_images(reference, session.open_session(model))
    budget = reference.tolerances[precision].logit_error
    excess = layerwise.first_excess(chosen.module, model, taps, worst, budget=budget)
    return "" if excess is None else str(excess)


def _worst_images(reference: Reference, running: RuntimeSession) -> NDArray[np.uint8]:
    """The digits and extremes with the largest error: they show best where it begins."""
    images = np.concatenate([reference.split.images, reference.extremes])
    expected = np.concatenate([reference.logits, reference.extreme_logits])
    logits, _ = session.run(running, images, comparison.BULK)
    error = np.nan_to_num(np.abs(logits - expected), nan=np.inf).max(axis=1)
    return np.asarray(images[np.argsort(-error, kind="stable")[:LOCATE_IMAGES]])


def _int8(request: ExportRequest, taken: Measured, rows: Sequence[ParityRow]) -> packing.Quantisation:
    target = request.target if candidates.CANDIDATES[taken.name].integer_products else None
    verdict = _verdict(request, taken, rows, PROFILES[target or "any"].promise)
    return packing.Quantisation(taken.name, target, verdict, taken.quantised.few_images_vnni)


def _verdict(request: ExportRequest, taken: Measured, rows: Sequence[ParityRow], promise: str) -> str:
    """What int8 brings, as far as it is the same on every machine: no timings."""
    bulk = next(row for row in rows if row.precision == "int8" and row.batch == comparison.BULK)
    accuracy = "" if bulk.accuracy is None else f", accuracy {0.0 - bulk.accuracy_drop:+.2f} points"
    forced = ""
    if request.force and not selection.beats(taken, None, request.goal):
        forced = f"; packed by --force: no gain in {request.goal} over fp32 where it was exported"
    return (
        f"{taken.name}: {candidates.CANDIDATES[taken.name].arithmetic}; "
        f"{int8_share(taken.quantised.model):.0%} of the weight bytes are int8; "
        f"{bulk.flips} of {bulk.images} {bulk.data} labels change{accuracy}; "
        f"{promise}{forced}"
    )


def _accuracy(final: RuntimeSession, data: EvaluationData, bulk: Logits) -> list[dict[str, Any]]:
    """This bundle's figures: on the data that decided, and on the test set, which decided nothing."""
    figures = [accuracy_record(data.parity, float((bulk.argmax(1) == data.parity.labels).mean()))]
    if data.test is not None:
        logits, _ = session.run(final, data.test.images, comparison.BULK)
        figures.append(accuracy_record(data.test, float((logits.argmax(1) == data.test.labels).mean())))
    return figures


def _intention(request: ExportRequest, data: EvaluationData) -> str:
    if request.precision == "int8":
        asked = f"the candidate {request.candidate}" if request.candidate else f"the best candidate for {request.goal}"
        return f"int8, {asked}; calibrated on {len(data.calibration):,} {data.calibration_name} images where needed"
    return "fp16 weights and arithmetic" if request.precision == "fp16" else "nothing to do for fp32"


def to_stderr(line: str) -> None:
    """Progress goes to stderr, so that stdout holds results only; names of data come from folders, and are quoted.

    Args:
        line: one, or several that belong together.
    """
    print("\n".join(map(printable, line.splitlines())), file=sys.stderr, flush=True)  # noqa: T201

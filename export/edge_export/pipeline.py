"""An export from request to files, in named steps. Nothing is written before everything holds."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edge_export import deployed, golden, half, judging, latency, locate, packing, parity, quantise, session, subject
from edge_export.draft import Tap
from edge_export.judging import JudgingData
from edge_export.latency import Latency
from edge_export.outcome import Exported, Outcome, write
from edge_export.parity import Comparison, Logits, ParityError, Reference
from edge_export.quantise import Quantised
from edge_export.session import Session
from edge_export.subject import Subject
from edge_export.tolerances import SLOWDOWN_LIMIT, TOLERANCES, Precision
from edge_train.training import record

LOCATE_IMAGES = 64  # enough to show where an error begins, few enough to keep every tensor of them

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for on the command line."""

    model: str
    checkpoint: Path | None = None
    labels: Path | None = None
    precision: Precision = "fp32"
    data: str = "auto"
    data_dir: Path | None = None
    out: Path = Path("bundles")


def export(request: Request, tell: Tell) -> Exported:
    """Converts, quantises, compares and packs; writes the bundle and its report when every tolerance holds.

    Args:
        request: what to export, and how.
        tell: takes a line of progress.

    Raises:
        ParityError: a tolerance is broken; the message says which, what would have passed, and where it begins.
        EdgeError: the checkpoint, the model or the data cannot be used.
    """
    chosen = subject.find(request.model, request.checkpoint, request.labels)
    data = judging.find(request.data, request.data_dir)
    extremes, _ = golden.extremes()
    reference = parity.reference(
        chosen.module, data.parity, extremes, temperature=chosen.temperature, labelled=chosen.reads_digits
    )

    tell("step 1/4 convert: PyTorch to an fp32 graph")
    converted = chosen.convert()

    tell(f"step 2/4 quantise: {_intention(request.precision, data)}")
    model, quantised = _in_precision(converted.model, request.precision, data.calibration)

    batches = ", ".join(map(str, parity.BATCHES))
    tell(f"step 3/4 parity: {len(data.parity):,} {data.parity.name} images at batches {batches}")
    fp32 = session.open_session(converted.model)
    rows = _compared(chosen, converted.taps, converted.model, "fp32", reference)
    final = fp32
    if request.precision != "fp32":
        final = session.open_session(model)
        rows += _compared(chosen, converted.taps, model, request.precision, reference)
    bulk, _ = session.run(final, data.parity.images, parity.BULK)
    latencies = latency.measure(fp32, final, data.parity.images)
    if quantised is not None:  # fp16 is for CUDA, and slow on the CPU
        _refuse_slow(chosen, latencies)

    tell("step 4/4 pack: manifest, evidence, digest; then the bundle itself, and PNG files, through the runtime")
    accuracy = _accuracy(chosen, final, data, bulk)
    verdict = None if quantised is None else _verdict(quantised, rows, reference)
    facts = packing.manifest(
        chosen, model=model, precision=request.precision, quantised=quantised, verdict=verdict, accuracy=accuracy
    )
    packed = packing.pack(
        model,
        facts,
        packing.evidence(chosen, request.precision, lambda images: session.run(final, images, len(images))),
    )
    rows += deployed.compare(packed, request.precision, reference)
    return write(
        request.out,
        Outcome(
            name=facts.name,
            packed=packed,
            labels=chosen.labels,
            rows=tuple(rows),
            latencies=tuple(latencies),
            reference=reference,
            logits=bulk,
            calibration=None if quantised is None or not quantised.calibrated else data.calibration_name,
            reported_only=None if data.test is None else data.test.name,
        ),
    )


def _in_precision(
    model: ModelProto, precision: Precision, calibration: NDArray[np.uint8]
) -> tuple[ModelProto, Quantised | None]:
    if precision == "int8":
        quantised = quantise.quantise(model, calibration)
        return quantised.model, quantised
    return (half.to_fp16(model) if precision == "fp16" else model), None


def _compared(
    chosen: Subject,
    taps: tuple[Tap, ...],
    model: ModelProto,
    precision: Precision,
    reference: Reference,
) -> list[Comparison]:
    running = session.open_session(model)
    rows = parity.compare(
        f"onnx {precision}", precision, reference, lambda images, batch: session.run(running, images, batch)
    )
    if all(row.passed for row in rows):
        return rows
    worst = _worst_images(reference, running)
    budget = TOLERANCES[precision].logit_error
    excess = locate.first_excess(chosen.module, model, taps, worst, budget=budget)
    raise ParityError(parity.refusal(rows, "" if excess is None else str(excess)))


def _worst_images(reference: Reference, running: Session) -> NDArray[np.uint8]:
    """The digits and extremes with the largest error: they show best where it begins."""
    images = np.concatenate([reference.split.images, reference.extremes])
    expected = np.concatenate([reference.logits, reference.extreme_logits])
    logits, _ = session.run(running, images, parity.BULK)
    error = np.nan_to_num(np.abs(logits - expected), nan=np.inf).max(axis=1)
    return np.asarray(images[np.argsort(-error, kind="stable")[:LOCATE_IMAGES]])


def _refuse_slow(chosen: Subject, latencies: Sequence[Latency]) -> None:
    if all(one.ratio < 1 / SLOWDOWN_LIMIT for one in latencies):
        slow = "; ".join(f"batch {one.batch}: {1 / one.ratio:.1f} times slower" for one in latencies)
        raise ParityError(f"int8 of {chosen.name} does not pay on this machine ({slow}); export without --quantize")


def _verdict(quantised: Quantised, rows: Sequence[Comparison], reference: Reference) -> str:
    """What int8 brings, as far as it is the same on every machine: no timings."""
    bulk = next(row for row in rows if row.precision == "int8" and row.batch == parity.BULK)
    accuracy = "" if bulk.accuracy is None else f", accuracy {0.0 - bulk.accuracy_drop:+.2f} points"
    return (
        f"{quantised.method}: {quantise.ARITHMETIC[quantised.method]}; {quantise.int8_share(quantised.model):.0%} of "
        f"the weight bytes are int8; {bulk.flips} of {bulk.images} {reference.split.name} labels change{accuracy}"
    )


def _accuracy(chosen: Subject, final: Session, data: JudgingData, bulk: Logits) -> list[dict[str, Any]]:
    """This bundle's figures: on the data that decided, and on the test set, which decided nothing."""
    if not chosen.reads_digits:
        return []
    figures = [record(data.parity, float((bulk.argmax(1) == data.parity.labels).mean()))]
    if data.test is not None:
        logits, _ = session.run(final, data.test.images, parity.BULK)
        figures.append(record(data.test, float((logits.argmax(1) == data.test.labels).mean())))
    return figures


def _intention(precision: Precision, data: JudgingData) -> str:
    if precision == "int8":
        return f"int8, activations calibrated on {len(data.calibration):,} {data.calibration_name} images where needed"
    return "fp16 weights and arithmetic" if precision == "fp16" else "nothing to do for fp32"


def to_stderr(line: str) -> None:
    """Progress goes to stderr, so that stdout holds results only."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201

"""`edge export`: parse, call, print."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from edge.bundle.manifest import Precision
from edge.errors import EdgeError
from edge.text.terminal import printable
from edge_export.options import Engine, Goal, Target
from edge_export.targets.registry import TARGETS, TargetRequest


class ExportUsageError(EdgeError, ValueError):
    """Options that contradict each other."""


def export(
    bundle: Annotated[
        str | None,
        typer.Argument(
            metavar="[BUNDLE]",
            help="With --to: a bundle that is packed already, by its path or shipped name.",
            show_default=False,
        ),
    ] = None,
    *,
    model: Annotated[
        str | None,
        typer.Option(
            help="A name of `edge models`, or your own class: 'package.module:LSTM(28, 128)' or 'path/to/file.py:Net'; "
            "otherwise the checkpoint's name, or lstm."
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="The trained weights; otherwise the checkpoint that is shipped.")
    ] = None,
    quantize: Annotated[bool, typer.Option("--quantize", help="int8: the same as --precision int8.")] = False,
    precision: Annotated[Precision | None, typer.Option(help="fp32, fp16 for CUDA, or int8 for CPUs.")] = None,
    labels: Annotated[Path | None, typer.Option(help="A text file with one label a line.")] = None,
    data: Annotated[
        str,
        typer.Option(
            help="What parity is judged on, as for `edge train`; auto takes what the checkpoint was trained on, for "
            "digits MNIST where it is, strokes otherwise.",
            metavar="auto|NAME|FOLDER",
        ),
    ] = "auto",
    data_dir: Annotated[
        Path | None, typer.Option(help="Where published sets are; otherwise $EDGE_DATA, otherwise a cache.")
    ] = None,
    optimize: Annotated[
        Goal, typer.Option(help="What int8 is for: a single picture, pictures in bulk, bytes, or all three.")
    ] = "balanced",
    max_drop: Annotated[
        float, typer.Option(min=0.0, max=100.0, help="Accuracy that int8 may lose, in percentage points.")
    ] = 0.1,
    candidate: Annotated[str | None, typer.Option(help="Take this int8 candidate, without a choice.")] = None,
    target: Annotated[
        Target,
        typer.Option(help="Processors that int8 is for: any; vnni and arm64 keep 8 bits, and are exact there only."),
    ] = "any",
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Pack int8 that does not beat fp32, or a model that reads its data badly, with the verdict.",
        ),
    ] = False,
    to: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Write the bundle in another form as well: {', '.join(TARGETS)}. May be given several times.",
            metavar="|".join(TARGETS),
        ),
    ] = None,
    engine: Annotated[
        Engine | None,
        typer.Option(
            help="What computes in a page of --to html: onnxruntime, or c: a small page with the bits of --to c.",
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="Your model's input, N for the batch: N,1,28,28 or 28,N,28; N,1,32,32:pad or :resize, N,196:resize or "
            ":crop for pictures of another size; N,28:rows for a row at a call; otherwise found by trying.",
            metavar="AXES",
        ),
    ] = None,
    normalise: Annotated[
        str | None,
        typer.Option(
            help="What your model was trained on: mean and deviation of pixels in [0, 1], as 0.1307,0.3081, or a name: "
            "mnist, half, imagenet, bytes, none; picture standardises each by itself, binary makes its pixels 0 and 1.",
            metavar="MEAN,STD",
        ),
    ] = None,
    invert: Annotated[
        bool, typer.Option("--invert", help="Your model was trained on dark digits on light paper.")
    ] = False,
    transpose: Annotated[
        bool, typer.Option("--transpose", help="Your model takes the columns of a picture for its rows.")
    ] = False,
    output: Annotated[
        str | None,
        typer.Option(
            help="Which of your model's outputs, by place or key, and what of it: NAME:mean or :sum of its steps, "
            ":smallest of distances; otherwise the first that fits.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Which of several networks in your checkpoint, by its entry, as ema; otherwise the one that fits.",
            metavar="ENTRY",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of what is written.")] = Path("bundles"),
) -> None:
    """Export a trained model as one verified file; anything that does not hold is an error, and nothing is written."""
    targets = _targets(to or [], engine)
    if bundle is not None:
        if not targets:
            raise typer.BadParameter(f"a bundle is packed already; say what it becomes: --to {'|'.join(TARGETS)}")
        asked = "int8" if quantize else precision
        if any((model, checkpoint, labels, candidate, force)) or (asked and not _make_arithmetic(targets, engine)):
            raise ExportUsageError(f"{bundle} is packed already, and --to changes its form only; leave the others out")
        _write_targets(bundle, targets, out, TargetRequest(asked, None, data, data_dir, max_drop, engine))
        return
    if quantize and precision not in (None, "int8"):
        raise ExportUsageError(f"--quantize is int8 and contradicts --precision {precision}; give one of them")
    from edge_export import pipeline
    from edge_export.model.trained_model import Told
    from edge_export.pack import tables

    chosen: Precision = "int8" if quantize else precision or "fp32"
    if chosen != "int8" and candidate is not None:
        raise ExportUsageError("--candidate chooses among int8 candidates; add --quantize")
    told = Told(layout, normalise, invert=invert, transpose=transpose, output=output, weights=weights)
    request = pipeline.ExportRequest(
        model, checkpoint, labels, chosen, data, data_dir, out, optimize, max_drop, candidate, target, force, told
    )
    done = pipeline.export(request, pipeline.to_stderr)
    lines = ["", tables.parity_table(done.rows), ""]
    if done.manifest.int8_verdict is not None:
        lines += [tables.candidate_table(done.candidates, optimize, done.manifest.method), ""]
        lines.append(f"verdict: {done.manifest.int8_verdict}")
    if chosen == "fp16":
        lines.append(tables.latency_line(done.latencies, chosen))
    lines += [
        f"accuracy of the {one.of} on {one.data} {one.split}: {one.accuracy:.2%}" for one in done.manifest.accuracy
    ]
    if done.manifest.warning is not None:
        lines.append(f"warning: {done.manifest.warning}")
    if done.left_out:
        lines.append(
            f"warning: {done.left_out} drawn digits are read otherwise than by PyTorch, and are not in the evidence"
        )
    lines.append(f"bundle: {done.path}, {done.size_bytes / 1000:.0f} KB; report: {done.report}")
    if done.flip_sheet is not None:
        lines.append(f"pictures whose label changed: {done.flip_sheet}")
    path = shlex.quote(str(done.path))
    lines += [f"next: edge verify {path}", f"      edge predict --model {path} PICTURE"]
    # Names of data come from folders, and a terminal would act on what they hold.
    typer.echo("\n".join(printable(line) for block in lines for line in block.split("\n")))
    named = None if precision is None and not quantize else chosen
    _write_targets(str(done.path), targets, out, TargetRequest(named, done.fp32, data, data_dir, max_drop, engine))


def _make_arithmetic(targets: list[str], engine: str | None) -> bool:
    """Whether all of the targets make their own arithmetic, in the precision that is named."""
    return all(TARGETS[name].engine(engine) == "c" for name in targets)


def _targets(names: list[str], engine: str | None) -> list[str]:
    """The names of targets as they are typed, each once.

    Raises:
        typer.BadParameter: there is no target of that name, or none that the engine computes in.
    """
    for name in names:
        if name not in TARGETS:
            raise typer.BadParameter(f"--to {name} is no target; use one of {', '.join(TARGETS)}")
    if engine is not None and not any(engine in TARGETS[name].engines for name in names):
        able = [name for name, target in TARGETS.items() if engine in target.engines]
        raise typer.BadParameter(f"--engine {engine} is for --to {' and --to '.join(able)}")
    return list(dict.fromkeys(names))


def _write_targets(bundle: str, names: list[str], out: Path, request: TargetRequest) -> None:
    """Writes a packed bundle in other forms and says of each how its evidence holds there."""
    if not names:
        return
    from edge import verification
    from edge.bundle import shipped
    from edge.text.table import aligned
    from edge_export.targets import registry

    source = shipped.info(bundle)
    for name in names:
        written = registry.write(name, source, out, request)
        rows = aligned(verification.table(written.replay))
        lines = ["", f"{name}: {TARGETS[name].summary}", *rows, *(f"  {path}" for path in written.paths)]
        typer.echo("\n".join([*lines, *(f"  {note}" for note in written.notes)]))

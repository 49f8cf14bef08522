"""`edge info`: what a bundle says about itself."""

import json
from collections.abc import Mapping
from typing import Annotated

import typer

from edge.bundle import bundle, shipped
from edge.bundle.bundle import Bundle
from edge.bundle.input import NAME
from edge.bundle.manifest import Preparation, Rejection
from edge.cli.arguments import JsonOption
from edge.text.table import aligned, size
from edge.text.terminal import printable


def info(
    source: Annotated[str, typer.Argument(metavar="BUNDLE", help="Path of a bundle, or the name of a shipped one.")],
    as_json: JsonOption = False,
) -> None:
    """Show what a bundle says about itself.

    Every byte of the file is checked first.
    """
    found = bundle.read(shipped.locate(source))
    if as_json:
        record = {
            "path": str(found.path),
            "size_bytes": found.size,
            "sha256": found.sha256,
            **({} if found.seal is None else {"signed_by": found.seal.key}),
            "manifest": json.loads(found.manifest.to_json()),
        }
        typer.echo(json.dumps(record))
        return
    for line in aligned(describe(found)):
        typer.echo(printable(line))


def describe(found: Bundle) -> list[tuple[str, str]]:
    """The facts of a bundle as rows of a name and a value."""
    manifest = found.manifest
    rows = [
        ("name", manifest.name),
        ("file", f"{found.path}, {size(found.size)}"),
        ("sha256", found.sha256),
        *([] if found.seal is None else [("signed by", f"{found.seal.key}, not checked here: edge verify --key")]),
        ("model", f"{manifest.model}, {manifest.parameters} parameters"),
        ("architecture", _pairs(manifest.architecture)),
        ("labels", " ".join(manifest.labels)),
        ("input", f"{NAME} {manifest.input}"),
        ("picture", "; ".join(filter(None, (_pairs(manifest.picture), manifest.picture_note)))),
        *([] if manifest.preparation is None else [("prepared", _preparation(manifest.preparation))]),
        *([] if manifest.warning is None else [("warning", manifest.warning)]),
        ("precision", f"{manifest.precision}, {manifest.int8_weight_share:.1%} of the weight bytes are int8"),
        ("method", manifest.method),
        ("int8 verdict", manifest.int8_verdict or "not judged"),
        ("int8 target", manifest.int8_target or "none"),
        ("providers", " ".join(manifest.providers)),
        ("temperature", f"{manifest.temperature:g}"),
        ("rejection", _rejection(manifest.rejection)),
        ("checkpoint", manifest.checkpoint_sha256),
        (
            "onnx",
            f"opset {manifest.opset}, IR {manifest.ir_version}, onnxruntime {manifest.minimum_onnxruntime} or newer",
        ),
        ("made with", _pairs(manifest.versions)),
        ("protocol", str(manifest.protocol)),
    ]
    rows += [
        ("accuracy", f"{each.accuracy:.2%} of {each.images} images of {each.data} {each.split} ({each.of})")
        for each in manifest.accuracy
    ]
    return rows


def _preparation(facts: Preparation) -> str:
    """What the graph does around somebody's own model."""
    steps = [f"as [{facts.layout}]"]
    if facts.transposed:
        steps.append("columns before rows")
    if facts.inverted:
        steps.append("dark on light")
    if facts.each:
        steps.append(f"{facts.each} picture by picture")
    if facts.mean:
        means, deviations = (" ".join(f"{one:g}" for one in part) for part in (facts.mean, facts.deviation))
        steps.append(f"normalised by {means}, {deviations}")
    return f"in the graph: {', '.join(steps)}; gives {facts.output}"


def _rejection(facts: Rejection | None) -> str:
    if facts is None:
        return "none: every answer is taken"
    return f"scores below {facts.threshold:g}, {facts.rejected:.2%} of {facts.images} images of {facts.data}"


def _pairs(record: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in record.items())

"""What a bundle is, whether it is whole, whose it is: `info`, `models`, `verify`, `keygen`, `sign`; and `serve` it."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from edge.bundle import bundle, shipped, signature
from edge.bundle.bundle import Bundle
from edge.bundle.input import NAME
from edge.bundle.manifest import Preparation, Rejection
from edge.cli import main
from edge.cli.arguments import JsonOption, ProviderOption, ProviderSettings, provider_settings
from edge.errors import BundleError, BundleNotFoundError, EdgeError, InputError
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


GROUP = "edge.models"
"""Entry points of this group tell about trainable models: `name or None -> text`; no upper layer is imported."""

Describe = Callable[[str | None], str]


def models(
    name: Annotated[str | None, typer.Argument(help="A model or a bundle, to see all of it.")] = None,
) -> None:
    """List shipped and trainable models.

    With a name: all about that bundle, the layers of that model and its shipped bundles.
    """
    is_bundle = name is not None and name in shipped.names()
    if name is not None and is_bundle:
        for line in aligned(describe(bundle.read(shipped.locate(name)))):
            typer.echo(printable(line))
        typer.echo()
    rows = shipped_rows(name)
    if rows:
        typer.echo("shipped bundles:")
        for line in aligned([("  name", "precision", "size", "accuracy"), *rows]):
            typer.echo(printable(line))
    elif name is None:
        typer.echo("no bundles are shipped with this installation", err=True)
    if not _trainable(name, known=bool(rows) or is_bundle):
        typer.echo("the trainable models are listed after: pip install 'edge-toolkit[train]'", err=True)
        if name is not None and not rows and not is_bundle:
            known = ", ".join(shipped.names()) or "none"
            raise BundleNotFoundError(f"no shipped bundle is a {name!r}; the shipped ones are: {known}")


def shipped_rows(model: str | None) -> list[tuple[str, str, str, str]]:
    """A row for each shipped bundle, or for those of one model."""
    rows = []
    for name in shipped.names():
        try:
            found = bundle.read(shipped.locate(name))
        except BundleError as error:
            rows.append((f"  {name}", "?", "?", str(error)))
            continue
        if model in {None, found.manifest.model}:
            rows.append((f"  {name}", found.manifest.precision, size(found.size), _accuracy(found)))
    return rows


def _accuracy(found: Bundle) -> str:
    own = [each for each in found.manifest.accuracy if each.of == "bundle"]
    return ", ".join(f"{each.accuracy:.2%} {each.data} {each.split}" for each in own) or "not measured"


def _trainable(name: str | None, *, known: bool) -> bool:
    """Prints what the upper layers tell; False when none is installed."""
    from importlib.metadata import entry_points  # imports the e-mail package among others, for `edge models` alone

    answered = False
    for point in entry_points(group=GROUP):
        try:
            tell: Describe = point.load()
            text = tell(name)
        except ModuleNotFoundError as error:
            if main.explain_missing("train", error) is None:
                raise
            continue
        except EdgeError:
            # The name is no trainable model: no error if it is a shipped one.
            if not known:
                raise
            return True
        typer.echo(text)
        answered = True
    return answered


def verify(
    bundles: Annotated[list[str], typer.Argument(help="Paths of bundles, or names of shipped ones.")],
    *,
    provider: ProviderOption = "auto",
    provider_option: ProviderSettings = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            help="Public key that must have signed the bundle: a file, or 64 hexadecimal digits. May be repeated. By "
            "default, those that EDGE_TRUSTED_KEYS names."
        ),
    ] = None,
) -> None:
    """Check bundles on this machine.

    Four steps, without torch: the digest of the file, its load, where its nodes run, and its evidence.
    """
    from edge import isolation, verification

    settings = provider_settings(provider_option, provider)
    trusted = signature.public_keys(key or None)
    failed = 0
    for name in bundles:
        try:
            path = shipped.locate(name)
        except BundleNotFoundError as error:
            typer.echo(f"edge: {printable(str(error))}", err=True)
            failed += 1
            continue
        outcome = isolation.verify_apart(path, provider, trusted=trusted or None, provider_options=settings)
        typer.echo(f"{printable(name)}: {'verified' if outcome.passed else 'FAILED'}")
        for line in aligned(verification.table(outcome)):
            typer.echo(printable(line))
        failed += not outcome.passed
    if failed:
        typer.echo(f"edge: {failed} of {len(bundles)} bundles failed; the lines above say why", err=True)
        raise typer.Exit(1)


def keygen(
    file: Annotated[
        Path,
        typer.Argument(help="Where the private key goes; the public one goes beside it, with .pub behind its name."),
    ],
) -> None:
    """Make a key to sign bundles with.

    The private key stays with who signs. The public one goes to the devices, where it says whose bundles are trusted.
    """
    key = signature.write_new_key(file)
    typer.echo(f"{printable(str(file))}: private key; keep it secret, and keep a copy of it")
    typer.echo(f"{printable(str(file))}{signature.PUBLIC_SUFFIX}: public key {key}")


def sign(
    source: Annotated[str, typer.Argument(metavar="BUNDLE", help="Path of a bundle, or the name of a shipped one.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="The private key, as `edge keygen` wrote it.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the signed bundle goes. By default, it takes its place.")
    ] = None,
) -> None:
    """Sign a bundle.

    An older signature is replaced. Nothing else in the file changes but its digest.
    """
    path = shipped.locate(source)
    if out is None and path.parent == shipped.FOLDER:
        raise typer.BadParameter(
            f"{source} came with edge, and stays as it is; say where the signed copy goes, with --out"
        )
    signed = bundle.signed(bundle.read(path), signature.read_private_key(key))
    target = out or path
    bundle.write(target, signed.data)
    assert signed.seal is not None
    typer.echo(f"{printable(str(target))}: signed by {signed.seal.key}")
    typer.echo(f"check it with: edge verify {printable(str(target))} --key {signed.seal.key}")


KEY_VARIABLE = "EDGE_API_KEY"


def serve(
    bundles: Annotated[
        list[str] | None, typer.Argument(help="Shipped bundles or paths; the first answers where none is named.")
    ] = None,
    *,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    provider: ProviderOption = "auto",
    provider_option: ProviderSettings = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the work.")] = 1,
    api_key_file: Annotated[
        Path | None,
        typer.Option(help=f"File with a key a line; requests must bring one. Or one key in ${KEY_VARIABLE}."),
    ] = None,
    cors: Annotated[
        list[str] | None, typer.Option(help="Another origin whose pages may call; may be given several times.")
    ] = None,
    access_log: Annotated[bool, typer.Option(help="A line of JSON for every request, on the standard output.")] = True,
    queue: Annotated[int, typer.Option(min=1, help="Tensor requests on their way at a time.")] = 512,
    body_megabytes: Annotated[int, typer.Option(min=1, help="Largest body of a request.")] = 32,
    drain_seconds: Annotated[int, typer.Option(min=1, help="For what is under way at the end.")] = 30,
) -> None:
    """Answer requests over HTTP: the Open Inference Protocol v2, picture files, and a page to draw on.

    Every bundle replays its evidence first. SIGHUP reads the bundles anew, and so does a change of a file; SIGTERM
    answers what is under way and ends.
    """
    from edge.service.requests import MEBIBYTE, Limits, Settings
    from edge.service.server import serve as run

    settings = Settings(
        tuple(Path(shipped.locate(name)) for name in bundles or [shipped.DEFAULT]),
        host=host,
        port=port,
        provider=provider,
        provider_options=provider_settings(provider_option, provider),
        workers=workers,
        api_keys=_keys(api_key_file),
        cors_origins=tuple(cors or ()),
        access_log=access_log,
        drain_seconds=drain_seconds,
        limits=Limits(
            waiting_requests=queue,
            body_bytes=body_megabytes * MEBIBYTE,
            waiting_bytes=max(Limits().waiting_bytes, 2 * body_megabytes * MEBIBYTE),  # a body, packed and unpacked
        ),
    )
    sys.exit(run(settings))


def _keys(path: Path | None) -> tuple[str, ...]:
    """The keys of the file, or that of the environment."""
    if path is None:
        key = os.environ.get(KEY_VARIABLE, "").strip()
        return (key,) if key else ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}; give a file with a key a line") from error
    keys = tuple(line.strip() for line in lines if line.strip())
    if not keys:
        raise InputError(f"{path} has no key; write one a line")
    return keys

"""One HTML file that works offline, by double click: the runtime, the bundle, a pad to draw on, and the replay.

The page is the service's (`edge.service.web`), answered by the bundle in it instead of a server. Its evidence is
replayed in Node with the very files that go into the page, and by its own button wherever it is opened.
"""

import base64
import functools
import gzip
import json
import re
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from edge import verification
from edge.bundle.bundle import Bundle
from edge.text.files import make_folder, write_atomically
from edge.text.table import size
from edge.verification import Step, Verification
from edge_export.targets import web_runtime
from edge_export.targets.registry import AS_IT_IS, DeploymentError, TargetRequest, WrittenTarget, refuse_unless_verified

LARGEST_BYTES = 5_500_000
"""Of a page with a bundle of the shipped sizes: the compressed runtime is nearly all of it."""

_MODULES = ("framing.js", "pad.js", "view.js", "page.js")  # the service's, in the order of their imports
_OWN = ("edge.mjs", "c.mjs", "local.js")
_SECONDS = 120  # for the replay

# How bytes are written in the page: 13 bits in two signs, 1.23 times their size where base64 takes 1.33. The signs are
# ASCII's printable ones without "<", so that neither a script's element nor a host's encoding changes them.
_SIGNS = np.array([sign for sign in range(33, 127) if sign != ord("<")], np.uint8)
_BITS = 13

# Makes the modules of the page importable by one another: each becomes a blob, its imports the blobs before it.
_LOADER = """
const addresses = {};
for (const element of document.querySelectorAll('script[type="text/plain"][data-module]')) {
  const source = element.textContent.replace(/from "\\.\\/([\\w.]+)"/g, (_, name) => `from "${addresses[name]}"`);
  addresses[element.dataset.module] = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
}
import(addresses["local.js"]);
"""


def write(source: Bundle, out: Path, request: TargetRequest = AS_IT_IS) -> WrittenTarget:
    """Writes `NAME.html`, or `NAME-c.html` with the engine "c", in the precision of the C form.

    Args:
        source: the bundle.
        out: folder of what is written.
        request: the engine; for "c" all that its target asks.

    Raises:
        DeploymentError: the engine is not to be had, or the evidence does not hold in it.
        WriteError: the folder cannot be made or written.
    """
    form, runtime = None, {}
    if request.engine == "c":
        from edge_export.targets import c

        form = c.form(source, request)
        checked = form.replay
        shown = c.pack(form, source)
    else:
        checked, shown, runtime = None, source, web_runtime.files()
    content = page(shown, runtime)
    replay, notes = _replayed(shown, runtime, checked)
    refuse_unless_verified(replay, "page")
    make_folder(out)
    path = out / f"{shown.manifest.name}.html"
    write_atomically(path, content)
    packed = len(_written(gzip.compress(shown.data, 9)))
    advice = []
    if form is not None:
        advice = [*form.notes]
    elif source.manifest.precision == "int8" and source.manifest.architecture.get("kind") == "recurrent":
        advice = [
            "onnxruntime-web computes the fp32 bundle of a recurrent model faster than int8: prefer it, or --engine c"
        ]
    return WrittenTarget(
        (path,),
        replay,
        (
            f"{size(len(content))}, of which the {'model' if form else 'bundle'} {size(packed)}",
            *notes,
            *advice,
            "it reads drawings; for photos use `edge serve`",
        ),
    )


def page(source: Bundle, runtime: dict[str, bytes]) -> bytes:
    """The HTML file.

    Args:
        source: the bundle, or what `c.pack` makes of one.
        runtime: onnxruntime-web's files by name; none for C.
    """
    web = resources.files("edge.service") / "web"
    own = resources.files("edge_export.targets") / "javascript"
    texts = {name: (web / name).read_text(encoding="utf-8") for name in _MODULES}
    texts |= {name: (own / name).read_text(encoding="utf-8") for name in _OWN}
    html = (web / "index.html").read_text(encoding="utf-8")
    icon = base64.b64encode((web / "icon.svg").read_bytes()).decode()
    html = html.replace("/page/icon.svg", f"data:image/svg+xml;base64,{icon}")
    style = (web / "style.css").read_text(encoding="utf-8")
    html = _replaced(html, r'<link rel="stylesheet"[^>]*>', f"<style>\n{style}</style>")
    html = _replaced(html, r'<script type="module"[^>]*></script>\n', "")
    html = _replaced(html, r'<nav><a href="/docs">API</a></nav>', "")
    html = _replaced(html, r"<noscript>.*?</noscript>", "<noscript><p>The pad needs JavaScript.</p></noscript>")
    name = source.manifest.name
    data = [
        *(_data(f"runtime-{name}", content) for name, content in runtime.items()),
        _data(f"bundle-{name}", source.data),
        f'<script type="application/json" id="bundle-names">{_inert(json.dumps([name]))}</script>',
        *(
            f'<script type="text/plain" data-module="{name}">\n{_inert(texts[name])}</script>'
            for name in (*_MODULES, *_OWN)
        ),
        f'<script type="module">{_LOADER}</script>',
    ]
    return html.replace("</body>", "\n".join([*data, "</body>"])).encode()


def _replayed(
    source: Bundle, runtime: dict[str, bytes], replay: Verification | None
) -> tuple[Verification, tuple[str, ...]]:
    """The evidence in Node with the files of the page; without Node what Python found, which says less."""
    node = shutil.which("node")
    name = source.manifest.name
    if node is None and replay is None:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / f"{name}.onnx"
            path.write_bytes(source.data)
            replay = verification.verify(path, provider="cpu")
    if node is None:
        assert replay is not None
        missing = "replayed in Python only, because Node is not installed (Debian: apt install nodejs)"
        return replay, (f"{missing}: open the page and press Verify",)
    own = resources.files("edge_export.targets") / "javascript"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for file in ("edge.mjs", "c.mjs", "replay.mjs"):
            (folder / file).write_bytes((own / file).read_bytes())
        for file, content in runtime.items():
            (folder / file).write_bytes(content)
        (folder / "bundle.onnx").write_bytes(source.data)
        words = [node, str(folder / "replay.mjs"), str(folder), str(folder / "bundle.onnx")]
        try:
            done = subprocess.run(  # noqa: S603 - our own script
                words, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DeploymentError(
                f"Node cannot replay the evidence: {error}; try again, or deploy the bundle"
            ) from error
    if done.returncode != 0:
        reason = next((line for line in done.stderr.splitlines() if "Error" in line), done.stderr.strip()[-200:])
        raise DeploymentError(f"the page's runtime refuses the bundle: {reason.strip()}; deploy the bundle itself")
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    steps = tuple(Step(each["name"], passed=each["passed"], detail=each["detail"]) for each in report["steps"])
    engine = f"onnxruntime-web {web_runtime.VERSION}" if runtime else "the C form in WebAssembly"
    return Verification(name, "wasm", steps), (f"replayed in Node with {engine}",)


def _replaced(html: str, pattern: str, by: str) -> str:
    """The page with one part of it in another form, which must be there."""
    found, count = re.subn(pattern, lambda _: by, html, count=1, flags=re.DOTALL)
    assert count == 1, f"the page has no {pattern}"
    return found


def _data(identifier: str, content: bytes) -> str:
    """An element with compressed bytes, as `unpacked` in local.js reads them."""
    size, signs = _compressed(content)
    return f'<script type="application/octet-stream" data-bytes="{size}" id="{identifier}">{signs}</script>'


@functools.lru_cache(maxsize=4)  # two files of the runtime, the same in every page, take a second; and two bundles
def _compressed(content: bytes) -> tuple[int, str]:
    packed = gzip.compress(content, 9, mtime=0)
    return len(packed), _written(packed)


def _written(content: bytes) -> str:
    """Bytes as signs: 13 bits, the lowest first, in two of them."""
    bits = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
    padded = np.pad(bits, (0, -len(bits) % _BITS)).reshape(-1, _BITS)
    numbers = padded @ (1 << np.arange(_BITS, dtype=np.uint16))
    pairs = np.stack(np.divmod(numbers, len(_SIGNS)), axis=1)
    return str(_SIGNS[pairs].tobytes(), "ascii")


def _inert(text: str) -> str:
    """A script's text that cannot end its element."""
    return text.replace("</script", "<\\/script")

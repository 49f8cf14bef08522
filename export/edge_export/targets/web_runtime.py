"""ONNX Runtime for browsers: the two files of its npm package that a page needs, fetched once and checked.

npm fetches the package, by the settings that it has on this machine. Where there is no network, a folder with the two
files is named in `$EDGE_WEB_RUNTIME`.
"""

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from edge.text.files import cache_folder, make_folder, write_together
from edge_export.targets.registry import DeploymentError

VERSION = "1.30.0"
MODULE = "ort.wasm.bundle.min.mjs"
WASM = "ort-wasm-simd-threaded.wasm"
VARIABLE = "EDGE_WEB_RUNTIME"

_PACKAGE = f"onnxruntime-web@{VERSION}"
_SHA256 = {
    MODULE: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
_SECONDS = 600  # for the package of 33 MB


def files() -> dict[str, bytes]:
    """The runtime's files by name: from `$EDGE_WEB_RUNTIME`, from the cache, or from npm.

    Raises:
        DeploymentError: they are not to be had, or are others than this edge knows.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return _read(Path(named))
    folder = cache_folder() / f"onnxruntime-web-{VERSION}"
    if not all((folder / name).is_file() for name in _SHA256):
        fetch(folder)
    return _read(folder)


def _read(folder: Path) -> dict[str, bytes]:
    found = {}
    for name, expected in _SHA256.items():
        try:
            found[name] = (folder / name).read_bytes()
        except OSError as error:
            raise DeploymentError(f"{folder / name} cannot be read: {error.strerror}; {_advice()}") from error
        if hashlib.sha256(found[name]).hexdigest() != expected:
            raise DeploymentError(f"{folder / name} is not that of {_PACKAGE}; remove {folder} and try again")
    return found


def fetch(folder: Path) -> None:
    """Has npm fetch the package, on whose progress it tells itself, and keeps the two files.

    Args:
        folder: where they are kept.

    Raises:
        DeploymentError: npm is missing, or cannot fetch it.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise DeploymentError(f"{_PACKAGE} is not in the cache, and npm is not installed to fetch it; {_advice()}")
    with tempfile.TemporaryDirectory() as scratch:
        words = [npm, "pack", _PACKAGE, "--pack-destination", scratch, "--loglevel", "error"]
        try:
            done = subprocess.run(  # noqa: S603 - npm, as it is installed here
                words, stdout=subprocess.PIPE, timeout=_SECONDS, cwd=scratch, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DeploymentError(f"npm cannot fetch {_PACKAGE}: {error}; {_advice()}") from error
        archive = next(Path(scratch).glob("*.tgz"), None)
        if done.returncode != 0 or archive is None:
            raise DeploymentError(
                f"npm cannot fetch {_PACKAGE} (exit {done.returncode}, its reason is above); {_advice()}"
            )
        with tarfile.open(archive) as packed:
            content = {name: packed.extractfile(f"package/dist/{name}") for name in _SHA256}
            make_folder(folder)
            write_together({folder / name: file.read() for name, file in content.items() if file is not None})


def _advice() -> str:
    return f"fetch it where there is a network, and name the folder of {MODULE} and {WASM} in ${VARIABLE}"

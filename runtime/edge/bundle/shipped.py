"""The bundles that come with edge: their names, and where they lie."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import BundleNotFoundError

if TYPE_CHECKING:
    from edge.bundle.bundle import Bundle

FOLDER = Path(__file__).parent.parent / "models"
SUFFIX = ".onnx"
DEFAULT = "lstm-int8"
"""What `edge predict` uses when no model is named: the best compromise of size, speed and accuracy."""


def info(name_or_path: str | os.PathLike[str]) -> "Bundle":
    """Reads a bundle, checks every byte of it, and says what it is; no model is loaded.

    Args:
        name_or_path: a shipped name such as "lstm-int8", or the path of a bundle.

    Returns:
        The bundle: its `manifest` (labels, sizes, precision, accuracy, versions), `size` and `sha256`.

    Raises:
        BundleError: not found, damaged, no bundle, or of another generation of edge.
    """
    from edge.bundle.bundle import read  # the help of a command needs names only

    return read(locate(name_or_path))


def names() -> list[str]:
    """The names of all shipped bundles, sorted; each is taken wherever the path of a bundle is."""
    return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}"))


def locate(name_or_path: str | os.PathLike[str]) -> Path:
    """Finds a bundle by its shipped name, or takes the path as it is.

    A bare word is a shipped name first, so that a folder of that name in the current directory changes nothing.

    Args:
        name_or_path: such as "lstm-int8", "lstm-int8.onnx" or "bundles/mine.onnx".

    Raises:
        BundleNotFoundError: neither a shipped name nor an existing file.
    """
    text = os.fspath(name_or_path)
    available = names()
    if text in available:
        return FOLDER / f"{text}{SUFFIX}"
    if os.path.lexists(text):
        return Path(text)
    import difflib

    close = difflib.get_close_matches(text, available, n=1)
    listed = f"did you mean {close[0]}?" if close else f"the shipped ones are: {', '.join(available) or 'none'}"
    raise BundleNotFoundError(f"there is no bundle and no file {text!r}; {listed}")

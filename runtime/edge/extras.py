"""The extras: which packages each brings, and what to say when a command misses one of them."""

from edge.errors import MissingExtraError

PACKAGES = {
    "train": ("torch", "torchvision", "safetensors", "rich"),
    "export": ("torch", "torchvision", "safetensors", "rich", "onnx", "onnxscript", "matplotlib"),
}
"""Packages by extra; a command that needs one has the extra's name or one in `EXTRAS`, each package its module's."""

EXTRAS = {"sweep": "export"}
"""The extra of each command that is called otherwise."""


def explain(command: str, error: ImportError) -> MissingExtraError | None:
    """Turns the failed import of a command into the line that installs its extra.

    Args:
        command: the command that was asked for.
        error: what the import raised.

    Returns:
        None when the missing module belongs to no package of the extra: that is a bug, and keeps its traceback.
    """
    missing = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(command, command)
    return MissingExtraError(command, extra, missing) if missing in PACKAGES.get(extra, ()) else None

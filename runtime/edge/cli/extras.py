"""The extras: which packages each brings, and what to say when a command misses one of them."""

from edge.errors import MissingExtraError

PACKAGES = {
    "train": ("torch", "torchvision", "safetensors", "rich", "matplotlib", "scikit-learn"),
    "export": ("torch", "torchvision", "safetensors", "rich", "onnx", "onnxscript", "matplotlib"),
}
"""Packages by extra; a command that needs one has the extra's name, unless `EXTRA_OF` gives another."""

EXTRA_OF = {"data": "train", "report": "train", "sweep": "export"}
"""The extra of each command that is called otherwise."""

MODULE_OF = {"scikit-learn": "sklearn"}
"""Modules whose name is not that of their package."""


def explain(command: str, error: ImportError) -> MissingExtraError | None:
    """Turns the failed import of a command into the line that installs its extra.

    Args:
        command: the command that was asked for.
        error: what the import raised.

    Returns:
        None when the missing module belongs to no package of the extra: that is a bug, and keeps its traceback.
    """
    missing = (error.name or "").partition(".")[0]
    extra = EXTRA_OF.get(command, command)
    for package in PACKAGES.get(extra, ()):
        if missing == MODULE_OF.get(package, package):
            return MissingExtraError(command, extra, package)
    return None

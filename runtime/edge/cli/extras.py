"""The extras: which packages each brings, and what to say when a command misses one of them."""

from edge.errors import MissingExtraError

PACKAGES = {
    "serve": ("starlette", "uvicorn", "httptools", "prometheus-client", "python-multipart"),
    "train": ("torch", "torchvision", "safetensors", "matplotlib"),
    "export": ("torch", "torchvision", "safetensors", "onnx", "onnxscript", "matplotlib"),
    "plot": ("matplotlib",),
    "sign": ("cryptography",),
    "tables": ("pyarrow",),
    "ray": ("ray",),
    "remote": ("fsspec", "aiohttp", "s3fs"),
}
"""Packages by extra; a command that needs one has the extra's name, unless `EXTRA_OF` gives another."""

EXTRA_OF = {"data": "train", "keygen": "sign", "report": "train", "sweep": "export"}
"""The extra of each command that is called otherwise."""

MODULE_OF = {
    "prometheus-client": "prometheus_client",
    "python-multipart": "python_multipart",
}
"""Modules whose name is not that of their package."""


def extra_of(command: str) -> str:
    """The extra that brings what a command needs."""
    return EXTRA_OF.get(command, command)


def missing(command: str) -> str | None:
    """The first package of a command's extra that is not installed; None where all are, or it needs no extra."""
    from importlib.util import find_spec  # for the help only

    for package in PACKAGES.get(extra_of(command), ()):
        if find_spec(MODULE_OF.get(package, package)) is None:
            return package
    return None


def explain(command: str, error: ImportError) -> MissingExtraError | None:
    """Turns the failed import of a command into the line that installs its extra.

    Args:
        command: the command that was asked for.
        error: what the import raised.

    Returns:
        None when the missing module belongs to no package of the extra: that is a bug, and keeps its traceback.
    """
    absent = (error.name or "").partition(".")[0]
    extra = extra_of(command)
    for package in PACKAGES.get(extra, ()):
        if absent == MODULE_OF.get(package, package):
            return MissingExtraError(command, extra, package)
    return None

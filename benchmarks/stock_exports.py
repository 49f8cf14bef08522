"""A shipped model as others would have it: `torch.onnx.export` of the tutorials, and that file in stock int8.

What edge is held against has to be what its users would have without it: the exporter's defaults, the quantiser's
defaults, a session with default options.
"""

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from edge.bundle.input import COLUMNS, ROWS
from edge_train.models.specification import Specification
from edge_train.training import checkpoint

OPSET = 17
ERRORS_ONLY = 3  # onnxruntime's log severity: 0 verbose to 4 fatal
CPU = ["CPUExecutionProvider"]


@dataclass(frozen=True, slots=True)
class StockExports:
    """One model in the forms that its users have without edge.

    Attributes:
        name: of the model, and of its shipped bundles.
        specification: its layers.
        module: the network in evaluation mode, float images (N, 28, 28) in [0, 1] to logits (N, 10).
        checkpoint_bytes: size of the weights as trained.
        exported: the default export.
        stock_int8: that, by the stock quantiser.
        folder: for what peers write.
    """

    name: str
    specification: Specification
    module: nn.Module
    checkpoint_bytes: int
    exported: Path
    stock_int8: Path
    folder: Path


def stock_exports(name: str, folder: Path) -> StockExports:
    """The shipped checkpoint of that name, exported and quantised into `folder`.

    Raises:
        FileNotFoundError: no checkpoint is shipped under that name.
    """
    path = checkpoint.shipped(name)
    if path is None:
        raise FileNotFoundError(f"no checkpoint is shipped for {name!r}; `edge models` lists the names")
    trained = checkpoint.load(path)
    module = trained.model()
    exported, stock_int8 = folder / f"{name}.onnx", folder / f"{name}-stock-int8.onnx"
    export(module, exported)
    quantise(exported, stock_int8)
    return StockExports(name, trained.specification, module, path.stat().st_size, exported, stock_int8, folder)


def export(module: nn.Module, path: Path) -> None:
    """`torch.onnx.export` as most tutorials call it: the tracing exporter, a free batch axis."""
    with silence(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that tracing is not the newest exporter, and that an LSTM is traced
        torch.onnx.export(
            module,
            (torch.zeros(2, ROWS, COLUMNS),),
            str(path),
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )


def quantise(source: Path, target: Path) -> None:
    """The stock quantiser with its defaults, after the preparation that it recommends."""
    from onnxruntime.quantization import quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = target.with_suffix(".prepared.onnx")
    with silence():
        quant_pre_process(str(source), str(prepared))
        quantize_dynamic(str(prepared), str(target))


def default_session(path: Path, threads: int | None = 1) -> Any:  # noqa: ANN401 - onnxruntime is untyped
    """A session with default options but for its threads; `None` leaves them to onnxruntime as well."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    if threads is not None:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=CPU)


def floats(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The images in [0, 1], as the networks were trained."""
    return images.astype(np.float32) / np.float32(255)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keeps the chatter of exporters and compilers, native code included, off the terminal."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(stream) for stream in (1, 2)]
    with tempfile.TemporaryFile() as sink:
        for stream in (1, 2):
            os.dup2(sink.fileno(), stream)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for stream, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, stream)
                os.close(copy)

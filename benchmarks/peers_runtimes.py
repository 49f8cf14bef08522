"""One model in every runtime that a user could take instead: how each is made, and nothing about timing.

Each peer gets its best form for one batch size: fixed shapes where it takes them, its input converted to float32 before
the clock starts (edge's own sessions take the raw pixels, so their conversion is inside). One thread each.

| peer           | is                                                                                         |
|----------------|--------------------------------------------------------------------------------------------|
| torch          | `torch.inference_mode`, eager                                                              |
| torch.compile  | the same, compiled; torch leaves recurrent layers eager                                    |
| default        | `torch.onnx.export`, the tracing exporter, in a default ONNX Runtime session: the baseline |
| stock int8     | `quant_pre_process`, then `quantize_dynamic`, of that file                                 |
| openvino       | that file; LATENCY for single images, THROUGHPUT for batches; fp32 arithmetic              |
| openvino int8  | the stock int8 file                                                                        |
| tract          | the default file                                                                           |
| ncnn           | by pnnx, fp32; it has no batch axis: a batch is a loop                                     |
| edge, edge int8| the shipped bundles                                                                        |
"""

import subprocess
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stock_exports import StockExports, default_session, floats, silence
from torch import Tensor, nn

import edge
from edge.bundle import shipped
from edge.bundle.input import COLUMNS, ROWS
from edge_train.models.networks import RecurrentClassifier


@dataclass(frozen=True, slots=True)
class Peer:
    """A runtime with a model, ready for batches of one size.

    Attributes:
        prepare: uint8 images (B, 28, 28) to what `run` takes; outside the clock.
        run: the timed part; gives logits (B, 10), of any float array type.
        size_bytes: of the file or files that it reads.
    """

    prepare: Callable[[NDArray[np.uint8]], Any]
    run: Callable[[Any], Any]
    size_bytes: int


def tensors(images: NDArray[np.uint8]) -> Tensor:
    """The same for torch."""
    return torch.from_numpy(floats(images))


def _torch(source: StockExports, _batch: int) -> Peer:
    return Peer(tensors, torch.inference_mode()(source.module), source.checkpoint_bytes)


def _compiled(source: StockExports, batch: int) -> Peer:
    # Without this, shapes of an earlier model or batch size would count as recompilations of this one.
    torch.compiler.reset()
    compiled = torch.inference_mode()(torch.compile(source.module, dynamic=False))
    with silence():
        compiled(torch.zeros(batch, ROWS, COLUMNS))  # compiles
    return Peer(tensors, compiled, source.checkpoint_bytes)


def _onnxruntime(path: Path) -> Peer:
    session = default_session(path)
    return Peer(floats, lambda values: session.run(None, {"image": values})[0], path.stat().st_size)


def _default(source: StockExports, _batch: int) -> Peer:
    return _onnxruntime(source.exported)


def _stock_int8(source: StockExports, _batch: int) -> Peer:
    return _onnxruntime(source.stock_int8)


def _openvino(path: Path, batch: int) -> Peer:
    import openvino

    core = openvino.Core()
    model = core.read_model(str(path))
    model.reshape([batch, ROWS, COLUMNS])
    settings = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY" if batch == 1 else "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": "f32",  # bfloat16 where the processor has it would be another model
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return Peer(
        floats, lambda values: request.infer([values], share_inputs=True, share_outputs=True)[0], path.stat().st_size
    )


def _openvino_fp32(source: StockExports, batch: int) -> Peer:
    return _openvino(source.exported, batch)


def _openvino_int8(source: StockExports, batch: int) -> Peer:
    return _openvino(source.stock_int8, batch)


def _tract(source: StockExports, batch: int) -> Peer:
    import tract

    model = tract.onnx().load(str(source.exported))
    model.set_input_fact(0, f"{batch},{ROWS},{COLUMNS},f32")
    runnable = model.into_model().into_runnable()
    return Peer(floats, lambda values: runnable.run([values])[0].to_numpy(), source.exported.stat().st_size)


class LastStep(nn.Module):
    """The same recurrent network, its state read from the output sequence.

    pnnx connects the sequence where the final state belongs, without a word: as it is, the LSTM would answer from its
    first row, and the bidirectional one would end the process. In this form both are right.
    """

    def __init__(self, network: RecurrentClassifier) -> None:
        super().__init__()
        self.recurrent, self.head = network.recurrent, network.head

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 10) of float images (N, 28, 28) in [0, 1]."""
        sequence, _ = self.recurrent(images)
        hidden = self.recurrent.hidden_size
        last = sequence[:, -1]
        if self.recurrent.bidirectional:
            last = torch.cat((sequence[:, -1, :hidden], sequence[:, 0, hidden:]), 1)
        return self.head(last)  # type: ignore[no-any-return]


def _ncnn(source: StockExports, _batch: int) -> Peer:
    import ncnn
    import pnnx

    module: nn.Module = source.module
    if isinstance(module, RecurrentClassifier):
        module = LastStep(module).eval()
    traced = source.folder / f"{source.name.replace('-', '_')}.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that jit.trace is not the newest exporter
        torch.jit.trace(module, (torch.zeros(1, ROWS, COLUMNS),), check_trace=False).save(str(traced))  # type: ignore[no-untyped-call]
    converter = [pnnx.EXEC_PATH, traced.name, f"inputshape=[1,{ROWS},{COLUMNS}]", "fp16=0"]
    subprocess.run(converter, cwd=source.folder, check=True, capture_output=True)
    files = [traced.with_suffix(f".ncnn.{kind}") for kind in ("param", "bin")]
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_storage = net.opt.use_fp16_packed = net.opt.use_fp16_arithmetic = False
    if net.load_param(str(files[0])) or net.load_model(str(files[1])):
        raise ValueError("ncnn cannot load what pnnx wrote")

    def one(image: Any) -> NDArray[np.float32]:  # noqa: ANN401 - ncnn is untyped
        extractor = net.create_extractor()
        extractor.input("in0", image)
        return np.array(extractor.extract("out0")[1]).reshape(-1)

    return Peer(
        lambda images: [ncnn.Mat(image).clone() for image in floats(images)],
        lambda mats: np.stack([one(mat) for mat in mats]),
        sum(file.stat().st_size for file in files),
    )


def _bundle(name: str) -> Peer:
    classifier = edge.load(name, provider="cpu", threads=1)
    return Peer(lambda images: images, classifier.logits, shipped.locate(name).stat().st_size)


def _edge(source: StockExports, _batch: int) -> Peer:
    return _bundle(source.name)


def _edge_int8(source: StockExports, _batch: int) -> Peer:
    return _bundle(f"{source.name}-int8")


BASELINE = "default"
REFERENCE = "torch"
PEERS: dict[str, Callable[[StockExports, int], Peer]] = {
    REFERENCE: _torch,
    "torch.compile": _compiled,
    BASELINE: _default,
    "stock int8": _stock_int8,
    "openvino": _openvino_fp32,
    "openvino int8": _openvino_int8,
    "tract": _tract,
    "ncnn": _ncnn,
    "edge": _edge,
    "edge int8": _edge_int8,
}


def made(peer: str, source: StockExports, batch: int) -> Peer | str:
    """The peer for batches of that size, or the reason why there is none, in one line."""
    try:
        ready = PEERS[peer](source, batch)
        ready.run(ready.prepare(np.zeros((batch, ROWS, COLUMNS), np.uint8)))
    except ModuleNotFoundError as error:
        return f"not installed: {error.name}"
    except Exception as error:  # noqa: BLE001 - the peers' errors share no base, and each is an answer
        return " ".join(str(error).split())[:160] or type(error).__name__
    return ready

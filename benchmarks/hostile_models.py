"""The inputs of benchmarks/hostile.py that are bundles and checkpoints: they cost much, or lie about what they are.

Each is made here, with the tools that its format has; none is anybody's file.
"""

import base64
import hashlib
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from hostile_files import deflated_zeros
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper
from safetensors.torch import save as save_tensors

from edge.bundle import bundle, shipped
from edge.bundle.evidence import Evidence
from edge.bundle.graph import encode_bytes, encode_integer, encode_metadata
from edge.bundle.manifest import Manifest

_DIGEST_BYTES = len(encode_metadata("edge.digest", "0" * 64))

# --- bundles ----------------------------------------------------------------------------------------------------------


def linear(
    *,
    image: Sequence[int | str] = ("batch", 28, 28),
    nodes: Sequence[Any] = (),
    logits: str = "logits",
    tensors: Sequence[TensorProto] = (),
    scale: float = 1.0,
    functions: Sequence[Any] = (),
) -> ModelProto:
    """A linear classifier.

    Args:
        image: axes of the input.
        nodes: further ones, before the last.
        logits: what the product is called, where a further node makes the logits of it.
        tensors: further initializers.
        scale: of the weights.
        functions: of the model.
    """
    dice = np.random.default_rng(7)
    weights = (dice.normal(size=(784, 10)) / 2550 * scale).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["floats"], ["flat"], axis=1),
            helper.make_node("Gemm", ["flat", "weights", "bias"], [logits]),
            *nodes,
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, list(image))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 10]) for name in ("logits", "probabilities")],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.zeros(10, np.float32), "bias"),
            *tensors,
        ],
    )
    opsets = [helper.make_opsetid("", 13), *([helper.make_opsetid("own", 1)] if functions else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8 if functions else 7, functions=list(functions))


def facts(**changes: Any) -> tuple[Manifest, Evidence]:  # noqa: ANN401 - fields of the manifest
    """The manifest of a shipped bundle with other fields, and its evidence with what the linear classifier says."""
    source = bundle.read(shipped.locate("lstm"))
    graph = linear().graph
    weights, bias = (numpy_helper.to_array(tensor).astype(np.float64) for tensor in graph.initializer[:2])
    images = source.evidence.images
    logits = (images.reshape(len(images), -1) @ weights + bias).astype(np.float32)
    # an earlier edge refuses pictures where the recipe is a later one
    picture = {**source.manifest.picture, "version": 1}
    outputs = ("logits", "probabilities")
    plain = {
        "picture": picture,
        "outputs": outputs,
        "name": "linear",
        "architecture": {"kind": "linear"},
        "rejection": None,
        "temperature": 1.0,
    }
    return replace(source.manifest, **{**plain, **changes}), replace(source.evidence, logits=logits, limits=None)


def packed_zeros(size: int) -> str:
    """Images of evidence that inflate to so many bytes."""
    return base64.b64encode(deflated_zeros(size)).decode()


def sealed(model: bytes, *, manifest: str | None = None, evidence: str | None = None, **changes: Any) -> bytes:  # noqa: ANN401
    """A bundle with a good digest, whatever it holds: what somebody can make who knows the format."""
    described, proof = facts(**changes)
    body = model + encode_metadata("edge.manifest", manifest or described.to_json())
    body += encode_metadata("edge.evidence", evidence or proof.to_json())
    return body + encode_metadata("edge.digest", hashlib.sha256(body).hexdigest())


def resealed(content: bytes, more: bytes) -> bytes:
    """A bundle with more bytes in it, and a digest that is right again."""
    body = content[:-_DIGEST_BYTES] + more
    return body + encode_metadata("edge.digest", hashlib.sha256(body).hexdigest())


# What is added to a bundle, as bytes of a ModelProto: the graph is its field 7.
PIECES: Final[dict[str, Callable[[], bytes]]] = {
    "a million tensors": lambda: encode_bytes(
        7, encode_bytes(5, encode_integer(1, 1) + encode_integer(2, 1) + encode_bytes(8, "x")) * 1_000_000
    ),
    "a node with a million inputs": lambda: encode_bytes(
        7, encode_bytes(1, encode_bytes(1, "weights") * 1_000_000 + encode_bytes(2, "z") + encode_bytes(4, "Sum"))
    ),
    "a million notes": lambda: encode_metadata("k", "v") * 1_000_000,
    "a tensor of -1 values": lambda: encode_bytes(
        7, encode_bytes(5, encode_integer(1, 2**64 - 1) + encode_integer(2, 1) + encode_bytes(8, "x"))
    ),
    "an opset of 2^40": lambda: encode_bytes(8, encode_integer(2, 2**40)),
}


def reading(location: str) -> ModelProto:
    """A model that adds the first ten bytes of a file to its logits."""
    outside = TensorProto(name="outside", data_type=TensorProto.UINT8, dims=[10], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "10")):
        outside.external_data.add(key=key, value=value)
    nodes = [
        helper.make_node("Cast", ["outside"], ["outside floats"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["product", "outside floats"], ["logits"]),
    ]
    return linear(nodes=nodes, logits="product", tensors=[outside])


def endless() -> ModelProto:
    """A model with a Loop of 2^62 trips."""
    yes = numpy_helper.from_array(np.ones((), np.bool_), "yes")
    trips = numpy_helper.from_array(np.array(2**62, np.int64), "trips")
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["goes"]), helper.make_node("Identity", ["held"], ["holds"])],
        "body",
        [
            helper.make_tensor_value_info("trip", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("held", TensorProto.FLOAT, ["batch", 10]),
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("holds", TensorProto.FLOAT, ["batch", 10]),
        ],
    )
    node = helper.make_node("Loop", ["trips", "yes", "product"], ["logits"], body=body)
    return linear(nodes=[node], logits="product", tensors=[yes, trips])


def doubling(times: int) -> ModelProto:
    """A model whose functions call each other twice, one after another."""
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("own", 1)]
    functions = [helper.make_function("own", "f0", ["x"], ["y"], [helper.make_node("Neg", ["x"], ["y"])], opsets)]
    for number in range(1, times + 1):
        calls = [helper.make_node(f"f{number - 1}", [a], [b], domain="own") for a, b in (("x", "h"), ("h", "y"))]
        functions.append(helper.make_function("own", f"f{number}", ["x"], ["y"], calls, opsets))
    last = helper.make_node(f"f{times}", ["product"], ["logits"], domain="own")
    return linear(nodes=[last], logits="product", functions=functions)


def nested(depth: int) -> ModelProto:
    """A model with an If in a branch of an If, and so on."""
    answer = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])
    branch = helper.make_graph([helper.make_node("Identity", ["product"], ["logits"])], "b", [], [answer])
    for _ in range(depth):
        node = helper.make_node("If", ["yes"], ["logits"], then_branch=branch, else_branch=branch)
        branch = helper.make_graph([node], "b", [], [answer])
    yes = numpy_helper.from_array(np.ones((), np.bool_), "yes")
    return linear(nodes=list(branch.node), logits="product", tensors=[yes])


def not_numbers() -> ModelProto:
    """A model that answers NaN."""
    nodes = [
        helper.make_node("Sub", ["product", "product"], ["zeros"]),
        helper.make_node("Div", ["zeros", "zeros"], ["logits"]),
    ]
    return linear(nodes=nodes, logits="product")


def answering(value: TensorProto) -> ModelProto:
    """A model whose logits are a constant of any shape."""
    node = helper.make_node("Constant", [], ["logits"])
    node.attribute.append(AttributeProto(name="value", type=AttributeProto.TENSOR, t=value))
    model = linear(nodes=[node], logits="product")
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    return model


# --- checkpoints ------------------------------------------------------------------------------------------------------


def checkpoint(path: Path, source: Path, **changes: Any) -> Path:  # noqa: ANN401 - what its description says
    """A shipped checkpoint with something else in its description.

    Args:
        path: where to write it.
        source: the shipped one.
        changes: entries of the description.
    """
    content = source.read_bytes()
    (size,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + size])
    described = json.loads(header["__metadata__"]["edge.checkpoint"])
    described.update(changes)
    header["__metadata__"]["edge.checkpoint"] = json.dumps(described)
    return written_header(path, header, content[8 + size :])


def with_text(path: Path, source: Path, text: str) -> Path:
    """A shipped checkpoint whose description is that text."""
    content = source.read_bytes()
    (size,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"]["edge.checkpoint"] = text
    return written_header(path, header, content[8 + size :])


def written_header(path: Path, header: dict[str, Any], rest: bytes) -> Path:
    """A file of safetensors."""
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + rest)
    return path


def with_nan(path: Path, source: Path) -> Path:
    """A shipped checkpoint with a weight that is no number."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    weights = load_file(source)
    next(iter(weights.values())).view(-1)[0] = torch.nan
    with safe_open(source, "pt") as opened:
        path.write_bytes(save_tensors(weights, opened.metadata()))
    return path

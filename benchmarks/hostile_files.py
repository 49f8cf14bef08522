"""The inputs of benchmarks/hostile.py: pictures, bundles and checkpoints that cost much, or lie about what they are.

Each is made here, byte by byte or with the tools that its format has; none is anybody's file.
"""

import base64
import hashlib
import io
import json
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw
from safetensors.torch import save as save_tensors

from edge.bundle import bundle, shipped
from edge.bundle.evidence import Evidence
from edge.bundle.manifest import Manifest
from edge.bundle.wire import encode_bytes, encode_integer, encode_metadata

SEED = 14
FILL = 200  # of large pictures: pages of zeros would not be counted as memory
LABELS = tuple("0123456789")
_DIGEST_BYTES = len(encode_metadata("edge.digest", "0" * 64))

# --- pictures ---------------------------------------------------------------------------------------------------------


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:  # noqa: ANN401 - as Pillow takes them
    """The bytes of a picture file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def digit() -> Image.Image:
    """A digit one, dark on light."""
    image = Image.new("L", (90, 70), 240)
    ImageDraw.Draw(image).line((45, 10, 45, 60), fill=20, width=5)
    return image


def blank(mode: str, width: int, height: int) -> Image.Image:
    """A picture of one tone, in which no byte is zero."""
    if mode == "F":
        return Image.new("F", (width, height), 0.7)
    if mode == "I;16":
        return Image.fromarray(np.full((height, width), FILL * 256, np.uint16))
    return Image.new(mode, (width, height), FILL if len(mode) == 1 else (FILL,) * len(mode))


def chunk(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    """A chunk of a PNG, which may claim another length."""
    head = struct.pack(">I", len(content) if length is None else length)
    return head + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(more: bytes, before: bytes = b"IDAT") -> bytes:
    """A small PNG with more in it."""
    content = saved(digit(), "PNG")
    at = content.index(before) - 4
    return content[:at] + more + content[at:]


def png_of(width: int, height: int, depth: int, colours: int, more: bytes = b"") -> bytes:
    """A large PNG of one tone; Pillow writes none of 16 bits a colour."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours]
    packer = zlib.compressobj(9)
    row = b"\0" + bytes([FILL]) * (width * channels * depth // 8)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + more + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def palette_with_transparency(side: int) -> bytes:
    """A large PNG of palette colours, each with a transparency of its own."""
    return png_of(side, side, 8, 3, chunk(b"PLTE", bytes(range(256)) * 3) + chunk(b"tRNS", bytes(range(256))))


def noise(width: int, height: int, kind: str, **options: Any) -> bytes:  # noqa: ANN401 - as Pillow takes them
    """A picture that cannot be packed."""
    levels = np.random.default_rng(SEED).integers(0, 256, (height, width), np.uint8)
    return saved(Image.fromarray(levels), kind, **options)


def jpeg_with(segments: bytes) -> bytes:
    """A small JPEG with more segments."""
    content = saved(digit(), "JPEG")
    return content[:2] + segments + content[2:]


def scans(image: Image.Image, count: int) -> bytes:
    """A progressive JPEG that passes over its picture so often."""
    content = saved(image, "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * (count - content.count(b"\xff\xda")) + b"\xff\xd9"


def pale_colours(mode: str, width: int, height: int, kind: str, **options: Any) -> bytes:  # noqa: ANN401 - as above
    """Green on red of the same luminance, so that colours must be looked at."""
    opaque = (255,) if mode == "RGBA" else ()
    image = Image.new(mode, (width, height), (200, 0, 0, *opaque))
    image.paste((0, 101, 0, *opaque), (width // 3, height // 4, width // 2, height * 3 // 4))
    return saved(image, kind, **options)


def damaged_fax() -> bytes:
    """A page in fax coding with a line that cannot be read."""
    page = Image.new("1", (400, 400), 1)
    ImageDraw.Draw(page).line([(100, 100), (200, 300), (300, 80)], fill=0, width=20)
    content = bytearray(saved(page, "TIFF", compression="group4"))
    content[158:164] = b"\xff\x00\xaa\x55\x01\x80"
    return bytes(content)


def tiff(entries: Iterable[tuple[int, int, int, int]], data: bytes = b"") -> bytes:
    """A TIFF of a directory (tag, type, count, value) and what follows it."""
    rows = sorted(entries)
    return (
        b"II*\0"
        + struct.pack("<IH", 8, len(rows))
        + b"".join(struct.pack("<HHII", *row) for row in rows)
        + bytes(4)
        + data
    )


def tiff_directory(*more: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """The entries of a grey picture of 30 x 30 pixels, those that are given in their place."""
    known = [(256, 4, 1, 30), (257, 4, 1, 30), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]
    return [entry for entry in known if entry[0] not in {each[0] for each in more}] + list(more)


def tile_bomb() -> bytes:
    """A picture of 100 x 100 pixels in one tile of two thousand megapixels."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1908)) + packer.flush()
    tile = [(256, 4, 1, 100), (257, 4, 1, 100), (259, 3, 1, 8), (322, 4, 1, 50_000), (323, 4, 1, 40_000)]
    place = 14 + 12 * 10
    return tiff(tiff_directory(*tile, (324, 4, 1, place), (325, 4, 1, len(packed))), packed)


def bmp_in_runs(width: int, height: int, runs: bytes) -> bytes:
    """A BMP whose pixels are runs."""
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 1078) + head + bytes(1024) + runs


def webp_with_notes(size: int) -> bytes:
    """A small WebP with so many bytes of camera notes."""
    content = saved(digit(), "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    content = content[: content.index(b"EXIF")] + b"EXIF" + struct.pack("<I", size) + bytes(size)
    return content[:4] + struct.pack("<I", len(content) - 8) + content[8:]


def gif_with(blocks: bytes) -> bytes:
    """A small GIF with more before its picture."""
    content = saved(digit(), "GIF")
    at = 13 + (3 << (content[10] & 7) + 1)
    return content[:at] + blocks + content[at:]


def deflated_zeros(size: int) -> bytes:
    """Zeros, packed."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()


def photograph() -> bytes:
    """A digit one on paper, of 12 megapixels."""
    paper = np.random.default_rng(SEED).normal(200, 8, (3000, 4000, 3)).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(paper)
    ImageDraw.Draw(image).line((2000, 800, 2000, 2200), fill=(20, 20, 20), width=150)
    return saved(image, "JPEG", quality=80)


def table_of_zeros(size: int) -> bytes:
    """A Parquet file with one picture of so many zeros, which takes some kilobytes."""
    import pyarrow as pa
    from pyarrow import parquet

    file = io.BytesIO()
    table = pa.table({"bytes": [bytes(size)]})
    parquet.write_table(table, file, compression="zstd", use_dictionary=False, write_statistics=False)
    return file.getvalue()


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

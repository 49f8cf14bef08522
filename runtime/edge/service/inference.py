"""The Open Inference Protocol, version 2, over HTTP: tensors in, tensors out, as JSON or binary.

Input `image` is UINT8 [N, 28, 28], ink 255 on background 0; or, of datatype BYTES [N], N picture files (base64 in
JSON), which are read as `edge predict` reads them. Outputs are `logits`, `probabilities` and, where the bundle can
say, `score`, each FP32; without `outputs` in the request all are given.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md. The binary tensor
extension and the classification extension are Triton's: https://github.com/triton-inference-server/server,
docs/protocol/extension_binary_data.md and extension_classification.md.
"""

import base64
import binascii
import functools
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.bundle.input import COLUMNS, NAME, ROWS
from edge.bundle.manifest import Manifest
from edge.service.microbatching import IMAGE_BYTES, Outputs
from edge.service.requests import RequestError, whole_number

JSON_LENGTH = b"inference-header-content-length"
"""Header that says how many bytes of a body are JSON; the rest are binary tensors."""

BINARY = b"application/octet-stream"
EXTENSIONS = ("binary_tensor_data", "classification")
VERSION = "1"
"""The only version of a model: a bundle has no others, its digest tells what it is."""

_DATA = b'"data"'
_OTHER_BRACKETS = 1000  # in JSON, beside those of images in nested arrays: an empty array takes 30 times its bytes
_LENGTH_BYTES = 4  # before each element of a BYTES tensor, little-endian


class Wanted(NamedTuple):
    """One output that a request asks for.

    Attributes:
        name: of the output.
        binary: whether its data go behind the JSON as bytes.
        classes: the so many best classes as `value:index:label` in place of the values; 0 for the values.
    """

    name: str
    binary: bool
    classes: int


class Request(NamedTuple):
    """What a request asks for.

    Attributes:
        identifier: that the answer repeats; None where there is none.
        pixels: N x 784 bytes; None where pictures came instead.
        pictures: picture files; None where pixels came.
        outputs: in the order of the request.
    """

    identifier: str | None
    pixels: bytes | None
    pictures: list[bytes] | None
    outputs: tuple[Wanted, ...]


def metadata(name: str, manifest: Manifest) -> dict[str, Any]:
    """What a model takes and gives, in the protocol's form."""
    classes = len(manifest.labels)
    return {
        "name": name,
        "versions": [VERSION],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": NAME, "datatype": "UINT8", "shape": [-1, ROWS, COLUMNS]}],
        "outputs": [
            {"name": output, "datatype": "FP32", "shape": [-1] if output == "score" else [-1, classes]}
            for output in output_names(manifest)
        ],
    }


def output_names(manifest: Manifest) -> tuple[str, ...]:
    """The outputs that a model can give."""
    return ("logits", "probabilities", *(("score",) if manifest.rejection is not None else ()))


def parse(body: bytes, json_length: bytes, manifest: Manifest, most_images: int) -> Request:
    """Reads a request.

    Args:
        body: of the request, decompressed.
        json_length: the value of its header `Inference-Header-Content-Length`; empty where all of it is JSON.
        manifest: of the model that it asks.
        most_images: that it may bring.

    Raises:
        RequestError: it is no such request; the message says what was expected.
    """
    head, binary = _divided(body, json_length)
    if head.count(b"[") + head.count(b"{") > _OTHER_BRACKETS + most_images * (ROWS + 1):
        raise RequestError(413, f"the JSON has too many arrays and objects; send at most {most_images} images")
    try:
        document, flat = _loaded(head)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the request is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise RequestError(400, "the request is no JSON object; it needs `inputs`")
    identifier = document.get("id")
    if identifier is not None and not isinstance(identifier, str):
        raise RequestError(400, f"the id {identifier!r} is no string")
    pixels, pictures = _input(document.get("inputs"), binary, flat, most_images)
    return Request(identifier, pixels, pictures, _outputs(document, manifest))


def _loaded(head: bytes) -> tuple[Any, bytes | None]:
    """The JSON of a request, and the values of its `data` where they are one flat array of bytes.

    Nearly all of a request in JSON is that array, and NumPy reads it in half of the time. It stands as null in the
    document then. Whatever is not exactly such an array is left to `json`, and so is the error that it may be.
    """
    key = head.find(_DATA)
    first = head.find(b"[", key)
    last = head.find(b"]", first)
    if 0 <= key < first < last and head[key + len(_DATA) : first].strip() == b":" and head.find(_DATA, last) < 0:
        values = _whole_numbers(head[first + 1 : last])
        if values is not None:
            return json.loads(b"null".join([head[:first], head[last + 1 :]])), values
    return json.loads(head), None


def _whole_numbers(text: bytes) -> bytes | None:
    """Numbers from 0 to 255 with commas between them, as JSON writes them; None for anything else."""
    text = text.replace(b", ", b",")
    if text.translate(None, b"0123456789,"):
        return None
    try:
        values = np.fromstring(text, np.int64, sep=",")
    except (ValueError, DeprecationWarning):  # which of them depends on NumPy's version and on the filter of warnings
        return None
    commas = text.count(b",")
    if len(values) != commas + 1 or int(values.max()) > 255:
        return None
    digits = len(values) + int(np.count_nonzero(values > 9)) + int(np.count_nonzero(values > 99))
    return values.astype(np.uint8).tobytes() if digits == len(text) - commas else None  # as in 007


def _divided(body: bytes, json_length: bytes) -> tuple[bytes, memoryview]:
    if not json_length:
        return body, memoryview(b"")
    at = whole_number(json_length)
    if at is None or at > len(body):
        raise RequestError(
            400, f"Inference-Header-Content-Length {json_length.decode('latin-1')!r} does not fit a body of {len(body)}"
        )
    return body[:at], memoryview(body)[at:]


def _input(
    inputs: object, binary: memoryview, flat: bytes | None, most: int
) -> tuple[bytes | None, list[bytes] | None]:
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise RequestError(400, f"a request needs `inputs` with exactly one tensor, `{NAME}`")
    tensor = inputs[0]
    name, datatype, shape = tensor.get("name"), tensor.get("datatype"), tensor.get("shape")
    if name != NAME:
        raise RequestError(400, f"no input is called {name!r}; send `{NAME}`")
    if not isinstance(shape, list) or not all(type(axis) is int and axis >= 0 for axis in shape):
        raise RequestError(400, f"the shape {shape!r} is no list of sizes")
    binary_size = _parameters(tensor).get("binary_data_size")
    if binary_size is None and len(binary):
        raise RequestError(400, f"{len(binary)} bytes follow the JSON, and no input has `binary_data_size`")
    if binary_size is not None and (type(binary_size) is not int or binary_size != len(binary)):
        raise RequestError(400, f"binary_data_size is {binary_size!r}, and {len(binary)} bytes follow the JSON")
    if binary_size is not None and "data" in tensor:
        raise RequestError(400, f"{NAME} has `data` and `binary_data_size`; send one of them")
    data = binary if binary_size is not None else tensor.get("data")
    if flat is not None and data is None and "data" in tensor:
        data = list(flat) if datatype == "BYTES" else flat
    if datatype == "BYTES":
        return None, _picture_files(shape, data, most)
    if datatype != "UINT8":
        raise RequestError(
            400, f"{NAME} is {datatype!r}; send UINT8 [N, {ROWS}, {COLUMNS}], or BYTES [N] with pictures"
        )
    if len(shape) != 3 or shape[1:] != [ROWS, COLUMNS]:
        raise RequestError(400, f"{NAME} has shape {shape}; expected [N, {ROWS}, {COLUMNS}]")
    _check_count(shape[0], most)
    pixels = bytes(data) if isinstance(data, memoryview | bytes) else _flat(data)
    if len(pixels) != shape[0] * IMAGE_BYTES:
        raise RequestError(400, f"{NAME} of shape {shape} has {shape[0] * IMAGE_BYTES} values, and {len(pixels)} came")
    return pixels, None


def _check_count(count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise RequestError(400 if count < 1 else 413, f"{count} images came; send 1 to {most} in a request")


def _flat(data: object) -> bytes:
    """The bytes of a JSON array of numbers, flat or nested as the shape is."""
    try:
        while isinstance(data, list) and data and isinstance(data[0], list):
            data = [value for part in data for value in part]
        if isinstance(data, list):
            return bytes(data)
    except (TypeError, ValueError):
        pass
    raise RequestError(400, f"the data of {NAME} must be a JSON array of whole numbers from 0 to 255")


def _picture_files(shape: list[int], data: object, most: int) -> list[bytes]:
    if len(shape) != 1:
        raise RequestError(400, f"{NAME} as BYTES has shape {shape}; expected [N], a picture file each")
    _check_count(shape[0], most)
    files = _elements(data) if isinstance(data, memoryview) else _decoded(data)
    if len(files) != shape[0]:
        raise RequestError(400, f"{NAME} of shape {shape} came with {len(files)} picture files")
    return files


def _elements(data: memoryview) -> list[bytes]:
    files = []
    while len(data):
        size = int.from_bytes(data[:_LENGTH_BYTES], "little")
        if len(data) < _LENGTH_BYTES + size:
            raise RequestError(
                400, "a BYTES tensor is cut off: each element is 4 bytes of length, then that many bytes"
            )
        files.append(bytes(data[_LENGTH_BYTES : _LENGTH_BYTES + size]))
        data = data[_LENGTH_BYTES + size :]
    return files


def _decoded(data: object) -> list[bytes]:
    if not isinstance(data, list) or not all(isinstance(each, str) for each in data):
        raise RequestError(400, f"the data of {NAME} as BYTES must be a JSON array of base64 strings")
    try:
        return [base64.b64decode(each, validate=True) for each in data]
    except (binascii.Error, ValueError) as error:
        raise RequestError(400, f"a picture is no base64: {error}") from error


def _parameters(part: dict[str, Any]) -> dict[str, Any]:
    parameters = part.get("parameters", {})
    if not isinstance(parameters, dict):
        raise RequestError(400, "`parameters` must be a JSON object")
    return parameters


def _outputs(document: dict[str, Any], manifest: Manifest) -> tuple[Wanted, ...]:
    all_binary = _parameters(document).get("binary_data_output", False) is True
    known = output_names(manifest)
    asked = document.get("outputs")
    if asked is None or asked == []:
        return tuple(Wanted(name, all_binary, 0) for name in known)
    if not isinstance(asked, list) or not all(isinstance(each, dict) for each in asked):
        raise RequestError(400, "`outputs` must be a JSON array of objects with a `name`")
    wanted: list[Wanted] = []
    for each in asked:
        name, parameters = each.get("name"), _parameters(each)
        if name not in known:
            raise RequestError(400, f"no output is called {name!r}; there are {', '.join(known)}")
        classes = parameters.get("classification", 0)
        if type(classes) is not int or classes < 0 or (classes and name == "score"):
            raise RequestError(400, f"classification of {name} cannot be {classes!r}; give a number of classes")
        binary = parameters.get("binary_data", all_binary)
        if not isinstance(binary, bool):
            raise RequestError(400, f"binary_data of {name} must be true or false")
        if any(other.name == name for other in wanted):
            raise RequestError(400, f"the output {name} is asked for twice; name it once")
        wanted.append(Wanted(name, binary, min(classes, len(manifest.labels))))
    return tuple(wanted)


def answer(
    name: str, request: Request, outputs: Outputs, labels: tuple[str, ...]
) -> tuple[bytes, bytes, list[tuple[bytes, bytes]]]:
    """The body of an answer, its content type, and the headers that belong to it."""
    parts, tail = [], []
    for wanted in request.outputs:
        values = _values(wanted.name, outputs)
        count = len(values)
        if wanted.classes:
            texts = _classification(values, labels, wanted.classes)
            head = f'{{"name":"{wanted.name}","datatype":"BYTES","shape":[{count},{wanted.classes}]'
            data = _length_prefixed(texts) if wanted.binary else json.dumps(texts)
        else:
            axes = ",".join(map(str, values.shape))
            head = f'{{"name":"{wanted.name}","datatype":"FP32","shape":[{axes}]'
            data = values.astype("<f4", copy=False).tobytes() if wanted.binary else _numbers(name, values)
        if isinstance(data, bytes):
            tail.append(data)
            parts.append(f'{head},"parameters":{{"binary_data_size":{len(data)}}}}}')
        else:
            parts.append(f'{head},"data":{data}}}')
    identifier = "" if request.identifier is None else f'"id":{json.dumps(request.identifier)},'
    text = (
        f'{{{identifier}"model_name":{json.dumps(name)},"model_version":"{VERSION}","outputs":[{",".join(parts)}]}}'
    ).encode()
    if not tail:
        return text, b"application/json", []
    return b"".join([text, *tail]), BINARY, [(JSON_LENGTH, str(len(text)).encode())]


def _values(name: str, outputs: Outputs) -> NDArray[np.floating[Any]]:
    if name == "logits":
        return outputs.logits
    if name == "probabilities":
        return outputs.probabilities
    assert outputs.scores is not None  # such an output is known only where the manifest has it
    return outputs.scores.astype(np.float32)


def _numbers(name: str, values: NDArray[np.floating[Any]]) -> str:
    """A flat JSON array; nine digits tell any two float32 values apart."""
    text = _pattern(values.size) % tuple(values.ravel().tolist())
    if "n" in text:  # nan or inf, which JSON has not
        raise RequestError(500, f"{name} answered with something that is no number; verify it with `edge verify`")
    return text


@functools.lru_cache(maxsize=64)
def _pattern(count: int) -> str:
    """Of so many numbers: filling in all at once takes a third of the time of one after the other."""
    return "[" + ",".join(["%.9g"] * count) + "]"


def _classification(values: NDArray[np.floating[Any]], labels: tuple[str, ...], classes: int) -> list[str]:
    """For each image its best classes, as `value:index:label`, best first."""
    order = np.argsort(-values, axis=1, kind="stable")[:, :classes]
    return [
        f"{values[row, index]:.6f}:{index}:{labels[index]}"
        for row, indices in enumerate(order.tolist())
        for index in indices
    ]


def _length_prefixed(texts: Iterable[str]) -> bytes:
    encoded = [text.encode() for text in texts]
    return b"".join(len(text).to_bytes(_LENGTH_BYTES, "little") + text for text in encoded)

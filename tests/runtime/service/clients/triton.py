"""What tritonclient, of the Triton Inference Server, makes of the service; prints the outcome of each check as JSON.

python triton.py PORT IMAGES.npy
"""

import io
import json
import struct
import sys
import zlib
from collections.abc import Callable

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

MODEL = "linear-fp32"
images = np.load(sys.argv[2])
client = InferenceServerClient(f"127.0.0.1:{sys.argv[1]}")


def tensor(*, binary: bool) -> InferInput:
    given = InferInput("image", list(images.shape), "UINT8")
    given.set_data_from_numpy(images, binary_data=binary)
    return given


def probabilities(*, binary_in: bool, binary_out: bool, compression: str | None = None) -> np.ndarray:
    answer = client.infer(
        MODEL,
        [tensor(binary=binary_in)],
        outputs=[InferRequestedOutput("probabilities", binary_data=binary_out)],
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    return answer.as_numpy("probabilities")


def png(image: np.ndarray) -> bytes:
    """A grey PNG, by hand: this environment has no Pillow."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.tobytes() for row in image)
    head = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8, 0, 0, 0, 0)
    content = io.BytesIO()
    content.write(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    return content.getvalue()


def picture_files() -> bool:
    given = InferInput("image", [2], "BYTES")
    given.set_data_from_numpy(np.array([png(images[2])] * 2, dtype=np.object_), binary_data=True)
    found = client.infer(MODEL, [given]).as_numpy("probabilities")
    return bool(np.array_equal(found, reference[[2, 2]]))


def classes(*, binary: bool) -> bool:
    wanted = [InferRequestedOutput("logits", binary_data=binary, class_count=3)]
    found = client.infer(MODEL, [tensor(binary=True)], outputs=wanted).as_numpy("logits")
    words = [value.decode() if isinstance(value, bytes) else value for value in found[0]]
    return found.shape == (5, 3) and int(words[0].split(":")[1]) == int(reference[0].argmax())


def refused(act: Callable[[], object], status: str) -> bool:
    try:
        act()
    except InferenceServerException as error:
        return error.status() == status and bool(error.message())
    return False


def wrong_shape() -> object:
    given = InferInput("image", [1, 784], "UINT8")
    given.set_data_from_numpy(images[:1].reshape(1, 784))
    return client.infer(MODEL, [given])


reference = probabilities(binary_in=True, binary_out=True)
metadata = client.get_model_metadata(MODEL)
later = client.async_infer(MODEL, [tensor(binary=True)]).get_result()
checks = {
    "live": client.is_server_live(),
    "ready": client.is_server_ready(),
    "model ready": client.is_model_ready(MODEL),
    "model of that version ready": client.is_model_ready(MODEL, "1"),
    "no such model": not client.is_model_ready("nobody"),
    "server metadata": client.get_server_metadata()["name"] == "edge",
    "extensions": "binary_tensor_data" in client.get_server_metadata()["extensions"],
    "model metadata": metadata["inputs"][0]["shape"] == [-1, 28, 28],
    "model metadata of that version": client.get_model_metadata(MODEL, "1") == metadata,
    "JSON in, binary out": bool(np.array_equal(probabilities(binary_in=False, binary_out=True), reference)),
    "binary in, JSON out": bool(np.array_equal(probabilities(binary_in=True, binary_out=False), reference)),
    "JSON both ways": bool(np.array_equal(probabilities(binary_in=False, binary_out=False), reference)),
    "gzip": bool(np.array_equal(probabilities(binary_in=True, binary_out=True, compression="gzip"), reference)),
    "deflate": bool(np.array_equal(probabilities(binary_in=True, binary_out=True, compression="deflate"), reference)),
    "the answer repeats the id": client.infer(MODEL, [tensor(binary=True)], request_id="7").get_response()["id"] == "7",
    "asynchronous": bool(np.array_equal(later.as_numpy("probabilities"), reference)),
    "picture files": picture_files(),
    "classes, binary": classes(binary=True),
    "classes, JSON": classes(binary=False),
    "a wrong shape is told": refused(wrong_shape, "400"),
    "an unknown model is told": refused(lambda: client.infer("nobody", [tensor(binary=True)]), "404"),
}
print(json.dumps({name: bool(outcome) for name, outcome in checks.items()}))

"""The Open Inference Protocol: what a client may send, in which forms, and what it gets."""

import base64
import gzip
import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="the extra `serve` is not installed")

from edge.classifier.classifier import load
from edge.service import inference
from edge.service.microbatching import Outputs
from edge.service.requests import RequestError

INFER = "/v2/models/linear-fp32/infer"


@pytest.fixture
def expected(bundle_path, images):
    """Logits and probabilities of the runtime itself."""
    classifier = load(bundle_path, provider="cpu")
    return {"logits": classifier.logits(images), "probabilities": classifier.classify(images)}


def values(reply, name):
    """An output of an answer in JSON, as an array."""
    (found,) = [output for output in reply.json["outputs"] if output["name"] == name]
    return np.array(found["data"], np.float32).reshape(found["shape"])


def binary_request(document, pixels):
    head = json.dumps(document).encode()
    return head + pixels, {
        "Inference-Header-Content-Length": str(len(head)),
        "Content-Type": "application/octet-stream",
    }


def test_the_server_and_its_models_describe_themselves(client):
    assert client.get("/v2").json["extensions"] == ["binary_tensor_data", "classification"]
    assert client.get("/v2/health/live").json == {"live": True}
    assert client.get("/v2/health/ready").json == {"ready": True}
    for path in ("/v2/models/linear-fp32", "/v2/models/linear-fp32/versions/1"):
        facts = client.get(path).json
        assert facts["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28]}]
        assert [output["name"] for output in facts["outputs"]] == ["logits", "probabilities"]
        assert client.get(path + "/ready").json == {"name": "linear-fp32", "ready": True}


def test_json_in_and_out_is_what_the_runtime_says(client, images, tensor, expected):
    reply = client.post(INFER, {"id": "7", "inputs": [tensor(images)]})
    assert (reply.status, reply.json["id"], reply.json["model_name"]) == (200, "7", "linear-fp32")
    for name, array in expected.items():
        assert np.array_equal(values(reply, name), array)


def numbers(text, **changes):
    """A request whose `data` is written as it stands here."""
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 28, 28], **changes}
    return json.dumps({"inputs": [{**tensor, "data": None}]}).replace("null", text).encode()


@pytest.mark.parametrize("comma", [", ", ",", " , ", ",\n  ", "\t,"])
def test_the_numbers_of_an_image_are_read_however_they_are_written(client, images, expected, comma):
    for image, row in zip(images, expected["logits"], strict=True):
        reply = client.post(INFER, numbers(f"[{comma.join(map(str, image.ravel().tolist()))}]"))
        assert reply.status == 200, reply.body
        np.testing.assert_allclose(values(reply, "logits")[0], row, atol=1e-5)


ZEROS = ["0"] * 784


@pytest.mark.parametrize(
    "text",
    [
        "[" + ",".join(["256", *ZEROS[1:]]) + "]",
        "[" + ",".join(["99999999999999999999999", *ZEROS[1:]]) + "]",
        "[" + ",".join(["-1", *ZEROS[1:]]) + "]",
        "[" + ",".join(["007", *ZEROS[1:]]) + "]",
        "[" + ",".join(["00", *ZEROS[1:]]) + "]",
        "[" + ",".join(["1.5", *ZEROS[1:]]) + "]",
        "[" + ",".join(["1e2", *ZEROS[1:]]) + "]",
        "[" + ",".join(["null", *ZEROS[1:]]) + "]",
        "[" + ",".join(["", *ZEROS[1:]]) + "]",
        "[" + ",".join([*ZEROS, ""]) + "]",
        "[" + ",".join([*ZEROS[1:], "0 0"]) + "]",
        "[" + ",".join([*ZEROS[2:], "0,,0"]) + "]",
        "[" + ",".join(ZEROS[1:]) + "]",
        "[" + ",".join([*ZEROS, "0"]) + "]",
        "[" + ",".join(ZEROS),
        "[]",
        "[ ]",
        "null",
        "7",
        '"0,0"',
        "{}",
    ],
)
def test_what_are_no_pixels_are_refused(client, text):
    reply = client.post(INFER, numbers(text))
    assert reply.status == 400, reply.body


def test_an_array_elsewhere_is_not_taken_for_the_pixels(client):
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 28, 28]}
    zeros = [0] * 784
    assert client.post(INFER, {"inputs": [tensor], "data": zeros}).status == 400
    assert client.post(INFER, {"inputs": [{**tensor, 'x"data': zeros}]}).status == 400
    assert client.post(INFER, {"inputs": [{**tensor, "data": zeros}], "parameters": {"data": [9]}}).status == 200
    assert client.post(INFER, {"id": "data", "inputs": [{**tensor, "data": zeros}]}).json["id"] == "data"
    numbers_as_files = {**tensor, "datatype": "BYTES", "shape": [784], "data": zeros}
    assert client.post(INFER, {"inputs": [numbers_as_files]}).status == 400


def test_nested_arrays_are_taken_as_flat_ones(client, images, tensor, expected):
    reply = client.post(INFER, {"inputs": [tensor(images, data=images.tolist())]})
    assert np.array_equal(values(reply, "logits"), expected["logits"])


def test_binary_in_and_out_is_what_the_runtime_says(client, images, tensor, expected):
    document = {"inputs": [tensor(images, binary=True)], "parameters": {"binary_data_output": True}}
    reply = client.post(INFER, *binary_request(document, images.tobytes()))
    head = json.loads(reply.body[: int(reply.headers["inference-header-content-length"])])
    tail = reply.body[int(reply.headers["inference-header-content-length"]) :]
    for output in head["outputs"]:
        size = output["parameters"]["binary_data_size"]
        array = np.frombuffer(tail[:size], "<f4").reshape(output["shape"])
        assert np.array_equal(array, expected[output["name"]])
        tail = tail[size:]
    assert tail == b""


def test_outputs_come_in_the_order_and_form_that_is_asked_for(client, images, tensor):
    outputs = [{"name": "probabilities"}, {"name": "logits", "parameters": {"binary_data": True}}]
    reply = client.post(INFER, {"inputs": [tensor(images[:2])], "outputs": outputs})
    head = json.loads(reply.body[: int(reply.headers["inference-header-content-length"])])
    assert [output["name"] for output in head["outputs"]] == ["probabilities", "logits"]
    assert "data" in head["outputs"][0]
    assert head["outputs"][1]["parameters"] == {"binary_data_size": 2 * 10 * 4}


def test_classification_gives_the_best_classes_with_their_labels(client, images, tensor, expected):
    outputs = [{"name": "logits", "parameters": {"classification": 2}}]
    reply = client.post(INFER, {"inputs": [tensor(images[:3])], "outputs": outputs})
    (found,) = reply.json["outputs"]
    assert (found["datatype"], found["shape"]) == ("BYTES", [3, 2])
    best = expected["logits"][0].argmax()
    value, index, label = found["data"][0].split(":")
    assert (int(index), label) == (best, str(best))
    assert float(value) == pytest.approx(float(expected["logits"][0, best]), abs=1e-5)


@pytest.mark.parametrize("binary", [False, True])
def test_picture_files_are_read_as_the_command_reads_them(client, images, expected, binary):
    content = io.BytesIO()
    Image.fromarray(images[2]).save(content, "PNG")
    picture = content.getvalue()
    shape = {"name": "image", "datatype": "BYTES", "shape": [2]}
    if binary:
        element = len(picture).to_bytes(4, "little") + picture
        document = {"inputs": [{**shape, "parameters": {"binary_data_size": 2 * len(element)}}]}
        reply = client.post(INFER, *binary_request(document, 2 * element))
    else:
        data = [base64.b64encode(picture).decode()] * 2
        reply = client.post(INFER, {"inputs": [{**shape, "data": data}]})
    assert np.array_equal(values(reply, "logits"), expected["logits"][[2, 2]])


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_bodies_are_compressed_both_ways(client, images, tensor, encoding, pack):
    body = pack(json.dumps({"inputs": [tensor(images)]}).encode())
    reply = client.post(INFER, body, {"Content-Encoding": encoding, "Accept-Encoding": encoding})
    assert reply.headers["content-encoding"] == encoding
    unpack = gzip.decompress if encoding == "gzip" else zlib.decompress
    assert json.loads(unpack(reply.body))["model_name"] == "linear-fp32"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "picture"}, "no input is called 'picture'"),
        ({"datatype": "FP32"}, "send UINT8 [N, 28, 28]"),
        ({"shape": [1, 1, 28, 28]}, "expected [N, 28, 28]"),
        ({"shape": [5, 28]}, "expected [N, 28, 28]"),
        ({"shape": [2, 28, 28]}, "1568 values, and 3920 came"),
        ({"shape": [0, 28, 28], "data": []}, "send 1 to 4096"),
        ({"shape": ["a", 28, 28]}, "no list of sizes"),
        ({"shape": [True, 28, 28]}, "no list of sizes"),
        ({"data": [0.5] * 3920}, "whole numbers from 0 to 255"),
        ({"data": [256] * 3920}, "whole numbers from 0 to 255"),
        ({"data": "zero"}, "whole numbers from 0 to 255"),
        ({"parameters": {"binary_data_size": 3920}}, "0 bytes follow the JSON"),
        ({"parameters": []}, "`parameters` must be a JSON object"),
        ({"datatype": "BYTES", "shape": [1], "data": ["no base64!"]}, "no base64"),
        ({"datatype": "BYTES", "shape": [2], "data": ["AAAA"]}, "came with 1 picture files"),
        ({"datatype": "BYTES", "shape": [1, 1], "data": ["AAAA"]}, "expected [N]"),
    ],
)
def test_a_wrong_tensor_is_refused_with_what_was_expected(client, images, tensor, change, told):
    reply = client.post(INFER, {"inputs": [{**tensor(images), **change}]})
    assert reply.status == 400
    assert told in reply.json["error"]


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (b"{", "no JSON"),
        (b"[]", "no JSON object"),
        (b"[" * 100_000, "no JSON"),
        (b"\xff\xfe", "no JSON"),
        ({}, "exactly one tensor"),
        ({"inputs": []}, "exactly one tensor"),
        ({"inputs": [{}, {}]}, "exactly one tensor"),
        ({"inputs": ["image"]}, "exactly one tensor"),
    ],
)
def test_what_is_no_request_is_refused(client, document, told):
    reply = client.post(INFER, document)
    assert reply.status == 400
    assert told in reply.json["error"]


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        ([{"name": "score"}], "no output is called 'score'"),
        ("logits", "array of objects"),
        ([{"name": "logits"}, {"name": "logits"}], "asked for twice"),
        ([{"name": "logits", "parameters": {"classification": -1}}], "give a number of classes"),
        ([{"name": "logits", "parameters": {"binary_data": "yes"}}], "must be true or false"),
    ],
)
def test_a_wrong_output_is_refused(client, images, tensor, outputs, told):
    reply = client.post(INFER, {"inputs": [tensor(images)], "outputs": outputs})
    assert reply.status == 400
    assert told in reply.json["error"]


@pytest.mark.parametrize("length", ["-1", "abc", "99999"])
def test_a_wrong_length_of_the_json_is_refused(client, images, tensor, length):
    reply = client.post(INFER, {"inputs": [tensor(images)]}, {"Inference-Header-Content-Length": length})
    assert (reply.status, "does not fit" in reply.json["error"]) == (400, True)


def test_a_cut_off_bytes_tensor_is_refused(client):
    document = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}}]}
    reply = client.post(INFER, *binary_request(document, b"\xff\x00\x00\x00ab"))
    assert (reply.status, "cut off" in reply.json["error"]) == (400, True)


def test_a_picture_that_cannot_be_read_refuses_the_request(client):
    data = [base64.b64encode(b"no picture").decode()]
    reply = client.post(INFER, {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": data}]})
    assert (reply.status, "not a picture" in reply.json["error"]) == (422, True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/nobody", 404),
        ("GET", "/v2/models/nobody/ready", 404),
        ("POST", "/v2/models/nobody/infer", 404),
        ("GET", "/v2/models/linear-fp32/versions/2", 404),
        ("GET", "/nothing", 404),
        ("GET", "/page/../settings.py", 404),
        ("GET", INFER, 405),
        ("POST", "/v2", 405),
    ],
)
def test_every_error_is_json(client, method, path, status):
    reply = client.ask(method, path)
    assert reply.status == status
    assert set(reply.json) == {"error"}
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_answer_that_is_no_number_is_an_error(manifest, value):
    """NaN is no JSON, and no answer; the classifier refuses such logits before they come here."""
    nothing = np.full((1, 10), value, np.float32)
    request = inference.Request(None, bytes(784), None, (inference.Wanted("logits", binary=False, classes=0),))
    with pytest.raises(RequestError, match="no number") as refused:
        inference.answer("linear", request, Outputs(nothing, nothing, None), manifest.labels)
    assert refused.value.status == 500

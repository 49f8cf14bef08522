"""Picture files over HTTP: the answers are those of `edge predict`, `edge read` and `edge explain`."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="the extra `serve` is not installed")

from edge.bundle import shipped
from edge.bundle.input import PICTURE_RECIPE
from edge.service.requests import Settings

DIGITS = 10


def png(image):
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


def form(*files, boundary="a-boundary"):
    """A body with files, as browsers send it, and its headers."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), {
        "Content-Type": f"multipart/form-data; boundary={boundary}"
    }


@pytest.fixture(scope="module")
def client(run):
    """Asks a service of two shipped bundles."""
    settings = Settings(
        tuple(shipped.locate(name) for name in ("lstm-int8", "cnn-16k")), port=0, access_log=False, watch_seconds=0.0
    )
    with run(settings) as found:
        yield found.client


@pytest.fixture(scope="module")
def digit(golden):
    """A drawn digit: its label, and its image."""
    return golden[0]


def test_a_picture_as_the_body_gets_one_record(client, digit):
    label, image = digit
    reply = client.post("/predict?top=3", png(image), {"Content-Type": "image/png"})
    assert (reply.status, reply.json["label"], reply.json["path"]) == (200, label, "-")
    assert (reply.json["model"], reply.json["rejected"], len(reply.json["probabilities"])) == ("lstm-int8", False, 3)


def test_a_form_gets_a_record_for_each_file_and_errors_are_records(client, golden):
    files = [(f"{label}.png", png(image)) for label, image in golden[:3]]
    reply = client.post(
        "/predict", *form(*files, ("letter.txt", b"no picture"), ("blank.png", png(np.zeros((90, 90), np.uint8))))
    )
    assert reply.status == 200
    assert [record["path"] for record in reply.json] == [*(name for name, _ in files), "letter.txt", "blank.png"]
    assert [record["label"] for record in reply.json[:3]] == [label for label, _ in golden[:3]]
    assert "not a picture" in reply.json[3]["error"]
    assert reply.json[4]["digits"] == 0


def test_another_bundle_is_named_in_the_address(client, digit):
    label, image = digit
    reply = client.post("/predict?model=cnn-16k", png(image))
    assert (reply.json["label"], reply.json["model"]) == (label, "cnn-16k")


def test_the_image_that_the_model_saw_comes_on_request(client, digit):
    reply = client.post("/predict?image=1", png(digit[1]))
    assert base64.b64decode(reply.json["image"]) == digit[1].tobytes()


def test_784_bytes_are_an_image_already(client, digit):
    label, image = digit
    reply = client.post("/predict", image.tobytes(), {"Content-Type": "application/octet-stream"})
    assert reply.json["label"] == label


@pytest.mark.parametrize("path", ["/predict", "/read", "/explain"])
def test_a_picture_that_cannot_be_read_is_an_error_with_its_reason(client, path):
    reply = client.post(path, b"no picture")
    assert reply.status == 422
    assert "not a picture" in reply.json["error"]


def test_a_page_is_read_line_by_line(client, golden):
    digits = [(label, image) for label, image in golden if label in "0123456789"][:3]
    page = np.zeros((80, 220), np.uint8)
    for at, (_, image) in enumerate(digits):
        page[20:48, 20 + 60 * at : 48 + 60 * at] = image
    reply = client.post("/read", png(255 - page))
    (line,) = reply.json["lines"]
    assert line["text"] == "".join(label for label, _ in digits)


def test_an_explanation_has_the_belief_after_each_row(client, digit):
    label, image = digit
    record = client.post("/explain", png(image)).json
    rows = np.array(record["rows"])
    assert rows.shape == (28, DIGITS)
    assert record["labels"][rows[-1].argmax()] == record["label"] == label
    assert 1 <= record["settled_row"] <= 28


def test_an_explanation_of_a_model_without_rows_is_a_map(client, digit):
    record = client.post("/explain?model=cnn-16k", png(digit[1])).json
    assert np.array(record["drop"]).shape == (28, 28)


@pytest.mark.parametrize(
    ("request_", "status", "told"),
    [
        (("/predict", b"", {}), 400, "the body is empty"),
        (("/predict?top=0", b"x", {}), 400, "top cannot be '0'"),
        (("/predict?top=many", b"x", {}), 400, "top cannot be 'many'"),
        (("/predict?top=%C2%B2", b"x", {}), 400, "top cannot be '\u00b2'"),
        (("/predict?top=" + "9" * 5000, b"x", {}), 400, "top cannot be '999"),
        (("/predict?model=nobody", b"x", {}), 404, "no model is called 'nobody'"),
        (("/predict", b"--x\r\n", {"Content-Type": "multipart/form-data"}), 400, "form cannot be read"),
        (("/predict", b"broken", {"Content-Type": "multipart/form-data; boundary=x"}), 400, "form"),
        (("/predict", b"--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}), 400, "no file"),
    ],
)
def test_a_wrong_request_is_told(client, request_, status, told):
    reply = client.post(*request_)
    assert reply.status == status
    assert told in reply.json["error"]


def test_a_form_with_too_many_files_is_refused(client, digit):
    reply = client.post("/predict", *form(*[("a.png", b"x")] * 65))
    assert reply.status == 413
    assert "at most 64 files" in reply.json["error"]


def test_a_bundle_of_a_later_picture_recipe_answers_images_and_refuses_pictures(serve, bundle_path, repack, images):
    bundle_path.write_bytes(repack(picture={"version": PICTURE_RECIPE + 1}))
    picture = png(images[2])
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(picture).decode()]}
    with serve() as service:
        for path in ("/predict", "/read", "/explain"):
            reply = service.client.post(path, picture)
            assert (reply.status, "picture recipe" in reply.json["error"]) == (501, True)
        reply = service.client.post("/v2/models/linear-fp32/infer", {"inputs": [tensor]})
        assert (reply.status, "picture recipe" in reply.json["error"]) == (501, True)
        reply = service.client.post("/predict", images[2].tobytes(), {"Content-Type": "application/octet-stream"})
        assert (reply.status, "label" in reply.json) == (200, True)

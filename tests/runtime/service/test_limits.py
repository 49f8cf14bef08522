"""What strangers do: too much, too slow, cut off, or gone before the answer."""

import contextlib
import gzip
import json
import socket
import threading
import time

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the extra `serve` is not installed")

from edge.service.requests import Limits

INFER = "/v2/models/linear-fp32/infer"


def answer_of(connection):
    """What comes until the other side closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def status_of(answer):
    return int(answer.split(b" ", 2)[1])


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def figure(client, name):
    """A figure of `/metrics`, with its labels; 0 where it does not stand there yet."""
    for line in client.get("/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.rpartition(" ")[2])
    return 0.0


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(serve):
    with serve(limits=Limits(body_bytes=1000)) as service, service.client.connect() as connection:
        connection.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n".encode())
        answer = connection.recv(65536)
        assert status_of(answer) == 413


def test_a_body_that_grows_too_large_is_refused(serve):
    with serve(limits=Limits(body_bytes=1000)) as service, service.client.connect() as connection:
        connection.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        connection.sendall(b"800\r\n" + bytes(0x800) + b"\r\n")
        assert status_of(connection.recv(65536)) == 413


def test_a_small_body_that_unpacks_to_a_large_one_is_refused(serve):
    with serve(limits=Limits(body_bytes=10_000)) as service:
        bomb = gzip.compress(bytes(1_000_000))
        assert len(bomb) < 10_000
        reply = service.client.post(INFER, bomb, {"Content-Encoding": "gzip"})
        assert (reply.status, "10000 bytes" in reply.json["error"]) == (413, True)


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"{}" * 1000, mtime=0)[:-5]])
def test_a_damaged_encoding_is_refused(client, body):
    assert client.post(INFER, body, {"Content-Encoding": "gzip"}).status == 400


def test_json_that_takes_many_times_its_bytes_is_refused(client):
    many = client.post(INFER, b'{"inputs": [' + b",".join([b"[]"] * 200_000) + b"]}")
    assert (many.status, "too many arrays" in many.json["error"]) == (413, True)


def test_an_error_repeats_no_more_than_the_beginning_of_what_was_wrong(client):
    reply = client.post(INFER, {"inputs": [{"name": "x" * 100_000}]})
    assert (reply.status, len(reply.body) < 1000) == (400, True)


def test_an_unknown_encoding_is_refused(client):
    assert client.post(INFER, b"x", {"Content-Encoding": "br"}).status == 415


def test_too_many_images_are_refused(serve, images, tensor):
    with serve(limits=Limits(images=3)) as service:
        reply = service.client.post(INFER, {"inputs": [tensor(images)]})
        assert (reply.status, "send 1 to 3" in reply.json["error"]) == (413, True)


def test_a_slow_body_is_given_up(serve):
    with serve(limits=Limits(body_seconds=0.2)) as service, service.client.connect() as connection:
        connection.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345".encode())
        assert status_of(connection.recv(65536)) == 408


def test_bodies_together_have_a_limit_and_make_room_when_they_are_done(serve, images, tensor):
    with serve(limits=Limits(waiting_bytes=5000)) as service:
        for _ in range(3):
            assert service.client.post(INFER, {"inputs": [tensor(images[:1])]}).status == 200
            refused = service.client.post("/predict", bytes(6000))
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert service.client.post(INFER, gzip.compress(bytes(6000)), {"Content-Encoding": "gzip"}).status == 503


def closed_by_the_service(connection, dribble=b""):
    """Whether the other side ends the connection although it is still being talked to."""
    for _ in range(200):
        try:
            if dribble:
                connection.sendall(dribble)
            if connection.recv(65536) == b"":
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def test_a_refused_body_that_drips_on_does_not_hold_its_connection(serve):
    limits = Limits(body_bytes=1000, header_seconds=0.2)
    with serve(limits=limits) as service, service.client.connect() as connection:
        connection.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n".encode())
        assert status_of(connection.recv(65536)) == 413
        connection.settimeout(0.05)
        assert closed_by_the_service(connection, b"x")


def test_a_client_that_takes_no_answers_does_not_hold_its_connection(serve):
    pixels = bytes(1000 * 784)
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1000, 28, 28]}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(pixels)}}]}).encode()
    lengths = f"Content-Length: {len(head) + len(pixels)}\r\nInference-Header-Content-Length: {len(head)}"
    request = f"POST {INFER} HTTP/1.1\r\nHost: x\r\n{lengths}\r\n\r\n".encode() + head + pixels

    def talk(deaf):
        with contextlib.suppress(OSError):
            for _ in range(60):  # answers of more than the system's buffers hold
                deaf.sendall(request)

    with serve(limits=Limits(connections=1, body_seconds=1.0)) as service, socket.socket() as deaf:
        assert until(lambda: service.client.get("/v2").status == 200)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.connect(("127.0.0.1", service.client.port))
        talker = threading.Thread(target=talk, args=(deaf,))
        talker.start()
        talker.join(timeout=20)
        assert not talker.is_alive()  # the service has ended the connection
        assert until(lambda: service.client.get("/v2").status == 200)


@pytest.mark.parametrize("sent", [b"", b"GET /v2 HT", b"GET /v2 HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_headers_that_do_not_come_are_given_up(serve, sent):
    with serve(limits=Limits(header_seconds=0.2)) as service, service.client.connect() as connection:
        connection.sendall(sent)
        assert status_of(answer_of(connection)) == 408


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n" * 1000),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\nX: ", b"y" * 5000),
        (b"GET /v2", b"y" * 5000),
        (b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;" % INFER.encode(), b"e" * 5000),
        (b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" % INFER.encode(), b"T: y\r\n" * 900),
    ],
    ids=["headers", "one header", "the first line", "an extension of a chunk", "what follows the last chunk"],
)
def test_a_flood_beside_the_body_is_refused(serve, start, more):
    with serve(limits=Limits(header_bytes=65_536)) as service, service.client.connect() as connection:
        with contextlib.suppress(OSError):
            connection.sendall(start)
            for _ in range(200):  # a megabyte
                connection.sendall(more)
        with contextlib.suppress(ConnectionResetError):
            assert status_of(answer_of(connection)) == 431
        assert service.client.get("/v2").status == 200


def test_chunks_of_one_byte_are_no_flood(serve):
    body = b"{" + b" " * 5000
    with serve(limits=Limits(header_bytes=1000)) as service, service.client.connect() as connection:
        connection.sendall(b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % INFER.encode())
        connection.sendall(b"".join(b"1\r\n%c\r\n" % one for one in body) + b"0\r\n\r\n")
        assert b"the request is no JSON" in connection.recv(65536)


@pytest.mark.parametrize("depth", [1000, 5000])
def test_json_that_is_nested_deeply_is_refused(client, depth):
    reply = client.post(INFER, b"[" * depth + b"]" * depth)
    assert (reply.status, "the request is no JSON" in reply.json["error"]) == (400, True)


def part(number, file='; filename="a.png"', more=""):
    return f'--b\r\nContent-Disposition: form-data; name="{number}"{file}\r\n{more}\r\nx\r\n'.encode()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"".join(part(number) for number in range(5000)), 413),
        (b"".join(part(number, file="") for number in range(5000)), 413),
        (part(0, more="".join(f"X-{number}: y\r\n" for number in range(20_000))), 400),
        (part(0, more="X: " + "y" * 1_000_000 + "\r\n"), 400),
        (part(0, file='; filename="' + "z" * 1_000_000 + '"'), 400),
        (b"\r\n-" * 300_000, 400),
    ],
    ids=["files", "fields", "headers of a part", "a header of a part", "a name", "dashes"],
)
def test_a_form_that_is_no_form_of_people_is_refused(client, body, status):
    reply = client.post("/predict", body + b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"})
    assert (reply.status, "the form cannot be read" in reply.json["error"]) == (status, True)


def test_what_is_no_http_gets_an_error_in_json(client):
    with client.connect() as connection:
        connection.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        answer = answer_of(connection)
    assert status_of(answer) == 400
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"error": "this is no HTTP request"}


def test_connections_beyond_the_limit_are_told_and_closed(serve):
    with serve(limits=Limits(connections=3)) as service:
        assert until(lambda: service.client.get("/v2").status == 200)
        held = [service.client.connect() for _ in range(3)]
        time.sleep(0.1)
        with service.client.connect() as refused:
            assert status_of(answer_of(refused)) == 503
        for connection in held:
            connection.close()
        assert until(lambda: service.client.get("/v2").status == 200)


def test_a_full_queue_says_when_to_come_again_before_the_body_is_read(serve):
    with serve(limits=Limits(waiting_requests=1)) as service, service.client.connect() as slow:
        slow.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n".encode())
        waiting = 'edge_waiting_requests{kind="tensors"}'
        assert until(lambda: figure(service.client, waiting) == 1)
        with service.client.connect() as second:
            second.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n".encode())
            answer = second.recv(65536)
        assert status_of(answer) == 503
        assert b"retry-after: 1" in answer.lower()
        assert service.client.get("/v2/health/ready").status == 200


def test_a_client_that_is_gone_frees_its_place(serve):
    with serve() as service:
        connection = service.client.connect()
        connection.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n".encode())
        waiting = 'edge_waiting_requests{kind="tensors"}'
        assert until(lambda: figure(service.client, waiting) == 1)
        connection.close()
        assert until(lambda: figure(service.client, waiting) == 0)
        assert (
            figure(
                service.client, f'edge_requests_total{{code="499",route="{INFER.replace("linear-fp32", "{model}")}"}}'
            )
            == 1
        )


def test_requests_on_one_connection_are_answered_in_order(client, images, tensor):
    bodies = [json.dumps({"id": str(at), "inputs": [tensor(images[at : at + 1])]}).encode() for at in range(4)]
    heads = [f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n" for body in bodies]
    heads[-1] += "Connection: close\r\n"
    with client.connect() as connection:
        connection.sendall(b"".join(head.encode() + b"\r\n" + body for head, body in zip(heads, bodies, strict=True)))
        answer = answer_of(connection)
    places = [answer.find(b'"id":"%d"' % at) for at in range(4)]
    assert -1 not in places
    assert places == sorted(places)


def test_hundreds_of_idle_connections_are_borne(client):
    held = [client.connect() for _ in range(300)]
    try:
        assert client.get("/v2").status == 200
    finally:
        for connection in held:
            connection.close()


def test_every_answer_forbids_guessing_its_type(client):
    for path in ("/", "/v2", "/nothing", "/metrics"):
        assert client.get(path).headers["x-content-type-options"] == "nosniff"
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert np.all([word not in policy for word in ("unsafe", "http:", "https:", "*")])

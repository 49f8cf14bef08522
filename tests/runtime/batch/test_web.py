"""Pictures at web addresses, from a server of this machine that sends too much, too slowly, or what nobody wants."""

import http.server
import socket
import threading
from collections import Counter
from pathlib import Path

import pytest

from edge.batch import inputs, remote
from edge.errors import PictureError
from edge.picture.paths import Found

pytest.importorskip("fsspec", reason="needs the extra `remote`: pip install 'fsspec[http]'")
pytest.importorskip("aiohttp", reason="needs the extra `remote`: pip install 'fsspec[http]'")


class _Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked[self.path] += 1
        getattr(self, self.path.strip("/").partition(".")[0])()

    def whole(self):
        """The picture, to the last byte, whatever part was asked for."""
        self.start(len(self.server.picture))
        self.wfile.write(self.server.picture)

    def parts(self):
        asked = self.headers.get("Range", "bytes=0-").removeprefix("bytes=")
        begin, end = asked.split("-")
        content = self.server.picture[int(begin) : int(end or len(self.server.picture)) + 1]
        self.start(len(content), 206)
        self.wfile.write(content)

    def endless(self):
        self.start(1 << 40)
        self.flow(bytes(1 << 16))

    def unsized(self):
        """Bytes without end, of which no header says how many there are."""
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.flow(bytes(1 << 16))

    def slow(self):
        self.start(1 << 20)
        self.flow(b"x", pause=0.05)

    def silent(self):
        self.start(1000)
        self.server.over.wait(20)

    def nowhere(self):
        self.send_response(302)
        self.send_header("Location", self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def broken(self):
        self.start(0, 500)

    def closed(self):
        self.start(0, 403)

    def missing(self):
        self.start(0, 404)

    def headers_without_end(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self.flow(b"X-Header: " + b"y" * 4000 + b"\r\n")

    def start(self, size, code=200):
        self.send_response(code)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def flow(self, part, pause=0.0):
        self.close_connection = True
        try:
            while not self.server.over.wait(pause):
                self.wfile.write(part)
                self.server.sent += len(part)
        except OSError:
            self.server.left.set()

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """In place of the fixture for all tests: a server is asked on the loopback address, and nothing elsewhere."""
    connect = socket.socket.connect

    def loopback(self, address):
        assert address[0] == "127.0.0.1", "a test tried to use the network"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", loopback)


@pytest.fixture
def server(picture_bytes):
    """A server of this machine."""
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    made.daemon_threads = True
    made.asked, made.sent, made.over, made.left = Counter(), 0, threading.Event(), threading.Event()
    made.picture = picture_bytes[0]
    thread = threading.Thread(target=made.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.over.set()
    made.shutdown()
    thread.join()
    made.server_close()


def read(server, path):
    (found,) = inputs.read_digits([Found(f"http://127.0.0.1:{server.server_address[1]}/{path}")])
    return found


def test_a_picture_is_fetched(server):
    seen = read(server, "whole.png")
    assert not isinstance(seen, PictureError), seen
    assert seen.image.any()


def test_many_are_fetched_side_by_side_and_each_says_what_is_wrong_with_it(server):
    base = f"http://127.0.0.1:{server.server_address[1]}"
    block = [Found(f"{base}/{name}.png") for name in ("whole", "missing", "closed", "whole")]
    good, missing, closed, again = inputs.read_digits(block)
    assert (good.image == again.image).all()
    assert str(missing) == f"there is no file {base}/missing.png; check the address"
    assert str(closed) == f"{base}/closed.png may not be read; check your access"


@pytest.mark.parametrize("path", ["endless.png", "unsized.png"])
def test_what_never_ends_is_left_at_the_limit(server, monkeypatch, path):
    monkeypatch.setattr(remote, "MOST_BYTES_BESIDE", 100_000)
    monkeypatch.setattr(remote, "MOST_BYTES", 1_000_000)
    found = read(server, path)
    assert str(found).endswith(f"/{path} is too large (more than 1 MB); scale it down or crop it")
    assert server.left.wait(10)
    assert server.asked[f"/{path}"] == 2  # beside others, and alone


def test_a_large_picture_is_fetched_alone(server, monkeypatch):
    monkeypatch.setattr(remote, "MOST_BYTES_BESIDE", 10)
    first, second = inputs.read_digits(
        [Found(f"http://127.0.0.1:{server.server_address[1]}/whole.{at}.png") for at in (1, 2)]
    )
    assert (first.image == second.image).all()
    assert server.asked == {"/whole.1.png": 2, "/whole.2.png": 2}


@pytest.mark.parametrize("path", ["slow.png", "silent.png", "headers_without_end.png"])
def test_what_comes_slowly_or_not_at_all_is_given_up_once(server, monkeypatch, path):
    monkeypatch.setattr(remote, "MOST_SECONDS", 0.6)
    monkeypatch.setattr(remote, "SILENT_SECONDS", 0.3)
    monkeypatch.setattr("time.sleep", lambda _: None)
    found = read(server, path)
    assert isinstance(found, PictureError)
    assert "\n" not in str(found)
    if path != "headers_without_end.png":  # which is an answer that is wrong
        assert "comes too slowly (at most 0.6 s, and 0.3 s without a byte); save it first, or try again" in str(found)
        assert server.asked[f"/{path}"] == 1


@pytest.mark.parametrize("path", ["nowhere.png", "broken.png"])
def test_what_answers_wrongly_is_told(server, monkeypatch, path):
    monkeypatch.setattr("time.sleep", lambda _: None)
    found = read(server, path)
    assert "cannot be fetched (" in str(found)


def test_a_server_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        (found,) = inputs.read_digits([Found(f"http://127.0.0.1:{held.getsockname()[1]}/7.png")])
    assert "cannot be fetched (" in str(found)


def test_a_part_of_an_archive_comes_from_a_server_that_sends_parts_alone(server):
    base = f"http://127.0.0.1:{server.server_address[1]}"
    size = len(server.picture)
    assert remote.fetch([f"{base}/parts.tar"] * 2, [(8, size), (0, 8)]) == [server.picture[8:], server.picture[:8]]
    (refused,) = remote.fetch([f"{base}/whole.tar"], [(8, size)])
    assert str(refused).endswith("/whole.tar sends no parts of files; save it first")


def test_whoever_stops_does_not_wait_for_the_network(server):
    from edge.picture.paths import StoppedError, stoppable

    asked = threading.Event()
    ended = threading.Event()

    def work():
        with stoppable(asked):
            try:
                read(server, "silent.png")
            except StoppedError:
                ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not server.asked["/silent.png"]:
        pass
    asked.set()
    thread.join(10)
    assert ended.is_set()


def test_an_empty_file_of_a_store_that_refuses_to_send_its_beginning_is_empty(monkeypatch):
    import fsspec

    system = fsspec.filesystem("memory")
    system.pipe("/empty.png", b"")
    refuse = lambda paths, *_, **__: [OSError("416")] * len(paths)  # noqa: E731
    monkeypatch.setattr(type(system), "cat_ranges", lambda _, paths, *rest, **options: refuse(paths))
    monkeypatch.setattr("time.sleep", lambda _: None)
    (found,) = inputs.read_digits([Found("memory://empty.png")])
    assert "is empty, zero bytes" in str(found)
    system.rm("/empty.png")


def test_an_archive_at_an_address_is_read_where_it_lies(tmp_path, picture_bytes):
    import tarfile

    import fsspec

    path = Path(tmp_path) / "t.tar"
    picture = Path(tmp_path) / "a.png"
    picture.write_bytes(picture_bytes[0])
    with tarfile.open(path, "w") as archive:
        archive.add(picture, "a.png")
    system = fsspec.filesystem("memory")
    system.pipe("/t.tar", path.read_bytes())
    (found,) = inputs.members("memory://t.tar")
    (seen,) = inputs.read_digits([found])
    assert not isinstance(seen, PictureError), seen
    assert seen.image.any()
    system.rm("/t.tar")

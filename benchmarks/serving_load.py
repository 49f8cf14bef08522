"""Servers that benchmarks/serving.py asks, edge's and a plain one; and what asks them: wrk, and clients in threads."""

import dataclasses
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from edge.bundle import bundle, shipped

MODEL = "lstm-int8"
INFER = f"/v2/models/{MODEL}/infer"
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

PLAIN = """
import sys
import numpy, onnxruntime, uvicorn
from fastapi import FastAPI, Request
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
app = FastAPI()

class Tensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[int]

class Inputs(BaseModel):
    inputs: list[Tensor]

@app.post("/json")
def classify(body: Inputs):
    tensor = body.inputs[0]
    image = numpy.array(tensor.data, numpy.uint8).reshape(tensor.shape)
    return {"probabilities": session.run(["probabilities"], {"image": image})[0].tolist()}

@app.post("/binary")
async def classify_bytes(request: Request):
    image = numpy.frombuffer(await request.body(), numpy.uint8).reshape(-1, 28, 28)
    return {"probabilities": session.run(["probabilities"], {"image": image})[0].tolist()}

@app.get("/v2/health/ready")
def ready():
    return True

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
"""


@dataclasses.dataclass(frozen=True)
class Server:
    """A process that serves."""

    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the process and of the children that it has buried."""
        return sum(map(int, self._stat()[11:15])) / CLOCK_TICKS

    @property
    def memory_mb(self) -> float:
        """The largest resident set so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]

    def get(self, path: str) -> bytes:
        """What is at a path."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def _stat(self) -> list[str]:
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()


@dataclasses.dataclass(frozen=True)
class Load:
    """What wrk saw, and what the server spent."""

    requests: int
    failed: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


@contextmanager
def serving(*words: str) -> Iterator[Server]:
    """`edge serve` on a free port, ready."""
    port = free_port()
    command = [sys.executable, "-m", "edge", "serve", MODEL, "--port", str(port), *words]
    with running(command, port) as server:
        yield server


@contextmanager
def plain() -> Iterator[Server]:
    """The yardstick on a free port, ready."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plain.py"
        path.write_text(PLAIN)
        with running([sys.executable, str(path), str(shipped.locate(MODEL)), str(port)], port) as server:
            yield server


@contextmanager
def running(command: list[str], port: int) -> Iterator[Server]:
    """A server while it runs; what it prints goes nowhere."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = Server(process, port)
    try:
        for _ in range(600):
            try:
                server.get("/v2/health/ready")
                break
            except (OSError, HTTPException):
                if process.poll() is not None:
                    raise SystemExit(f"{' '.join(command[:4])} ended with {process.returncode}") from None
                time.sleep(0.05)
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)


@contextmanager
def clients(server: Server, count: int) -> Iterator[dict[str, int]]:
    """Clients that ask one request after the other, each on a connection of its own that the server may close.

    A request fails when it was sent and no whole answer came; one that finds nobody listening any more was not sent.
    """
    outcome = {"answered": 0, "failed": 0}
    ending = threading.Event()
    lock = threading.Lock()
    body, headers = request("binary")

    def work() -> None:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
        while not ending.is_set():
            try:
                if connection.sock is None:
                    connection.connect()
            except OSError:
                return
            try:
                connection.request("POST", INFER, body, headers)
                answer = connection.getresponse()
                answer.read()
                good = answer.status == 200
            except (OSError, HTTPException):
                good = False
                connection.close()
            with lock:
                outcome["answered" if good else "failed"] += 1

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield outcome
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def request(form: str) -> tuple[bytes, dict[str, str]]:
    """One image as a request of the Open Inference Protocol."""
    image = bundle.read(shipped.locate(MODEL)).evidence.images[:1]
    tensor: dict[str, Any] = {"name": "image", "datatype": "UINT8", "shape": list(image.shape)}
    asked: dict[str, Any] = {"outputs": [{"name": "probabilities"}]}
    if form == "json":
        body = json.dumps({"inputs": [{**tensor, "data": image.ravel().tolist()}], **asked}).encode()
        return body, {"Content-Type": "application/json"}
    asked["outputs"][0]["parameters"] = {"binary_data": True}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": image.nbytes}}], **asked}).encode()
    return head + image.tobytes(), {"Inference-Header-Content-Length": str(len(head))}


def plain_request(form: str) -> tuple[bytes, dict[str, str]]:
    """The same image for the yardstick."""
    if form == "json":
        return request("json")
    return np.ascontiguousarray(bundle.read(shipped.locate(MODEL)).evidence.images[:1]).tobytes(), {}


def script(folder: Path, name: str, body: bytes, headers: dict[str, str], *, pause_ms: float = 0.0) -> Path:
    """A script for wrk that sends one request again and again, with a random pause before each where one is given."""
    data = folder / f"{name}.body"
    data.write_bytes(body)
    lines = [
        'wrk.method = "POST"',
        f'local file = io.open({json.dumps(str(data.resolve()))}, "rb")',
        'wrk.body = file:read("*all")',
        *(f"wrk.headers[{json.dumps(key)}] = {json.dumps(value)}" for key, value in headers.items()),
    ]
    if pause_ms:
        lines.append(f"function delay() return math.random(0, {round(2 * pause_ms)}) end")
    path = folder / f"{name}.lua"
    path.write_text("\n".join(lines))
    return path


def wrk(server: Server, path: str, connections: int, seconds: int, text: Path) -> Load:
    """Runs the load generator."""
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "20s", "-s", str(text)]
    before = server.cpu_seconds
    done = subprocess.run(
        [*words, f"http://127.0.0.1:{server.port}{path}"], capture_output=True, text=True, check=True
    ).stdout
    spent = server.cpu_seconds - before
    requests = int(re.search(r"(\d+) requests in", done)[1])  # type: ignore[index]
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", done)
    return Load(
        requests,
        int(failed[1]) if failed else 0,
        float(re.search(r"Requests/sec:\s+([\d.]+)", done)[1]),  # type: ignore[index]
        percentile(done, "50"),
        percentile(done, "99"),
        spent / max(requests, 1) * 1e6,
    )


def percentile(text: str, which: str) -> float:
    """A percentile of wrk's, in milliseconds."""
    found = re.search(rf"\s{which}%\s+([\d.]+)(us|ms|s)", text)
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]] if found else float("nan")


def counted(server: Server) -> dict[str, int]:
    """How many requests to the model got each status code."""
    codes = re.findall(
        r'edge_requests_total\{code="(\d+)",route="/v2/models/\{model\}/infer"\} ([\d.e+]+)',
        server.get("/metrics").decode(),
    )
    return {code: int(float(count)) for code, count in codes}


def figure(server: Server, name: str) -> int:
    """The sum of a figure over its labels."""
    found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? ([\d.e+]+)$", server.get("/metrics").decode(), re.MULTILINE)
    return int(sum(map(float, found)))


def post(server: Server, path: str, body: bytes) -> str:
    """Status and message of a request, or what became of the connection."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request("POST", path, body)
        answer = connection.getresponse()
        return f"{answer.status} {answer.read().decode()}"
    except OSError as error:
        return f"closed: {error}"
    finally:
        connection.close()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port

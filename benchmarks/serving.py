"""`edge serve` under load: processor time a request beside a plain endpoint, photos, overload, reload and the end.

Why: on a small machine the server shares its cores with everybody else, so what counts is the processor time that a
request costs, not the requests a second of an idle machine. The yardstick is what most people write: FastAPI with one
`session.run` a request. It also says what becomes of requests when there are too many, and when bundles are replaced.

    python benchmarks/serving.py [--seconds 5] [--rounds 3] [--out DIR] [--only load,photos,overload,reload,end]

Needs wrk (Debian: `apt install wrk`), the extra `serve`, and FastAPI for the yardstick (`pip install fastapi`). The
processor time is what the system charges the server's process; the load generator runs on the same cores. Server and
yardstick take turns, round by round; ratios are formed within a round, medians over the rounds are printed.
"""

import argparse
import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from edge.bench import machine
from edge.bundle import bundle, shipped
from edge.text.files import write_atomically
from edge.text.table import aligned

MODEL = "lstm-int8"
INFER = f"/v2/models/{MODEL}/infer"
SCHEMA = "edge.serving/1"
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


def main() -> int:
    """Measures, prints, and keeps a document where `--out` says."""
    options = parsed()
    if shutil.which("wrk") is None:
        print("wrk is not installed; on Debian: apt install wrk", file=sys.stderr)
        return 1
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "machine": dataclasses.asdict(machine.describe("starlette", "uvicorn", "fastapi")),
        "model": MODEL,
        "seconds": options.seconds,
        "rounds": options.rounds,
    }
    parts: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
        "start": start_up,
        "load": load,
        "photos": photos,
        "overload": overload,
        "reload": reload,
        "end": end,
    }
    for name in options.only or parts:
        print(f"{name} ...", file=sys.stderr)
        document[name] = parts[name](options)
        for line in aligned([(f"  {key}", str(value)) for key, value in document[name].items()]):
            print(line)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        write_atomically(options.out / "serving.json", json.dumps(document, indent=1).encode())
    return 0


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5, help="of each run of the load generator")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", type=lambda text: text.split(","), help="some of the parts")
    return parser.parse_args()


def start_up(options: argparse.Namespace) -> dict[str, Any]:
    """From a fresh process to the first answer, evidence replayed."""
    cpu, wall = [], []
    for _ in range(options.rounds):
        began = time.perf_counter()
        with serving() as server:
            wall.append(time.perf_counter() - began)
            cpu.append(server.cpu_seconds)
    return {"cpu_s": round(statistics.median(cpu), 2), "wall_s": round(statistics.median(wall), 2)}


def load(options: argparse.Namespace) -> dict[str, Any]:
    """Requests a CPU second beside the yardstick, and how late answers are at half of the capacity."""
    found: dict[str, Any] = {}
    with serving() as server, plain() as yardstick, tempfile.TemporaryDirectory() as folder:
        ours = {form: script(Path(folder), f"edge-{form}", *request(form)) for form in ("binary", "json")}
        theirs = {form: script(Path(folder), f"plain-{form}", *plain_request(form)) for form in ("binary", "json")}
        for connections in (64, 1):
            for form in ("binary", "json"):
                ratios, one, other = [], [], []
                for _ in range(options.rounds):
                    one.append(wrk(server, INFER, connections, options.seconds, ours[form]))
                    other.append(wrk(yardstick, f"/{form}", connections, options.seconds, theirs[form]))
                    ratios.append(other[-1].cpu_us / one[-1].cpu_us)
                found[f"{form}, {connections} connections"] = {
                    "cpu_us": round(statistics.median(each.cpu_us for each in one)),
                    "plain_cpu_us": round(statistics.median(each.cpu_us for each in other)),
                    "times_the_requests_per_cpu_second": round(statistics.median(ratios), 2),
                    "requests_per_second": round(statistics.median(each.per_second for each in one)),
                    "plain_requests_per_second": round(statistics.median(each.per_second for each in other)),
                    "failed": sum(each.failed for each in one),
                }
        capacity = found["binary, 64 connections"]["requests_per_second"]
        pause_ms = 64 / (capacity / 2) * 1000
        paced = script(Path(folder), "paced", *request("binary"), pause_ms=pause_ms)
        runs = [wrk(server, INFER, 64, options.seconds, paced) for _ in range(options.rounds)]
        p50, p99 = (statistics.median(getattr(run, name) for run in runs) for name in ("p50_ms", "p99_ms"))
        found["half of the capacity"] = {
            "requests_per_second": round(statistics.median(run.per_second for run in runs)),
            "p50_ms": round(p50, 2),
            "p99_ms": round(p99, 2),
            "p99_over_p50": round(p99 / p50, 1),
        }
        found["memory_mb"] = round(server.memory_mb)
    return found


def photos(options: argparse.Namespace) -> dict[str, Any]:
    """Photos through the service beside `edge predict FOLDER`: pictures a second, in turns."""
    picture = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "seven.jpg"
    count = 200
    with serving() as server, tempfile.TemporaryDirectory() as folder:
        for at in range(count):
            (Path(folder) / f"{at:03}.jpg").write_bytes(picture.read_bytes())
        text = script(Path(folder) / "..", f"photo-{os.getpid()}", picture.read_bytes(), {"Content-Type": "image/jpeg"})
        ratios, rates, folders = [], [], []
        for _ in range(options.rounds):
            run = wrk(server, "/predict", 16, options.seconds, text)
            began = time.perf_counter()
            words = [sys.executable, "-m", "edge", "predict", folder, "--model", MODEL, "--json"]
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            folders.append(count / (time.perf_counter() - began))
            rates.append(run.per_second)
            ratios.append(run.per_second / folders[-1])
        text.unlink()
    return {
        "photo_bytes": picture.stat().st_size,
        "photos_per_second": round(statistics.median(rates), 1),
        "folder_photos_per_second": round(statistics.median(folders), 1),
        "share_of_folder": round(statistics.median(ratios), 2),
    }


def overload(options: argparse.Namespace) -> dict[str, Any]:
    """Far too many requests, and clients that behave badly: what is answered, and what memory it takes."""
    with serving("--queue", "64") as server, tempfile.TemporaryDirectory() as folder:
        before = server.memory_mb
        flood = wrk(server, INFER, 640, options.seconds, script(Path(folder), "flood", *request("binary")))
        codes = counted(server)
        idle = []
        for _ in range(10_000):
            try:
                idle.append(socket.create_connection(("127.0.0.1", server.port), timeout=2))
            except OSError:
                break
        with_idle = server.get("/v2/health/ready") if len(idle) < 2000 else b"over the limit"
        for each in idle:
            each.close()
        rude = [
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n",
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\ncut off",
            b"GET / HT",
            b"\x16\x03\x01\x00 no HTTP\r\n\r\n",
        ]
        for _ in range(100):
            for content in rude:
                with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
                    connection.sendall(content)
        big = bytes(40 * 2**20)
        refused = post(server, "/predict", big)
        wrong = post(server, INFER, b'{"inputs": [{"name": "image", "datatype": "FP64", "shape": [1], "data": [1]}]}')
        alive = server.get("/v2/health/ready")
        return {
            "answered": codes.get("200", 0),
            "told_to_come_again": codes.get("503", 0),
            "seen_by_the_load_generator": flood.requests,
            "other_codes": {code: count for code, count in codes.items() if code not in {"200", "503"}},
            "idle_connections_opened": len(idle),
            "while_they_were_open": with_idle.decode(),
            "body_of_40_MiB": refused,
            "wrong_type": wrong,
            "alive_afterwards": alive.decode(),
            "memory_mb_before": round(before),
            "memory_mb": round(server.memory_mb),
        }


def reload(options: argparse.Namespace) -> dict[str, Any]:
    """Fifty reloads under load: no request may fail."""
    del options
    with serving() as server, clients(server, 8) as outcome:
        for _ in range(50):
            before = figure(server, "edge_reloads_total")
            server.process.send_signal(signal.SIGHUP)
            while figure(server, "edge_reloads_total") == before:
                time.sleep(0.02)
        replaced = figure(server, "edge_reloads_total")
    return {"reloads": replaced, "requests": outcome["answered"], "failed": outcome["failed"]}


def end(options: argparse.Namespace) -> dict[str, Any]:
    """SIGTERM under load: what was sent is answered, then the process ends with 0."""
    answered = failed = 0
    codes = []
    for _ in range(options.rounds):
        with serving() as server, clients(server, 8) as outcome:
            time.sleep(1.0)
            server.process.send_signal(signal.SIGTERM)
            codes.append(server.process.wait(timeout=60))
        answered += outcome["answered"]
        failed += outcome["failed"]
    return {"exit_codes": codes, "answered": answered, "failed": failed}


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


if __name__ == "__main__":
    sys.exit(main())

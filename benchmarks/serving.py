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
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serving_load import (
    INFER,
    MODEL,
    clients,
    counted,
    figure,
    plain,
    plain_request,
    post,
    request,
    script,
    serving,
    wrk,
)

from edge.bench.results import describe_machine
from edge.text.files import write_atomically
from edge.text.table import aligned

SCHEMA = "edge.serving/1"


def main() -> int:
    """Measures, prints, and keeps a document where `--out` says."""
    options = parsed()
    if shutil.which("wrk") is None:
        print("wrk is not installed; on Debian: apt install wrk", file=sys.stderr)
        return 1
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "machine": dataclasses.asdict(describe_machine("starlette", "uvicorn", "fastapi")),
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


if __name__ == "__main__":
    sys.exit(main())

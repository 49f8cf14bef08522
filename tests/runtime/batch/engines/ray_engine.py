"""Parts read on Ray: an actor is killed, then the driver, and the run is taken up again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

tree, bundle = sys.argv[1:]
command = [sys.executable, "-m", "edge", "predict", tree, "--model", bundle, "--part-rows", "4"]
on_ray = [*command, "--engine", "ray", "--actors", "1", "--out", "on-ray"]


def parts():
    return sorted(Path("on-ray").glob("part-*"))


def actors(driver):
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                named = b"ray::Worker" in (entry / "cmdline").read_bytes()
                ours = f"PYTHONHASHSEED={driver}".encode() in (entry / "environ").read_bytes()
            except OSError:
                continue
            if named and ours:
                found.append(int(entry.name))
    return found


mark = str(os.getpid())  # in the surroundings of what this driver starts, and of nothing else
running = subprocess.Popen(on_ray, env=os.environ | {"PYTHONHASHSEED": mark}, stdout=subprocess.DEVNULL)
killed, end = [], time.monotonic() + 150
while running.poll() is None and time.monotonic() < end:
    if not killed and len(parts()) >= 1:
        killed = actors(mark)
        for number in killed:
            os.kill(number, signal.SIGKILL)
        before = len(parts())
    if killed and len(parts()) > before + 1:
        running.kill()
        break
    time.sleep(0.005)
running.wait()
left = len(parts())
subprocess.run(on_ray, check=True, stdout=subprocess.DEVNULL)
subprocess.run([*command, "--out", "here"], check=True, stdout=subprocess.DEVNULL)


def rows(folder):
    return [json.loads(line) for path in sorted(Path(folder).glob("part-*")) for line in path.read_text().splitlines()]


print(
    json.dumps(
        {
            "an actor was killed": len(killed) == 1,
            "parts came after that": left > 0,
            "each row once": sorted(row["path"] for row in rows("on-ray"))
            == sorted(row["path"] for row in rows("here")),
            "the same rows": rows("on-ray") == rows("here"),
        }
    )
)

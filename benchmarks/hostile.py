"""What hostile files and awkward machines do to edge: how it ends, what it says, and what that costs.

Why: each of these once ended in a traceback, in gigabytes, or in an answer that was none. The table is the proof that
each kind is told in one line now, and what it costs to be told.

    python benchmarks/hostile.py [--only WORDS] [--kinds N ...] [--before REV] [--out FOLDER]

Every input is made in a temporary folder (`hostile_files.py`) and given to `edge` in a process of its own: its exit
code, the last line that it writes, its most memory and its processor time are noted. `--before` gives the same inputs
to an earlier state of edge, from the history of this repository. The numbers are those of the list of kinds at the end
of the table. A process may take 10 s of processor time; what still runs then is ended by a signal.

A line is bad where there is a traceback, a signal, or nothing at all, where a picture takes more than 300 MB or 3 s, or
where the exit code is not the one that is expected. `--out` writes hostile.json and hostile.md; exit code 1 where a
line of the present state is bad.
"""

import argparse
import dataclasses
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hostile_cases import KINDS, PICTURES, Case, bundles, checkpoints
from hostile_machines import library, machines
from hostile_pictures import pictures

from edge.bench import machine
from edge.text.files import write_atomically

SCHEMA = "edge.hostile/1"
ROOT = Path(__file__).resolve().parent.parent
MOST_MEGABYTES, MOST_SECONDS = 300, 3.0
CPU_SECONDS, WALL_SECONDS = 10, 150

EDGE = """
try:
    from edge.cli.main import main
except ImportError:
    from edge.cli import main
main()
"""
# A child starts with the memory of its parent, so that a small process starts them all.
STARTER = """
import json, os, resource, signal, subprocess, sys
for line in sys.stdin:
    asked = json.loads(line)
    def limited():
        resource.setrlimit(resource.RLIMIT_CPU, (asked["cpu"], asked["cpu"] + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open(asked["out"], "wb") as out, open(asked["err"], "wb") as err:
        child = subprocess.Popen(asked["words"], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=asked["env"],
                                 cwd=asked["cwd"], preexec_fn=limited)
        signal.signal(signal.SIGALRM, lambda *_: child.kill())
        signal.alarm(asked["wall"])
        _, status, usage = os.wait4(child.pid, 0)
        signal.alarm(0)
    print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_maxrss, usage.ru_utime + usage.ru_stime]), flush=True)
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended.

    Attributes:
        code: its exit code; of a signal, its number with a minus.
        line: the last that it wrote, to the standard error where there is some.
        has_traceback: whether there is one on the standard error.
        megabytes: its most memory.
        seconds: its processor time.
        is_bad: whether that is not what edge promises.
    """

    code: int
    line: str
    has_traceback: bool
    megabytes: float
    seconds: float
    is_bad: bool


class Starter:
    """Starts processes and measures them."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([sys.executable, "-S", "-c", STARTER], stdin=pipe, stdout=pipe, text=True)

    def ending(self, case: Case, words: Sequence[str], environment: dict[str, str], folder: Path) -> Ending:
        """Runs a case to its end."""
        out, err = self._scratch / "out", self._scratch / "err"
        asked = {
            "words": list(words),
            "env": {**environment, **case.environment},
            "cwd": str(folder),
            "out": str(out),
            "err": str(err),
            "cpu": CPU_SECONDS,
            "wall": WALL_SECONDS,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        code, kilobytes, seconds = json.loads(self._process.stdout.readline())
        told, said = (path.read_text(encoding="utf-8", errors="replace") for path in (err, out))
        lines_told = [*told.split("\n"), *said.split("\n")] if code == 0 else [*said.split("\n"), *told.split("\n")]
        failed = [one for one in lines_told if " FAILED " in one]  # the table of `edge verify`
        last = next((one.strip() for one in reversed(failed or lines_told) if one.strip()), "")
        for place in (str(folder), str(self._scratch), str(ROOT)):
            last = last.replace(place + "/", "")
        traced = "Traceback" in told
        bad = traced or code < 0 or not last or code not in case.codes or "\x1b" in said + told or "NaN" in said
        if case.kind in PICTURES:
            bad = bad or kilobytes > MOST_MEGABYTES * 1e3 or seconds > MOST_SECONDS
        return Ending(code, last[:240], traced, round(kilobytes / 1e3, 1), round(seconds, 2), bad)

    def close(self) -> None:
        """Lets it end."""
        self._process.communicate("")


def main() -> int:
    """Runs all cases, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="WORDS", default="", help="cases with these words in their name")
    parser.add_argument("--kinds", metavar="N", type=int, nargs="*", help="cases of these kinds")
    parser.add_argument("--before", metavar="REV", help="an earlier commit to compare with")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for hostile.json and hostile.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edge-hostile-") as temporary:
        scratch = Path(temporary)
        states = {"now": ROOT} if options.before is None else {"now": ROOT, "before": earlier(options.before, scratch)}
        starter = Starter(scratch)
        document = {
            "schema": SCHEMA,
            "before": options.before,
            "machine": dataclasses.asdict(machine.describe("pillow")),
            "rows": [],
        }
        chosen = [
            case
            for case in [*bundles(), *pictures(), *machines(), *library(), *checkpoints()]
            if options.only in case.name and case.kind in (options.kinds or KINDS)
        ]
        document["rows"] = [{"kind": case.kind, "name": case.name} for case in chosen]
        # One state after the other, and written after each row: a whole run takes its time.
        for state, root in states.items():
            for case, row in zip(chosen, document["rows"], strict=True):
                row.update(measured(case, state, root, starter, scratch))
                print(line(row, state), file=sys.stderr, flush=True)
                if options.out:
                    written(document, options.out)
        starter.close()
    print(markdown(document))
    return int(any(row["now"]["is_bad"] for row in document["rows"]))


def written(document: dict[str, Any], folder: Path) -> None:
    """The document and its page."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "hostile.json", (json.dumps(document, indent=1) + "\n").encode())
    write_atomically(folder / "hostile.md", markdown(document).encode())


def earlier(revision: str, scratch: Path) -> Path:
    """The sources of an earlier state, unpacked."""
    command = [shutil.which("git") or "git", "archive", revision, "runtime", "train", "export"]
    archive = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        raise SystemExit(f"--before {revision}: {archive.stderr.decode().strip()}; name a commit of this repository")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
        packed.extractall(scratch / "before", filter="data")
    return scratch / "before"


def measured(case: Case, state: str, root: Path, starter: Starter, scratch: Path) -> dict[str, Any]:
    """How a state of edge, with its sources at `root`, ends with a case: a part of its row."""
    folder = scratch / "work"
    folder.mkdir()
    words = case.words(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    bare = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "EDGE", "ORT"))}
    rooms = os.pathsep.join(str(root / part) for part in ("runtime", "train", "export"))
    environment = {**bare, "PYTHONPATH": rooms, "OMP_NUM_THREADS": "1", "HOME": str(folder), "TMPDIR": str(scratch)}
    program = [sys.executable, "-P", "-c", EDGE if case.code is None else case.code, *words]
    if case.prefix:
        program = ["/bin/sh", "-c", case.prefix, "sh", *program]
    ending = starter.ending(case, program, environment, folder)
    shutil.rmtree(folder)
    return {"file_bytes": size, state: dataclasses.asdict(ending)}


def line(row: dict[str, Any], state: str) -> str:
    """A part of a row, as progress."""
    one = row[state]
    cost = f"exit {one['code']}, {one['megabytes']:.0f} MB, {one['seconds']:.1f} s"
    return f"{'!!' if one['is_bad'] else '  '} {row['kind']:>2} {row['name']}: {state}: {cost}: {one['line']}"


def markdown(document: dict[str, Any]) -> str:
    """The page: for each kind a table."""
    about, before = document["machine"], document["before"]
    states = ["before", "now"] if before else ["now"]
    command = f"python benchmarks/hostile.py{f' --before {before}' if before else ''}"
    where = f"{about['cpu']}, {about['system']}, Python {about['python']}, {about['allowed_cpus']} CPUs"
    meant = (
        "MB is the most memory of the process, s its processor time, Python's start and imports included. **Bold** is "
        "what does not hold: a traceback, a signal, nothing said, another exit code than the one that fits, or a "
        f"picture above {MOST_MEGABYTES} MB or {MOST_SECONDS:.0f} s."
    )
    text = [
        "# Hostile files and awkward machines",
        "",
        f"`{command}`: {where}, load average {about['load_average']:.1f}.",
        meant,
    ]
    for kind, words in KINDS.items():
        rows = [row for row in document["rows"] if row["kind"] == kind and "file_bytes" in row]
        if not rows:
            continue
        text += [
            "",
            f"## {words}",
            "",
            "| input | bytes | "
            + " | ".join(f"{state}: exit | MB | s | {state}: last line" for state in states)
            + " |",
        ]
        text.append("|---|---:|" + "---:|---:|---:|---|" * len(states))
        for row in rows:
            cells = [row["name"], f"{row.get('file_bytes', 0):,}"]
            for state in states:
                cells += shown(row[state]) if state in row else [""] * 4
            text.append("| " + " | ".join(cells) + " |")
    return "\n".join([*text, ""])


def shown(ending: dict[str, Any]) -> list[str]:
    """The cells of one ending."""
    code = f"**{ending['code']}**" if ending["is_bad"] else str(ending["code"])
    line = ending["line"].replace("|", "\\|").replace("`", "'")
    line = ascii(line)[1:-1] if not line.isprintable() else re.sub(" {2,}", " ", line)
    traced = "**traceback:** " if ending["has_traceback"] else ""
    return [
        code,
        f"{ending['megabytes']:.0f}",
        f"{ending['seconds']:.1f}",
        f"{traced}`{line}`" if line else "(nothing)",
    ]


if __name__ == "__main__":
    sys.exit(main())

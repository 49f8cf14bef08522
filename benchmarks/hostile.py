"""What hostile files and awkward machines do to edge: how it ends, what it says, and what that costs.

Why: each of these once ended in a traceback, in gigabytes, or in an answer that was none. The table is the proof that
each kind is told in one line now, and what it costs to be told.

    python benchmarks/hostile.py [--only WORDS] [--kinds N ...] [--before REV [--keep]] [--out FOLDER]

Every input is made in a temporary folder (`hostile_files.py`, `hostile_models.py`) and given to `edge` in a process of
its own: its exit code, the last line that it writes, its most memory and its processor time are noted. `--before` gives
the same inputs to an earlier state of edge, from the history of this repository; that state does not change, so that
`--keep` takes over what `--out` says of it already. The numbers are those of the list of kinds in `hostile_cases.py`. A
process may take 60 s of processor time, 120 s in all and 4 GB; what wants more is ended, with all that it started, and
that is told.

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
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hostile_cases import EDGE, KINDS, PICTURES, Case, bundles, checkpoints
from hostile_machines import library, machines
from hostile_pictures import pictures

from edge.bench.results import describe_machine
from edge.text.files import write_atomically

SCHEMA = "edge.hostile/1"
ROOT = Path(__file__).resolve().parent.parent
MOST_MEGABYTES, MOST_SECONDS = 300, 3.0
CPU_SECONDS, WALL_SECONDS, ENDED_MEGABYTES = 60, 120, 4000

# A child starts with the memory of its parent, so that a small process starts them all. What a child has started counts
# with it: they are in one session, which is ended as a whole.
STARTER = """
import json, os, resource, signal, subprocess, sys, time
def held(session):
    total = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.getsid(int(name)) == session:
                    with open(f"/proc/{name}/statm") as file:
                        total += int(file.read().split()[1]) * resource.getpagesize()
            except (OSError, ValueError, IndexError):
                pass
    return total / 1e6
for line in sys.stdin:
    asked = json.loads(line)
    def limited():
        resource.setrlimit(resource.RLIMIT_CPU, (asked["cpu"], asked["cpu"] + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell has what it runs in the background ignore it
    with open(asked["out"], "wb") as out, open(asked["err"], "wb") as err:
        child = subprocess.Popen(asked["words"], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=asked["env"],
                                 cwd=asked["cwd"], preexec_fn=limited, start_new_session=True)
    end, why, status = time.monotonic() + asked["wall"], "", None
    while status is None:
        found, status, usage = os.wait4(child.pid, os.WNOHANG)
        if found == 0:
            status = None
            most = held(child.pid)
            if most > asked["megabytes"]:
                why = f"ended at {most:.0f} MB"
            elif time.monotonic() > end:
                why = f"did not end in {asked['wall']} s"
            if why:
                os.killpg(child.pid, signal.SIGKILL)
                _, status, usage = os.wait4(child.pid, 0)
            else:
                time.sleep(0.02)
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGXCPU:
        why = f"did not end in {asked['cpu']} s of processor time"
    print(json.dumps([code, usage.ru_maxrss, usage.ru_utime + usage.ru_stime, why]), flush=True)
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
        forced: why it was ended by this program; empty where it ended by itself.
        is_bad: whether that is not what edge promises.
    """

    code: int
    line: str
    has_traceback: bool
    megabytes: float
    seconds: float
    forced: str
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
            "megabytes": ENDED_MEGABYTES,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        code, kilobytes, seconds, forced = json.loads(self._process.stdout.readline())
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
        return Ending(code, last[:240], traced, round(kilobytes / 1e3, 1), round(seconds, 2), forced, bad)

    def close(self) -> None:
        """Lets it end."""
        self._process.communicate("")


def main() -> int:
    """Runs all cases, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="WORDS", default="", help="cases with these words in their name")
    parser.add_argument("--kinds", metavar="N", type=int, nargs="*", help="cases of these kinds")
    parser.add_argument("--before", metavar="REV", help="an earlier commit to compare with")
    parser.add_argument(
        "--keep", action="store_true", help="what FOLDER says of the earlier commit is not measured again"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for hostile.json and hostile.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edge-hostile-") as temporary:
        scratch = Path(temporary)
        states = {"now": ROOT} if options.before is None else {"before": earlier(options.before, scratch), "now": ROOT}
        kept = kept_rows(options.out, options.before) if options.keep and options.out else {}
        starter = Starter(scratch)
        document = {
            "schema": SCHEMA,
            "before": options.before,
            "machine": dataclasses.asdict(describe_machine("pillow")),
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
                if state == "before" and (known := kept.get((case.kind, case.name))):
                    row.update(known)
                    continue
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


def kept_rows(folder: Path, revision: str) -> dict[tuple[int, str], dict[str, Any]]:
    """What a document says of an earlier state, by the kinds and names of the cases."""
    path = folder / "hostile.json"
    document = json.loads(path.read_bytes()) if path.is_file() else {}
    if document.get("before") != revision:
        return {}
    wanted = ("file_bytes", "before")
    return {
        (row["kind"], row["name"]): {key: row[key] for key in wanted} for row in document["rows"] if "before" in row
    }


def earlier(revision: str, scratch: Path) -> Path:
    """The sources of an earlier state, unpacked."""
    rooms = ["runtime", "train", "export"]
    command = [shutil.which("git") or "git", "archive", revision, *rooms, "pyproject.toml"]
    archive = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        raise SystemExit(f"--before {revision}: {archive.stderr.decode().strip()}; name a commit of this repository")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
        packed.extractall(scratch / "before", filter="data")
    # Which modules hold its commands is said by what is installed, which is the present state's.
    project = tomllib.loads((scratch / "before" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed = scratch / "before" / "runtime" / f"edge_toolkit-{project['version']}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: edge-toolkit\nVersion: {project['version']}\n")
    groups = project.get("entry-points", {})
    lines = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in of.items()) for group, of in groups.items()
    ]
    (installed / "entry_points.txt").write_text("\n".join(lines))
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
    mark = "!!" if one["is_bad"] else "  "
    return f"{mark} {row['kind']:>2} {row['name']}: {state}: {cost}: {one['forced'] or one['line']}"


def markdown(document: dict[str, Any]) -> str:
    """The page: for each kind a table."""
    about, before = document["machine"], document["before"]
    states = ["before", "now"] if before else ["now"]
    command = f"python benchmarks/hostile.py{f' --before {before}' if before else ''}"
    where = f"{about['cpu']}, {about['system']}, Python {about['python']}, {about['allowed_cpus']} CPUs"
    meant = (
        "MB is the most memory of the process, s its processor time, Python's start and imports included. **Bold** is "
        "what does not hold: a traceback, a signal, nothing said, another exit code than the one that fits, or a "
        f"picture above {MOST_MEGABYTES} MB or {MOST_SECONDS:.0f} s. A process is ended after {CPU_SECONDS} s of "
        f"processor time, {WALL_SECONDS} s, or at {ENDED_MEGABYTES} MB."
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
    said = f"{traced}`{line}`" if line else "(nothing)"
    return [
        code,
        f"{ending['megabytes']:.0f}",
        f"{ending['seconds']:.1f}",
        f"**{ending['forced']}**" if ending["forced"] else said,
    ]


if __name__ == "__main__":
    sys.exit(main())

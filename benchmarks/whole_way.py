"""From a photo to its label: one in a fresh process, the next in a warm one, and a folder, beside a script of 30 lines.

    python benchmarks/whole_way.py [--photos DIR] [--before REV] [--model lstm-int8] [--rounds 7] [--out FOLDER]

Why: the milliseconds of a model are nothing beside those of Python's start and of reading a picture, and whoever has
one photo to read would write the script first. It does what MNIST's makers did to their scans: grey, a threshold, the
bounding box into 20x20, the centre of mass into the middle. So speed stands beside what each gets right.

`--photos` is a folder of pictures with a `labels.tsv` (`benchmarks/pictures.py` says how it looks); without one 200
photos are drawn. `--before` takes an earlier state of edge, from the history of this repository, into the comparison.
Processes take turns, the processor time of all their threads counts, and wall time stands beside it; `edge.bench.turns`
says how they are compared. `--out` writes whole_way.json and whole_way.md.
"""

import argparse
import dataclasses
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cold_start import measure, output, summary
from hard_pictures import written
from hard_writing import Writers
from pictures import Case, read_cases

from edge.bench.results import describe_machine
from edge.bench.turns import take_turns
from edge.bundle import shipped
from edge.text.files import write_atomically
from edge.text.table import aligned

SCHEMA = "edge.whole-way/1"
ROOT = Path(__file__).resolve().parent.parent
DRAWN = ("plain", "ruled", "grid", "perspective", "shadow edge", "coloured paper", "notebook", "faint pencil")
EACH = 25
SEED = 2_813
WARM, FRESH, FOLDER = "second picture, same process", "one picture, fresh process", "folder"

EDGE = """
import sys
try:
    from edge.cli.main import main
except ImportError:
    from edge.cli import main
main()
"""
EDGE_WARM = """
import json, sys, time
import edge
classifier = edge.load(sys.argv[1], provider="cpu")
def predict(path):
    try:
        return classifier.predict(path).label
    except edge.EdgeError:
        return None
"""
SCRIPT = """
import json, sys, time
import numpy as np
import onnxruntime
from PIL import Image, ImageOps
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
def predict(path):
    grey = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("L"), np.float64)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ink = 255 - grey if np.median(border) > 127 else grey
    if ink.min() == ink.max():
        return None
    counts = np.bincount(ink.astype(np.uint8).ravel(), minlength=256)
    below = counts.cumsum()
    sums = (counts * np.arange(256)).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = (sums[-1] * below / below[-1] - sums) ** 2 / (below * (below[-1] - below))
    threshold = np.nanargmax(apart)
    rows, columns = (np.flatnonzero((ink > threshold).any(axis)) for axis in (1, 0))
    box = np.where(ink > threshold, ink, 0)[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    box = np.clip(box * (255 / box.max()), 0, 255).astype(np.uint8)
    scale = 20 / max(box.shape)
    size = tuple(max(1, round(side * scale)) for side in box.shape[::-1])
    small = np.asarray(Image.fromarray(box).resize(size, Image.Resampling.BOX), np.float64)
    middle = [(small.sum(1 - axis) * np.arange(small.shape[axis])).sum() / small.sum() for axis in (0, 1)]
    image = np.zeros((28, 28), np.uint8)
    top, left = (int(np.clip(round(13.5 - at), 0, 28 - side)) for at, side in zip(middle, small.shape))
    image[top : top + small.shape[0], left : left + small.shape[1]] = small
    return str(session.run(["probabilities"], {"image": image[None]})[0][0].argmax())
"""
ONE = "print(predict(sys.argv[2]))"
ALL = "print(json.dumps({path: predict(path) for path in json.load(open(sys.argv[2]))}))"
TIMED = """
paths, times = json.load(open(sys.argv[2])), []
predict(paths[0])
for path in paths:
    started = time.process_time()
    predict(path)
    times.append(time.process_time() - started)
print(json.dumps(times))
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Way:
    """A way from a photo to its label.

    Attributes:
        name: of the way, as the tables show it.
        environment: of its processes.
        script: whether it is the script; edge otherwise.
    """

    name: str
    environment: dict[str, str]
    script: bool = False

    def program(self, task: str, model: str, bundle: Path, photos: Path, listed: Path) -> list[str]:
        """The command line for one of the three tasks; `photos` is a photo or the folder of all."""
        if task == WARM:
            return [sys.executable, "-c", (SCRIPT if self.script else EDGE_WARM) + TIMED, str(bundle), str(listed)]
        if self.script:
            rest = (ALL, str(listed)) if task == FOLDER else (ONE, str(photos))
            return [sys.executable, "-c", SCRIPT + rest[0], str(bundle), rest[1]]
        return [sys.executable, "-c", EDGE, "predict", str(photos), "--model", model, "--json"]


def main() -> int:
    """Measures, prints and writes."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="edge-whole-way-") as temporary:
        scratch = Path(temporary)
        photos = options.photos or drawn(scratch / "photos")
        cases = read_cases(photos)
        folder = scratch / "folder"  # without labels.tsv and whatever else lies beside the photos
        folder.mkdir()
        for case in cases:
            shutil.copy(case.path, folder / case.path.name)
        cases = [dataclasses.replace(case, path=folder / case.path.name) for case in cases]
        document = measured(ways(options.before, scratch), options.model, folder, cases, options.rounds)
    document["photos"] = "drawn" if options.photos is None else options.photos.name
    page = markdown(document)
    print(page)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        write_atomically(options.out / "whole_way.json", (json.dumps(document, indent=1) + "\n").encode())
        write_atomically(options.out / "whole_way.md", page.encode())
    return 0


def drawn(folder: Path, kinds: Sequence[str] = DRAWN, each: int = EACH) -> Path:
    """A folder of drawn photos with their labels."""
    folder.mkdir()
    rows = ["file\tlabel\tkind"]
    writers = Writers(SEED)
    for kind in kinds:
        rows += written(folder, kind, each, writers, SEED)
    (folder / "labels.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def ways(before: str | None, scratch: Path) -> list[Way]:
    """The script first, then edge as it is, then as it was."""
    bare = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    found = [Way("script", bare, script=True), Way("edge", {**bare, "PYTHONPATH": str(ROOT / "runtime")})]
    if before:
        archive = subprocess.run(
            [shutil.which("git") or "git", "archive", before, "runtime"], cwd=ROOT, capture_output=True, check=False
        )
        if archive.returncode:
            raise SystemExit(f"--before {before}: {archive.stderr.decode().strip()}; name a commit of this repository")
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
            packed.extractall(scratch / "before", filter="data")
        found.append(Way(f"edge {before}", {**bare, "PYTHONPATH": str(scratch / "before" / "runtime")}))
    return found


def measured(compared: Sequence[Way], model: str, folder: Path, cases: Sequence[Case], rounds: int) -> dict[str, Any]:
    """All three tasks for every way, in turns; and what each way reads right."""
    bundle = shipped.locate(model)
    listed = write_list(cases, folder.parent)
    results: dict[str, dict[str, dict[str, float]]] = {}
    for task in (FRESH, FOLDER):
        runs: dict[str, list[dict[str, float]]] = {way.name: [] for way in compared}
        for at, way in take_turns(list(compared), rounds=rounds):
            say(f"{task}: round {at} of {rounds}, {way.name}")
            photos = folder if task == FOLDER else cases[at % len(cases)].path
            runs[way.name].append(measure(way.program(task, model, bundle, photos, listed), way.environment))
        results[task] = {way.name: summary(runs[way.name], runs[compared[0].name]) for way in compared}
    times: dict[str, list[float]] = {way.name: [] for way in compared}
    for _, way in take_turns(list(compared), rounds=max(2, rounds // 2)):
        say(f"{WARM}: {way.name}")
        times[way.name] += json.loads(output(way.program(WARM, model, bundle, folder, listed), way.environment))
    base = statistics.median(times[compared[0].name])
    results[WARM] = {
        name: {"cpu_ms": 1e3 * statistics.median(one), "cpu_ratio": statistics.median(one) / base}
        for name, one in times.items()
    }
    right = {way.name: read_right(way, model, bundle, cases, listed) for way in compared}
    where = dataclasses.asdict(describe_machine("pillow"))
    about = {"schema": SCHEMA, "model": model, "pictures": len(cases), "machine": where}
    return {**about, "results": results, "right": right}


def write_list(cases: Sequence[Case], folder: Path) -> Path:
    """The file that names the photos to the programs that take a list."""
    listed = folder / "listed.json"
    listed.write_text(json.dumps([str(case.path) for case in cases]), encoding="utf-8")
    return listed


def read_right(way: Way, model: str, bundle: Path, cases: Sequence[Case], listed: Path) -> int:
    """How many photos come out with their label."""
    program = way.program(FOLDER, model, bundle, cases[0].path.parent, listed)
    # A picture that cannot be read ends edge with 1, after all the others were read.
    done = subprocess.run(program, env=way.environment, capture_output=True, text=True, check=False)
    if way.script:
        said = {Path(path).name: label for path, label in json.loads(done.stdout).items()}
    else:
        said = {Path(row["path"]).name: row.get("label") for row in map(json.loads, done.stdout.splitlines())}
    return sum(said[case.path.name] == case.label for case in cases)


def markdown(document: dict[str, Any]) -> str:
    """The page: a row for each way and task."""
    results, right = document["results"], document["right"]
    rows = [("", "", "CPU ms", "times the script", "wall ms", "right")]
    for task in (FRESH, WARM, FOLDER):
        for name, row in results[task].items():
            wall = f"{row['wall_ms']:.0f}" if "wall_ms" in row else ""
            share = f"{right[name]} of {document['pictures']}" if task == FOLDER else ""
            rows.append((task, name, f"{row['cpu_ms']:.1f}", f"{row['cpu_ratio']:.2f}", wall, share))
    where = document["machine"]
    photos = f"{document['pictures']} photos ({document['photos']})"
    head = f"`python benchmarks/whole_way.py`: {document['model']}, {photos}, {where['cpu']}, Python {where['python']}"
    return "\n".join([head, "", "```", *aligned(rows, right=range(2, 6)), "```", ""])


def say(line: str) -> None:
    """Progress, on stderr."""
    print(line, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, metavar="DIR", help="pictures with a labels.tsv; 200 drawn ones without")
    parser.add_argument("--before", metavar="REV", help="an earlier commit to compare with")
    parser.add_argument("--model", default="lstm-int8", help="a shipped bundle")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for whole_way.json and whole_way.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""What a run over very many pictures costs, and what is left of it when it is killed.

A run of a day is of use only if it can be broken off, if writing its rows costs next to nothing, and if a list of a
million paths fits a small machine. Each of the three is measured with the command line itself:

    python benchmarks/many.py cost      processor time of `--out` against `--json`, in turns; a ratio each, the median
    python benchmarks/many.py memory    the most memory of a run over a list of a million paths
    python benchmarks/many.py kills     a run killed with SIGKILL at random moments, taken up again until it is done

The pictures are drawn: images of 28x28 pixels with digits of the built-in evidence. One JSON document at the end.
"""

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from edge.bench.results import describe_machine

MODEL = "lstm-int8"

# So many kills come when the run is writing its parts, at any moment; the others while it starts and makes its list.
STARTED = 0.8


def main() -> None:
    """Measures what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cost", "memory", "kills"])
    parser.add_argument("--folder", type=Path, default=Path("runs/many"))
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--paths", type=int, default=1_000_000)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    measured = {"cost": cost, "memory": memory, "kills": kills}[options.what](options)
    around = describe_machine()
    facts = {"cpu": around.cpu, "allowed_cpus": around.allowed_cpus, "load_average": around.load_average}
    print(json.dumps({"what": options.what, **measured, "machine": facts, "model": MODEL}))


def cost(options: argparse.Namespace) -> dict[str, object]:
    """Processor time of writing parts against printing, and the ratio of each round."""
    tree = draw(options)
    rounds = []
    for number in range(options.rounds):
        order = ("json", "out") if number % 2 == 0 else ("out", "json")
        seconds = {}
        for way in order:
            shutil.rmtree(options.folder / "out", ignore_errors=True)
            where = ["--out", options.folder / "out"] if way == "out" else ["--json"]
            seconds[way] = spent([*predict(tree), *where])[0]
        rounds.append({way: round(seconds[way], 3) for way in ("json", "out")})
        print(rounds[-1], file=sys.stderr)
    return {
        "pictures": options.pictures,
        "cpu_seconds": rounds,
        "ratio": round(statistics.median(each["out"] / each["json"] for each in rounds), 3),
    }


def memory(options: argparse.Namespace) -> dict[str, object]:
    """The most memory of a run whose list has so many paths, and of one with a single path; most of them are missing.

    A thousandth of the list is read, by the shard: what the list takes does not depend on how much of it is.
    """
    listed = options.folder / "paths.txt"
    megabytes = {}
    for count, shard in ((1, "1/1"), (options.paths, "1/1000")):
        with listed.open("w") as file:
            file.writelines(f"/data/scans/{number % 1000:03}/page-{number:08}.png\n" for number in range(count))
        shutil.rmtree(options.folder / "out", ignore_errors=True)
        words = [sys.executable, "-m", "edge", "predict", "--model", MODEL, "--from", listed, "--shard", shard]
        megabytes[count] = round(spent([*words, "--out", options.folder / "out"])[1] / 1e6, 1)
        listed.unlink()
    return {"paths": options.paths, "most_megabytes": megabytes[options.paths], "with_one_path": megabytes[1]}


def kills(options: argparse.Namespace) -> dict[str, object]:
    """Kills a run at random moments, takes it up again to its end, and counts the rows."""
    tree, out = draw(options), options.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [*predict(tree), "--out", out, "--part-rows", str(max(1, options.pictures // 100))]
    chance, left = random.Random(19), []  # noqa: S311 - moments, no secrets
    while len(left) < options.kills:
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        there = len(list(out.glob("part-*")))
        if chance.random() < STARTED:
            while running.poll() is None and len(list(out.glob("part-*"))) == there:
                time.sleep(0.001)
        time.sleep(chance.uniform(0.0, 0.5))
        running.send_signal(signal.SIGKILL)
        if running.wait() != -signal.SIGKILL:  # it was done before: begin anew
            shutil.rmtree(out)
            continue
        left.append(len(list(out.glob("part-*"))) if out.is_dir() else 0)
        print(f"killed {len(left)} times, {left[-1]} parts are there", file=sys.stderr)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    paths = Counter(json.loads(line)["path"] for part in out.glob("part-*") for line in part.read_text().splitlines())
    expected = {str(path) for path in tree.rglob("*.png")}
    return {
        "pictures": options.pictures,
        "kills": len(left),
        "parts_after_each": left,
        "rows": paths.total(),
        "missing": len(expected - set(paths)),
        "doubled": sum(count > 1 for count in paths.values()),
        "left_over": [path.name for path in out.glob(".*")],
    }


def predict(tree: Path) -> list[object]:
    """The command for a tree of pictures."""
    return [sys.executable, "-m", "edge", "predict", tree, "--model", MODEL]


def spent(words: list[object]) -> tuple[float, int]:
    """Runs a command to its end.

    Returns:
        The processor time that it took, seconds, and its most memory, bytes.
    """
    with Path(os.devnull).open("w") as nowhere:
        running = subprocess.Popen([str(word) for word in words], stdout=nowhere, stderr=nowhere)
        _, _, usage = os.wait4(running.pid, 0)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def draw(options: argparse.Namespace) -> Path:
    """A tree of so many small pictures; what is there already is taken."""
    from PIL import Image

    from edge.bundle import bundle, shipped

    tree = Path(options.folder / f"tree-{options.pictures}")
    if not tree.is_dir():
        evidence = bundle.read(shipped.locate(MODEL)).evidence
        digits = [
            image for kind, image in zip(evidence.kinds, evidence.images, strict=True) if kind.startswith("stroke ")
        ]
        unfinished = tree.with_name(f"{tree.name}.part")
        for number in range(options.pictures):
            path = unfinished / f"{number // 1000:04}" / f"{number:08}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(digits[number % len(digits)]).save(path)
        unfinished.replace(tree)
    return tree


if __name__ == "__main__":
    main()

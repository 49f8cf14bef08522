"""Much work at once: whether answers, order and memory stay as they are.

Why: what leaks a kilobyte a picture, or swaps two answers once in ten thousand, passes every test of a second.

    python benchmarks/soak.py [--predictions 200000] [--threads 8] [--files 20000] [--bad 0.01] [--model lstm-int8]

Threads share one classifier, and predict the drawn digits of its evidence, single and in small batches, and now and
then a picture file, good or bad; each answer is compared with the one of a quiet process. Then
`edge predict FOLDER --json` reads a folder of files, of which some are bad in ways of their own: every file has its
row, in order, with the answer or the error that belongs to it. Memory is the resident set: of the threads after a fifth
of the work and at its end, of the command at its highest, beside a tenth of the files. One JSON document at the end;
exit code 1 where something does not hold.
"""

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from many import spent
from numpy.typing import NDArray
from PIL import Image

import edge
from edge.bench.results import describe_machine
from edge.text.table import aligned

SCHEMA = "edge.soak/1"
PICTURES = 0.02  # of the predictions: files, which take far longer than images
PHOTO = 3  # the place of the photo among the four files of each digit
BAD = 0.01  # of the predictions: what must be an error
BATCH = 10
SAME = 1e-6  # of probabilities
SEED = 14
# A process that leaks 100 bytes a prediction grows by 16 MB between the two looks; a heap that settles by some.
MOST_GROWTH_BYTES = 8_000_000
# The names, and some kilobytes of what is under way, for each file more.
MOST_BYTES_A_FILE = 1_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What the threads ask for, and what a quiet process answers.

    Attributes:
        images: uint8 (N, 28, 28).
        labels: of them.
        probabilities: of them, for one image at a time.
        files: contents of picture files of the same digits.
        file_labels: of them.
        bad: contents of files that are no pictures.
    """

    images: NDArray[np.uint8]
    labels: tuple[str, ...]
    probabilities: tuple[dict[str, float], ...]
    files: tuple[bytes, ...]
    file_labels: tuple[str, ...]
    bad: tuple[bytes, ...]


def main() -> int:
    """Works, prints, and says whether all holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=int, default=200_000)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--bad", type=float, default=0.01, help="the share of files that are no pictures")
    parser.add_argument("--model", default="lstm-int8", help="a shipped bundle")
    options = parser.parse_args()
    classifier = edge.load(options.model, provider="cpu")
    asked = prepared(classifier)
    threads = predict_in_threads(classifier, asked, options.predictions, options.threads)
    with tempfile.TemporaryDirectory(prefix="edge-soak-") as temporary:
        folder = read_folder(asked, options, Path(temporary))
    wrong = [*threads["wrong"], *folder["wrong"]]
    rows = [
        (f"{part}: {name}", str(figure))
        for part, found in (("threads", threads), ("folder", folder))
        for name, figure in found.items()
        if name != "wrong"
    ]
    print(*aligned(rows, right=(1,)), sep="\n")
    print(*(f"does not hold: {one}" for one in wrong), sep="\n")
    around = describe_machine("pillow")
    facts = {
        "cpu": around.cpu,
        "allowed_cpus": around.allowed_cpus,
        "python": around.python,
        "load_average": around.load_average,
    }
    print(
        json.dumps({"schema": SCHEMA, "model": options.model, "threads": threads, "folder": folder, "machine": facts})
    )
    return 1 if wrong else 0


def prepared(classifier: edge.Classifier) -> Asked:
    """The drawn digits of the evidence, as images and as files, and what is said of them."""
    evidence = classifier.bundle.evidence
    images = evidence.images[evidence.digits]
    said = [classifier.predict_image(image) for image in images]
    files = tuple(content for image in images for content in (plain(image), plain(image), plain(image), photo(image)))
    bad = (
        b"",
        b"Buy milk.\n" * 20,
        files[0][: len(files[0]) // 2],
        files[PHOTO][: len(files[PHOTO]) // 2],
        plain(np.zeros((28, 28), np.uint8)),  # shows no digit
    )
    return Asked(
        images,
        tuple(each.label for each in said),
        tuple(each.probabilities for each in said),
        files,
        tuple(classifier.predict(file).label for file in files),
        bad,
    )


def plain(image: NDArray[np.uint8]) -> bytes:
    """An image as data sets have it."""
    return saved(Image.fromarray(image), "PNG")


def photo(image: NDArray[np.uint8]) -> bytes:
    """An image as somebody would photograph it: dark on light, larger."""
    return saved(Image.fromarray(255 - image).resize((112, 112)), "JPEG")


def saved(image: Image.Image, kind: str) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def predict_in_threads(classifier: edge.Classifier, asked: Asked, predictions: int, threads: int) -> dict[str, Any]:
    """So many predictions by threads that share a classifier; what is not as in a quiet process is in `wrong`."""
    shares = [predictions // threads + (number < predictions % threads) for number in range(threads)]
    counts, wrong = Counter[str](), list[str]()
    lock = threading.Lock()
    fifth = threading.Semaphore(0)

    def work(number: int) -> None:
        dice = random.Random(f"{SEED} {number}")  # noqa: S311 - no secrets
        own, left, noted = Counter[str](), shares[number], False
        try:
            while left > 0:
                kind, count, complaint = one(classifier, asked, dice, left)
                own[kind] += count
                left -= count
                if complaint:
                    wrong.append(complaint)
                if not noted and left < 0.8 * shares[number]:
                    noted = True
                    fifth.release()
        except Exception as error:  # noqa: BLE001 - a thread that dies must be told
            wrong.append(f"thread {number} ended with {type(error).__name__}: {error}")
        if not noted:
            fifth.release()
        with lock:
            counts.update(own)

    started, used = time.monotonic(), time.process_time()
    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for _ in workers:
        fifth.acquire()
    early = resident_bytes()
    for worker in workers:
        worker.join()
    late = resident_bytes()
    if late - early > MOST_GROWTH_BYTES:
        wrong.append(f"memory grew by {(late - early) / 1e6:.1f} MB after a fifth of the predictions")
    if counts.total() != predictions:
        wrong.append(f"{counts.total()} of {predictions} predictions were made")
    return {
        "predictions": counts.total(),
        **dict(sorted(counts.items())),
        "threads": threads,
        "wrong answers": len(wrong),
        "megabytes after a fifth": round(early / 1e6, 1),
        "megabytes at the end": round(late / 1e6, 1),
        "seconds": round(time.monotonic() - started, 1),
        "cpu seconds": round(time.process_time() - used, 1),
        "wrong": wrong[:20],
    }


def one(classifier: edge.Classifier, asked: Asked, dice: random.Random, left: int) -> tuple[str, int, str]:
    """One request of a thread: its kind, how many predictions it was, and what is wrong with the answer, or nothing."""
    chance = dice.random()
    if chance < BAD:
        at = dice.randrange(len(asked.bad))
        try:
            found = classifier.predict(asked.bad[at])
        except edge.PictureError:
            return "bad files", 1, ""
        return "bad files", 1, f"bad file {at} was read as {found.label}"
    if chance < BAD + PICTURES:
        at = dice.randrange(len(asked.files))
        label = classifier.predict(asked.files[at]).label
        return "files", 1, "" if label == asked.file_labels[at] else f"file {at} was read as {label}"
    if chance < 0.9 or left < BATCH:
        at = dice.randrange(len(asked.images))
        said = classifier.predict_image(asked.images[at])
        expected = asked.probabilities[at]
        same = all(abs(share - expected[label]) < SAME for label, share in said.probabilities.items())
        return "single images", 1, "" if same else f"image {at} was read as {said.label}"
    order = [dice.randrange(len(asked.images)) for _ in range(BATCH)]
    labels = [each.label for each in classifier.predictions(asked.images[order])]
    expected = [asked.labels[at] for at in order]
    return "images in batches", BATCH, "" if labels == expected else f"images {order} were read as {labels}"


def read_folder(asked: Asked, options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """A folder by the command line, and a tenth of it for comparison."""
    many, few = scratch / "many", scratch / "few"
    expected = written(asked, many, options.files, options.bad)
    written(asked, few, options.files // 10, options.bad)
    command = [sys.executable, "-m", "edge", "predict", "--model", options.model, "--json"]
    _, least = spent([*command, few])
    started = time.monotonic()
    with (scratch / "out").open("w") as out, (scratch / "err").open("w") as err:
        running = subprocess.Popen([*command, str(many)], stdout=out, stderr=err)
        _, status, usage = os.wait4(running.pid, 0)
    wall, code = time.monotonic() - started, os.waitstatus_to_exitcode(status)
    seconds, most = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    rows = [json.loads(line) for line in (scratch / "out").read_text(encoding="utf-8").splitlines()]
    wrong = complaints(rows, expected, code, (scratch / "err").read_text(encoding="utf-8"))
    if most - least > MOST_GROWTH_BYTES + MOST_BYTES_A_FILE * options.files:
        wrong.append(f"{options.files} files take {(most - least) / 1e6:.1f} MB more than a tenth of them")
    return {
        "files": len(rows),
        "bad": sum("error" in row for row in rows),
        "exit code": code,
        "most megabytes": round(most / 1e6, 1),
        "of a tenth of the files": round(least / 1e6, 1),
        "seconds": round(wall, 1),
        "cpu seconds": round(seconds, 1),
        "wrong": wrong[:20],
    }


def written(asked: Asked, folder: Path, count: int, share: float) -> list[tuple[str, str | None]]:
    """Fills a folder; the path of each file in the order of their names, with its label, or None for a bad one."""
    folder.mkdir()
    dice = random.Random(SEED)  # noqa: S311 - no secrets
    bad = set(dice.sample(range(count), round(share * count)))
    expected: list[tuple[str, str | None]] = []
    for number in range(count):
        at = dice.randrange(len(asked.files))
        path = folder / f"{number:06}.{'jpg' if at % 4 == PHOTO else 'png'}"
        path.write_bytes(dice.choice(asked.bad) if number in bad else asked.files[at])
        expected.append((str(path), None if number in bad else asked.file_labels[at]))
    return expected


def complaints(
    rows: Sequence[dict[str, Any]], expected: Sequence[tuple[str, str | None]], code: int, told: str
) -> list[str]:
    """What is not as it should be in the rows of a folder, in words."""
    wrong = []
    if [row["path"] for row in rows] != [path for path, _ in expected]:
        wrong.append(f"{len(rows)} rows for {len(expected)} files, or in another order")
    for row, (path, label) in zip(rows, expected, strict=False):
        if (label is None) != ("error" in row) or row.get("label") != label:
            wrong.append(f"{Path(path).name} is {label or 'bad'}, and was {row.get('label') or row.get('error')}")
    if code != any(label is None for _, label in expected):
        wrong.append(f"the exit code is {code}")
    if "Traceback" in told:
        wrong.append("there is a traceback on the standard error")
    return wrong


def resident_bytes() -> int:
    """The memory of this process: now on Linux, at its highest elsewhere."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    sys.exit(main())

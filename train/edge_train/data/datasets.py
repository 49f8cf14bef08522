"""What `--data` names: MNIST and its successors, the stroke generator, or a folder of pictures."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final

from edge.bundle.input import DIGITS
from edge.text.terminal import to_stderr
from edge_train import strokes
from edge_train.data import folders, published
from edge_train.data.folders import Part, Tell
from edge_train.data.published import PUBLISHED
from edge_train.data.splits import DataError, Split

MNIST: Final = "mnist"
STROKES: Final = "strokes"
NAMES: Final = (*PUBLISHED, STROKES)

# Seeds of the stroke splits, far from anything that a user would pick for --seed.
STROKE_SEEDS: Final[dict[Part, int]] = {"training": 1_001, "validation": 1_002, "test": 1_003}
STROKE_IMAGES: dict[Part, int] = {"training": 20_000, "validation": 5_000, "test": 5_000}


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set that is there, or can be fetched.

    Attributes:
        data: what was asked for.
        name: as it stands in reports.
        labels: of the classes, in the order of the logits.
        splits: gives (training, validation).
        test: gives the test split, which decides nothing.
        where: says where the files are, when the others have been there.
    """

    data: str
    name: str
    labels: tuple[str, ...]
    splits: Callable[[], tuple[Split, Split]]
    test: Callable[[], Split]
    where: Callable[[], str]

    @property
    def suffix(self) -> str:
        """What the names of models trained on it end in: nothing for MNIST, and for strokes, which stand in for it."""
        if self.data in (MNIST, STROKES):
            return ""
        return "-" + (re.sub(r"[^A-Za-z0-9._-]+", "-", self.name).strip("-._") or "own")


def find(data: str, folder: Path | None = None, *, fetch: bool = True, tell: Tell = to_stderr) -> Dataset:
    """The data set of a name, or in a folder of pictures; nothing is read or fetched before its parts are asked for.

    Args:
        data: one of `NAMES`, or the path of a folder with a sub-folder of pictures for each class.
        folder: where published sets are or shall be; `None` is `published.default_folder()`.
        fetch: download what is not there.
        tell: takes a line for each picture that is left out.

    Raises:
        DataError: no such name or folder, or the folder has no classes of pictures.
    """
    root = folder or published.default_folder()
    if data == STROKES:
        return Dataset(
            data,
            data,
            DIGITS,
            lambda: (stroke_split("training"), stroke_split("validation")),
            partial(stroke_split, "test"),
            lambda: "drawn by the stroke generator, no files",
        )
    if data in PUBLISHED:
        return Dataset(
            data,
            data,
            PUBLISHED[data].labels,
            partial(published.load, data, root, fetch=fetch),
            partial(published.load_test, data, root, fetch=fetch),
            lambda: str(published.find(data, root)),
        )
    if not data or not Path(data).is_dir():
        raise DataError(
            f"no data set {data!r} and no folder of that name; use one of {', '.join(NAMES)}, "
            "or a folder with a sub-folder of pictures for each class"
        )
    return _folder(data, tell)


def stroke_split(part: Part) -> Split:
    """A part of the strokes, drawn anew and always the same."""
    images, labels = strokes.sample(STROKE_IMAGES[part], seed=STROKE_SEEDS[part])
    return Split(f"strokes-{part}", images, labels)


def _folder(data: str, tell: Tell) -> Dataset:
    found = folders.layout(Path(data))

    @cache
    def parts() -> dict[Part, Split]:
        return folders.load(found, tell)

    return Dataset(
        data,
        found.name,
        found.labels,
        lambda: (parts()["training"], parts()["validation"]),
        lambda: parts()["test"],
        lambda: str(found.folder.resolve()),
    )

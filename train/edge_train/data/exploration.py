"""A data set before anything is trained on it: how much of what there is, how dark it is, and what it shows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from PIL import Image

from edge import charts, drawing
from edge.bundle.input import COLUMNS, ROWS
from edge.text.table import aligned
from edge.text.terminal import printable
from edge_train.data.datasets import Dataset
from edge_train.data.splits import Split

INK_LEVEL: Final = 128  # grey levels from here on count as ink: half of a pixel's area and more
BAR_COLUMNS: Final = 32

SAMPLES: Final = 10  # pictures of a class on the sheet, in a row
SHEET_SCALE: Final = 2
MOST_ROWS: Final = 100  # classes on a sheet: more are no picture that anybody looks at


@dataclass(frozen=True, slots=True)
class PartFacts:
    """The figures of a part.

    Attributes:
        part: its name.
        images: pictures.
        counts: pictures of each class.
        mean: of its pixels, ink 1 on background 0.
        deviation: standard deviation of its pixels.
        ink_share: of its pixels, in [0, 1].
        empty: pictures without a pixel of ink.
        repeated: pictures that are pixel for pixel another one before them in the same part.
        shared: different pictures that an earlier part has too.
    """

    part: str
    images: int
    counts: tuple[int, ...]
    mean: float
    deviation: float
    ink_share: float
    empty: int
    repeated: int
    shared: int


@dataclass(frozen=True, slots=True)
class Exploration:
    """A data set in figures.

    Attributes:
        data: what was asked for.
        name: as it stands in reports.
        where: its files are.
        labels: of the classes.
        parts: training, validation and test, in this order.
    """

    data: str
    name: str
    where: str
    labels: tuple[str, ...]
    parts: tuple[PartFacts, ...]

    def to_json(self) -> dict[str, Any]:
        """The figures as plain values, the counts by label."""
        values = asdict(self)
        for part in values["parts"]:
            part["counts"] = dict(zip(self.labels, part["counts"], strict=True))
        return values


def explore(source: Dataset, splits: Sequence[Split]) -> Exploration:
    """The figures of a data set.

    Args:
        source: the data set.
        splits: its parts, in the order in which a picture that two of them have is held against the later one.
    """
    parts, seen = [], set[bytes]()
    for split in splits:
        distinct = {image.tobytes() for image in split.images}
        parts.append(_facts(split, len(source.labels), distinct, len(distinct & seen)))
        seen |= distinct
    return Exploration(source.data, source.name, source.where(), source.labels, tuple(parts))


def text(found: Exploration) -> str:
    """The figures for people: what there is, its parts, and its classes, a bar for the training pictures of each."""
    images = sum(part.images for part in found.parts)
    lines = [
        f"{printable(found.name)}: {len(found.labels)} classes, {images:,} pictures of {ROWS}x{COLUMNS}",
        f"files: {printable(found.where)}",
        "",
        *aligned(
            [
                ["part", "images", "mean", "deviation", "ink", "empty", "repeated", "in an earlier part"],
                *(
                    [
                        part.part,
                        f"{part.images:,}",
                        f"{part.mean:.4f}",
                        f"{part.deviation:.4f}",
                        f"{part.ink_share:.1%}",
                        f"{part.empty:,}",
                        f"{part.repeated:,}",
                        f"{part.shared:,}",
                    ]
                    for part in found.parts
                ),
            ],
            right=range(1, 8),
        ),
        "",
        *_classes(found),
    ]
    training = found.parts[0].counts
    lines += [
        "",
        f"the largest class has {max(training) / max(min(training), 1):.2f} times the pictures of the smallest",
    ]
    return "\n".join(lines)


def sample_sheet(training: Split, labels: Sequence[str]) -> Image.Image:
    """A row of training pictures for each class, evenly spaced through the data, the label below each picture.

    Args:
        training: at least one picture.
        labels: of the classes; the first `MOST_ROWS` are shown.

    Returns:
        A grey picture (mode L).
    """
    shown = list(labels[:MOST_ROWS])
    images = np.zeros((len(shown), SAMPLES, *training.images.shape[1:]), np.uint8)
    captions = []
    for label, name in enumerate(shown):
        those = np.flatnonzero(training.labels == label)
        count = min(SAMPLES, len(those))
        chosen = those[np.linspace(0, len(those) - 1, count).astype(np.int64)]
        images[label, :count] = training.images[chosen]
        captions += [name] * count + [""] * (SAMPLES - count)
    tiles = images.reshape(-1, *images.shape[2:])
    return drawing.contact_sheet(tiles, captions, columns=SAMPLES, scale=SHEET_SCALE, letters=charts.letters())


def _facts(split: Split, classes: int, distinct: set[bytes], shared: int) -> PartFacts:
    levels = np.bincount(split.images.reshape(-1), minlength=256).astype(np.float64)
    shares, values = levels / levels.sum(), np.arange(256) / 255
    mean = float(shares @ values)
    return PartFacts(
        part=split.name.rpartition("-")[2],
        images=len(split),
        counts=tuple(np.bincount(split.labels, minlength=classes).tolist()),
        mean=mean,
        deviation=float(np.sqrt(shares @ (values - mean) ** 2)),
        ink_share=float(shares[INK_LEVEL:].sum()),
        empty=int((split.images.max(axis=(1, 2)) < INK_LEVEL).sum()),
        repeated=len(split) - len(distinct),
        shared=shared,
    )


def _classes(found: Exploration) -> list[str]:
    training = found.parts[0]
    longest = max(*training.counts, 1)
    rows = [
        [
            printable(label),
            *(f"{part.counts[index]:,}" for part in found.parts),
            f"{training.counts[index] / max(training.images, 1):.1%}",
            "#" * round(BAR_COLUMNS * training.counts[index] / longest),
        ]
        for index, label in enumerate(found.labels)
    ]
    head = ["class", *(part.part for part in found.parts), "share", "of training"]
    return aligned([head, *rows], right=range(1, len(head) - 1))

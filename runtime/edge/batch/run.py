"""A run over very many pictures: how it is asked for, how quickly it goes on, and what became of it."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from edge.errors import InputError

Form = Literal["jsonl", "parquet"]
FORMS: Final[tuple[Form, ...]] = ("jsonl", "parquet")

# A killed run loses one part at most: a second of small pictures, two minutes of photographs on one core.
PART_ROWS: Final = 5000


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where and how the rows of a run are written.

    Attributes:
        folder: for the parts and the manifest.
        shard: which one is to be read, from 1.
        shards: how many there are.
        form: of the parts.
        part_rows: rows of a part.
        top: only so many of the most probable labels; all without.
    """

    folder: Path
    shard: int = 1
    shards: int = 1
    form: Form = "jsonl"
    part_rows: int = PART_ROWS
    top: int | None = None


def parse_shard(text: str) -> tuple[int, int]:
    """Which shard of how many is meant, such as "3/16".

    Raises:
        InputError: it says none.
    """
    number, _, count = text.partition("/")
    if number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
        return int(number), int(count)
    raise InputError(f"{text} is no shard; write which one of how many, such as 3/16")


_LEAST_SECONDS = 1e-3  # of a clock that has not moved on yet


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of pictures.

    Attributes:
        pictures: all of them.
        errors: those that have no label.
        rejected: those whose label should not be trusted.
    """

    pictures: int = 0
    errors: int = 0
    rejected: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.pictures + other.pictures, self.errors + other.errors, self.rejected + other.rejected)

    def line(self) -> str:
        """For people."""
        return f"{self.pictures} pictures, {self.errors} errors, {self.rejected} rejected"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run.

    Attributes:
        counts: of all pictures.
        before: how many of them earlier runs had read.
        rate: pictures that this one read, a second.
    """

    counts: Counts
    before: int
    rate: float

    def line(self) -> str:
        """Pictures, errors, rejected, rate: for people."""
        earlier = f", {self.before} of them read before" if self.before else ""
        rate = f"{self.rate:.0f} a second" if self.before < self.counts.pictures else "nothing was left to read"
        return f"{self.counts.line()}{earlier}; {rate}"

    def json_line(self) -> str:
        """The same for programs."""
        return json.dumps({**asdict(self.counts), "before": self.before, "per_second": round(self.rate, 1)})


class Pace:
    """Tells how quickly a run goes on, from when this was made.

    Args:
        clock: seconds, for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun = clock()

    def rate(self, pictures: int) -> float:
        """So many pictures a second were read since the beginning."""
        return pictures / max(self._clock() - self._begun, _LEAST_SECONDS)

    def figure(self, pictures: int) -> str:
        """The rate, for a progress bar."""
        return f"{self.rate(pictures):.0f} a second"

    def outcome(self, counts: Counts, before: Counts) -> Outcome:
        """What became of a run that ends now.

        Args:
            counts: of all pictures.
            before: of those that earlier runs had read.
        """
        return Outcome(counts, before.pictures, self.rate(counts.pictures - before.pictures))

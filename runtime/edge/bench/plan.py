"""The plan: which bundles, on which providers, with how many threads, in which batch sizes."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.bundle import bundle, shipped
from edge.bundle.bundle import Bundle
from edge.errors import BundleNotFoundError, InputError
from edge.session.providers import Provider

LARGEST_BATCH = 65536  # 51 MB of pixels: a larger number is a slip of the finger
MOST_THREADS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A bundle that is measured.

    Attributes:
        name: of its manifest; as it was asked for when two bundles share that.
        source: the bundle, checked.
    """

    name: str
    source: Bundle


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """A session that is to be made: its batch sizes share it.

    Attributes:
        subject: the bundle.
        provider: as it was asked for: "auto", "cpu" or "cuda".
        threads: threads inside one operator.
    """

    subject: Subject
    provider: Provider
    threads: int


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is measured.

    Attributes:
        subjects: the bundles.
        providers: as asked for.
        threads: thread counts, each at least 1.
        batches: batch sizes, each at least 1.
        seconds: time for each configuration, warm-up included.
        cold_starts: fresh processes for each bundle and provider; 0 for none.
    """

    subjects: tuple[Subject, ...]
    providers: tuple[Provider, ...] = ("auto",)
    threads: tuple[int, ...] = (1,)
    batches: tuple[int, ...] = (1, 16, 256)
    seconds: float = 3.0
    cold_starts: int = 5

    def __post_init__(self) -> None:
        _check("batch size", self.batches, LARGEST_BATCH)
        _check("number of threads", self.threads, MOST_THREADS)
        if not 0 < self.seconds < float("inf"):
            raise InputError(f"{self.seconds} seconds measure nothing; give a number above 0")
        if self.cold_starts < 0:
            raise InputError(f"there are no {self.cold_starts} cold starts; give 0 or more")

    @property
    def setups(self) -> list[Setup]:
        """The sessions, bundle by bundle."""
        return [Setup(*each) for each in itertools.product(self.subjects, self.providers, self.threads)]


def subjects(names_or_paths: Sequence[str]) -> tuple[Subject, ...]:
    """Reads and checks the bundles before anything is measured; each file once.

    Args:
        names_or_paths: shipped names and paths; none of them stands for all that are shipped.

    Raises:
        BundleError: one is not found, damaged, no bundle, or of another generation of edge; or none is shipped.
    """
    asked = list(names_or_paths) or shipped.names()
    if not asked:
        raise BundleNotFoundError("no bundles are shipped with this installation; name a bundle")
    paths: dict[Path, str] = {}
    for each in asked:
        paths.setdefault(shipped.locate(each), each)
    found = [(each, bundle.read(path)) for path, each in paths.items()]
    shared = Counter(source.manifest.name for _, source in found)
    return tuple(
        Subject(source.manifest.name if shared[source.manifest.name] == 1 else each, source) for each, source in found
    )


def _check(what: str, values: Sequence[int], most: int) -> None:
    for value in values:
        if not 1 <= value <= most:
            raise InputError(f"{value} is no {what}; give 1 to {most}")

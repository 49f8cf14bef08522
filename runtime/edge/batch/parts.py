"""A run that can be broken off: its rows in parts, each written whole or not at all, beside a manifest of the run.

A part holds the rows of so many pictures of a shard, in their order. What part a picture is in follows from the list
and the shard alone, so a part that is there is done, and a part that is not is all that is left to do. The manifest
ties the folder to the list and to the bundle: rows of two of either are never mixed.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from edge.batch.rows import check_form, count_answers, counts_in, encode_rows, join_parts
from edge.batch.run import FORMS, PART_ROWS, Counts, Form
from edge.errors import EdgeError
from edge.text.files import make_folder, write_atomically, written_whole

if TYPE_CHECKING:
    from edge.classifier.answers import Answer

NAME: Final = "manifest.json"
VERSION: Final = 1

# What has to be the same in every run into a folder, and how it is called where it is not.
_TIES: Final = {
    "version": "another version of edge",
    "bundle_sha256": "another bundle",
    "inputs_sha256": "other pictures",
    "shards": "another number of shards",
    "part_rows": "other --part-rows",
    "form": "another --format",
    "top": "another --top",
}


class BatchError(EdgeError):
    """The rows of a run cannot be put into a folder, or not be taken out of it."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a folder of parts holds: its manifest.

    Attributes:
        model: name of the bundle.
        bundle_sha256: its digest, hexadecimal.
        inputs: the arguments that the pictures came from, for people.
        inputs_sha256: digest of the list of pictures, hexadecimal.
        shards: how many pictures each shard has.
        part_rows: rows of a part; the last one of a shard may have fewer.
        form: of the parts.
        top: so many labels a row, if not all.
        version: of this layout.
    """

    model: str
    bundle_sha256: str
    inputs: tuple[str, ...]
    inputs_sha256: str
    shards: tuple[int, ...]
    part_rows: int = PART_ROWS
    form: Form = "jsonl"
    top: int | None = None
    version: int = VERSION

    def parts_of(self, shard: int) -> int:
        """How many parts a shard has, from 0.

        Args:
            shard: from 1.
        """
        return -(-self.shards[shard - 1] // self.part_rows)

    def rows_of(self, shard: int, part: int) -> slice:
        """Which pictures of a shard are in a part.

        Args:
            shard: from 1.
            part: from 0.
        """
        start = part * self.part_rows
        return slice(start, min(start + self.part_rows, self.shards[shard - 1]))

    def count_of(self, shard: int, part: int) -> int:
        """How many rows a part has."""
        found = self.rows_of(shard, part)
        return cast(int, found.stop - found.start)

    def name_of(self, shard: int, part: int) -> str:
        """The name of the file of a part, such as "part-03-of-16-000007.jsonl"."""
        count = len(self.shards)
        which = "" if count == 1 else f"{shard:0{len(str(count))}}-of-{count}-"
        return f"part-{which}{part:06}.{self.form}"


class Parts:
    """The parts of one shard in a folder, while a run writes them.

    Args:
        folder: made, with its manifest, where it is not there.
        run: what is to be in it.
        shard: from 1.

    Raises:
        BatchError: the folder holds another run, or somebody else is writing this shard.
        WriteError: the folder cannot be made or written.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """

    def __init__(self, folder: Path, run: Run, shard: int = 1) -> None:
        check_form(run.form)
        self.folder = folder
        self.run = run
        self.shard = shard
        make_folder(folder)
        if (folder / NAME).exists():
            _refuse_other(folder, read(folder), run)
        elif any(folder.iterdir()):
            raise BatchError(f"the folder {folder} holds something else already; name a new or an empty one")
        else:
            manifest = json.dumps(asdict(run), indent=1) + "\n"
            write_atomically(folder / NAME, manifest.encode(), "the manifest")
        self._lock = _lock(folder / NAME, shard)
        for left in folder.glob(f".{run.name_of(shard, 0).rpartition('-')[0]}-*.part"):  # of a run that was killed
            with suppress(OSError):
                left.unlink()
        self.done, self.before = self._found()

    @property
    def pending(self) -> list[int]:
        """The parts that are not there, ascending."""
        return [part for part in range(self.run.parts_of(self.shard)) if part not in self.done]

    def write(self, part: int, answers: Sequence["Answer"]) -> Counts:
        """Writes a part.

        Args:
            part: its number.
            answers: of all of its pictures, in their order.

        Raises:
            WriteError: it cannot be written; nothing is left of it.
        """
        return self.write_rows(part, encode_rows(answers, self.run.form, self.run.top), count_answers(answers))

    def write_rows(self, part: int, encoded: bytes, counts: Counts) -> Counts:
        """Writes a part whose rows were encoded elsewhere.

        Raises:
            WriteError: as `write`.
        """
        assert counts.pictures == self.run.count_of(self.shard, part)
        write_atomically(self.folder / self.run.name_of(self.shard, part), encoded, "the part")
        self.done.add(part)
        return counts

    def rows_of(self, part: int) -> slice:
        """Which pictures of the shard are in a part."""
        return self.run.rows_of(self.shard, part)

    def count_of(self, part: int) -> int:
        """How many rows a part has."""
        return self.run.count_of(self.shard, part)

    def close(self) -> None:
        """Lets others write this shard."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _found(self) -> tuple[set[int], Counts]:
        """The parts that are whole, and what became of the pictures in them."""
        done, counts = set(), Counts()
        there = {entry.name for entry in os.scandir(self.folder)}
        for part in range(self.run.parts_of(self.shard)):
            if (name := self.run.name_of(self.shard, part)) in there:
                with suppress(OSError, ValueError):
                    found = counts_in(self.folder / name, self.run.form)
                    if found.pictures == self.run.count_of(self.shard, part):
                        done.add(part)
                        counts += found
        return done, counts


def read(folder: Path) -> Run:
    """The manifest of a folder of parts.

    Raises:
        BatchError: there is none, or it cannot be read.
    """
    path = folder / NAME
    try:
        found: Mapping[str, object] = json.loads(path.read_bytes())
        known = {field.name for field in fields(Run)}
        facts = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
        run = Run(**{name: value for name, value in facts.items() if name in known})  # type: ignore[arg-type]
        if run.part_rows < 1 or run.form not in FORMS or not all(count >= 0 for count in run.shards):
            raise ValueError("its numbers make no sense")  # noqa: TRY301 - told with the others
    except FileNotFoundError as error:
        raise BatchError(f"the folder {folder} holds no run, {NAME} is missing; name one that --out wrote") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BatchError(f"{path} cannot be read ({error}); name a folder that --out wrote") from error
    return run


def merge(folders: Sequence[Path], out: Path | None = None, tell: Callable[[int], None] | None = None) -> Counts:
    """Checks that all parts of all shards are there and whole, and puts them together.

    Args:
        folders: of one run; more than one where shards were written to several.
        out: a file for all rows, shard after shard; none is written without.
        tell: is called with the number of rows so far.

    Returns:
        What became of all pictures.

    Raises:
        BatchError: the folders are of several runs, or parts are missing or damaged.
        WriteError: the file cannot be written.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    run = read(folders[0])
    for folder in folders[1:]:
        _refuse_other(folder, read(folder), run)
    check_form(run.form)
    found = _all_parts(folders, run)
    counts = Counts()
    for (shard, part), path in found.items():
        try:
            here = counts_in(path, run.form)
        except (OSError, ValueError) as error:
            raise BatchError(f"the part {path} cannot be read ({error}); remove it and run its shard again") from error
        if here.pictures != (expected := run.count_of(shard, part)):
            raise BatchError(
                f"the part {path} has {here.pictures} rows, and {expected} were written; "
                "remove it and run its shard again"
            )
        counts += here
        if tell is not None:
            tell(counts.pictures)
    if out is not None:
        with written_whole(out, "the rows") as file:
            join_parts(found.values(), file, run.form)
    return counts


def _all_parts(folders: Sequence[Path], run: Run) -> dict[tuple[int, int], Path]:
    """Where each part is, in the order of shards and parts.

    Raises:
        BatchError: some are nowhere.
    """
    there = {entry.name: Path(entry.path) for folder in reversed(folders) for entry in os.scandir(folder)}
    found: dict[tuple[int, int], Path] = {}
    missing: dict[int, int] = {}
    for shard in range(1, len(run.shards) + 1):
        for part in range(run.parts_of(shard)):
            name = run.name_of(shard, part)
            if name in there:
                found[shard, part] = there[name]
            else:
                missing[shard] = missing.get(shard, 0) + 1
    if missing:
        shard, lacking = next(iter(missing.items()))
        again = f" --shard {shard}/{len(run.shards)}" if len(run.shards) > 1 else ""
        raise BatchError(
            f"{len(missing)} of {len(run.shards)} shards are not complete: shard {shard} lacks {lacking} of "
            f"{run.parts_of(shard)} parts; go on with the same command{again}"
        )
    return found


def _refuse_other(folder: Path, there: Run, wanted: Run) -> None:
    """Raises where a folder is of another run.

    Raises:
        BatchError: it is, in one way or another.
    """
    for name, other in _TIES.items():
        if getattr(there, name) != getattr(wanted, name):
            begun = f" ({there.model})" if name == "bundle_sha256" else ""
            raise BatchError(f"the folder {folder} was begun with {other}{begun}; name a new one, or run what it was")


def _lock(path: Path, shard: int) -> int | None:
    """Holds one byte of the manifest for each shard, so that several shards may be written, and none of them twice.

    Raises:
        BatchError: another process holds it.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, shard)
    except (BlockingIOError, PermissionError) as error:
        os.close(descriptor)
        raise BatchError(
            f"another run is writing this shard into {path.parent}; wait until it ends, or end it"
        ) from error
    except OSError:  # some network file systems know no locks
        os.close(descriptor)
        return None
    return descriptor

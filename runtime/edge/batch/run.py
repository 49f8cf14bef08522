"""A run over very many pictures: how it is asked for, its rows, how quickly it goes on, and what became of it.

A picture is a row, of JSON lines or of Parquet. Rows are counted as they are made, and again where they were written.
"""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

from edge.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from edge.classifier.answers import Answer

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


EXTRA: Final = "tables"

# `json_line` begins and ends like this, whatever a path holds.
_ERROR: Final = rb'\{"path": "(?:[^"\\]|\\.)*", "error": '
_REJECTED: Final = rb'"rejected": true, "score": [^"]*\}$'

_COMPRESSION: Final = "zstd"


def count_answers(answers: Iterable["Answer"]) -> Counts:
    """What became of the pictures of some answers."""
    found = list(answers)
    errors = sum(each.error is not None for each in found)
    rejected = sum(each.prediction is not None and each.prediction.rejected for each in found)
    return Counts(len(found), errors, rejected)


def encode_rows(answers: Sequence["Answer"], form: Form, top: int | None = None) -> bytes:
    """The rows of a part.

    Args:
        answers: in the order of the pictures.
        form: "jsonl" is what `edge predict --json` prints; "parquet" has the same columns, `probabilities` in the order
            of the labels, which are in the metadata of the schema as `edge.labels`.
        top: for JSON lines, only so many of the most probable labels.

    Raises:
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    if form == "jsonl":
        from edge.classifier.answers import json_line  # numpy, which the help of a command does without

        return "".join([json_line(each, top) + "\n" for each in answers]).encode("utf-8", "backslashreplace")
    return _parquet(answers)


def counts_in(path: Path, form: Form) -> Counts:
    """What became of the pictures of a part that is there.

    Args:
        path: of the part.
        form: as it was written.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file of that form.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    if form == "jsonl":
        is_error, is_rejected = re.compile(_ERROR), re.compile(_REJECTED)
        pictures = errors = rejected = 0
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"}\n"):
                    raise ValueError("its last line is cut off")
                pictures += 1
                if is_error.match(line):
                    errors += 1
                elif is_rejected.search(line, max(0, len(line) - 80)):
                    rejected += 1
        return Counts(pictures, errors, rejected)
    _, parquet = _pyarrow()
    table = parquet.read_table(path, columns=["label", "rejected"])
    from pyarrow import compute

    return Counts(table.num_rows, table["label"].null_count, compute.sum(table["rejected"]).as_py() or 0)


def join_parts(parts: Iterable[Path], file: BinaryIO, form: Form) -> None:
    """Puts parts together, one after the other.

    Args:
        parts: their paths.
        file: where to.
        form: as they were written.

    Raises:
        OSError: one cannot be read, or the file cannot be written.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    if form == "jsonl":
        for path in parts:
            with path.open("rb") as part:
                shutil.copyfileobj(part, file)
        return
    _, parquet = _pyarrow()
    with ExitStack() as writing:
        writer: Any = None
        for path in parts:
            table = parquet.read_table(path)
            if writer is None:
                writer = writing.enter_context(parquet.ParquetWriter(file, table.schema, compression=_COMPRESSION))
            writer.write_table(table.replace_schema_metadata(writer.schema.metadata))


def check_form(form: Form) -> None:
    """Raises where a form cannot be written here.

    Raises:
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    if form == "parquet":
        _pyarrow()


def _parquet(answers: Sequence["Answer"]) -> bytes:
    from edge.classifier.answers import failure

    pa, parquet = _pyarrow()
    predictions = [each.prediction for each in answers]
    failures = [{} if each.prediction is not None else failure(each.error) for each in answers]
    first = next((each for each in predictions if each is not None), None)
    columns: dict[str, tuple[Any, list[object]]] = {
        "path": (pa.string(), [_text(each.path) for each in answers]),
        "label": (pa.string(), [each and each.label for each in predictions]),
        "confidence": (pa.float32(), [each and each.confidence for each in predictions]),
        "probabilities": (pa.list_(pa.float32()), [each and each.shares for each in predictions]),
        "model": (pa.string(), [each and each.model for each in predictions]),
        "provider": (pa.string(), [each and each.provider for each in predictions]),
        "rejected": (pa.bool_(), [None if each is None else each.rejected for each in predictions]),
        "score": (pa.float64(), [each and each.score for each in predictions]),
        "error": (pa.string(), [_text(str(each["error"])) if each else None for each in failures]),
        "digits": (pa.int32(), [each.get("digits") for each in failures]),
    }
    arrays = [pa.array(values, kind) for kind, values in columns.values()]
    fields = [pa.field(name, kind) for name, (kind, _) in columns.items()]
    metadata = {} if first is None else {"edge.labels": json.dumps(first.labels)}
    sink = pa.BufferOutputStream()
    table = pa.table(arrays, schema=pa.schema(fields, metadata=metadata))
    parquet.write_table(table, sink, compression=_COMPRESSION)
    return bytes(sink.getvalue())


def _text(text: str) -> str:
    """Text that UTF-8 can hold: a file's name need not be any."""
    return text.encode("utf-8", "backslashreplace").decode()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("predict --format parquet", EXTRA, "pyarrow") from error
    return pa, parquet

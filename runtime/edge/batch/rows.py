"""The rows of a part: one for each picture, as JSON lines or as Parquet, and what they count up to."""

import json
import re
import shutil
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Final

from edge.batch.run import Counts, Form
from edge.classifier.answers import Answer, failure, json_line
from edge.errors import MissingExtraError

EXTRA: Final = "tables"

# `json_line` begins and ends like this, whatever a path holds.
_ERROR: Final = re.compile(rb'\{"path": "(?:[^"\\]|\\.)*", "error": ')
_REJECTED: Final = re.compile(rb'"rejected": true, "score": [^"]*\}$')

_COMPRESSION: Final = "zstd"


def count(answers: Iterable[Answer]) -> Counts:
    """What became of the pictures of some answers."""
    found = list(answers)
    errors = sum(each.error is not None for each in found)
    rejected = sum(each.prediction is not None and each.prediction.rejected for each in found)
    return Counts(len(found), errors, rejected)


def encode(answers: Sequence[Answer], form: Form, top: int | None = None) -> bytes:
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
        pictures = errors = rejected = 0
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"}\n"):
                    raise ValueError("its last line is cut off")
                pictures += 1
                if _ERROR.match(line):
                    errors += 1
                elif _REJECTED.search(line, max(0, len(line) - 80)):
                    rejected += 1
        return Counts(pictures, errors, rejected)
    _, parquet = _pyarrow()
    table = parquet.read_table(path, columns=["label", "rejected"])
    from pyarrow import compute

    return Counts(table.num_rows, table["label"].null_count, compute.sum(table["rejected"]).as_py() or 0)


def join(parts: Iterable[Path], file: BinaryIO, form: Form) -> None:
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


def check(form: Form) -> None:
    """Raises where a form cannot be written here.

    Raises:
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    if form == "parquet":
        _pyarrow()


def _parquet(answers: Sequence[Answer]) -> bytes:
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

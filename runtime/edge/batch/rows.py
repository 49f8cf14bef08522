"""What is told of pictures in columns: the rows of a part, as JSON lines or as Parquet, and the batches of engines.

`Reader` is what Ray Data, Dask or Spark calls on each batch of its rows: pictures in, columns out.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from edge.batch.run import Counts, Form
from edge.bundle import shipped
from edge.errors import InputError, MissingExtraError, PictureError, UnreadablePictureError
from edge.picture.paths import Found

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.classifier.answers import Answer
    from edge.classifier.classifier import Classifier
    from edge.picture.luminance import Prepared
    from edge.session.providers import Provider

    Column = NDArray[Any]

# How columns of pictures are called.
BYTES = "bytes"
PATH = "path"

_loading = threading.Lock()

EXTRA: Final = "tables"

# `json_line` begins and ends like this, whatever a path holds.
_ERROR: Final = rb'\{"path": "(?:[^"\\]|\\.)*", "error": '
_REJECTED: Final = rb'"rejected": true, "score": [^"]*\}$'

_COMPRESSION: Final = "zstd"


def count_answers(answers: Iterable[Answer]) -> Counts:
    """What became of the pictures of some answers."""
    found = list(answers)
    errors = sum(each.error is not None for each in found)
    rejected = sum(each.prediction is not None and each.prediction.rejected for each in found)
    return Counts(len(found), errors, rejected)


def encode_rows(answers: Sequence[Answer], form: Form, top: int | None = None) -> bytes:
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
        from edge.classifier.answers import json_line

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


def _parquet(answers: Sequence[Answer]) -> bytes:
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


class Reader:
    """Reads batches of pictures; an error is a value in a column, and stops nothing.

    It travels to other processes as its settings, and loads its bundle in each when the first batch comes: once, and
    for all threads of that process.

    Args:
        model: a shipped name such as "lstm-int8", or the path of a bundle that each process can read.
        provider: "auto" for CUDA where it works and the CPU elsewhere; "cpu", "cuda" or another means that or an error.
        threads: cores to use at most in each process; None takes all. One is right where an engine starts a process
            for each core.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = shipped.DEFAULT,
        *,
        provider: Provider = "cpu",
        threads: int | None = 1,
    ) -> None:
        self.model = os.fspath(model)
        self.provider = provider
        self.threads = threads

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Column]:
        """Reads the pictures of a batch.

        Args:
            batch: columns by name, such as a dictionary of arrays or a pandas DataFrame: `bytes`, each a picture file,
                or `path`, each a path or an address such as `s3://bucket/7.png`. If both are there, the bytes are read
                and the path is only their name.

        Returns:
            The columns of the batch without `bytes`, and behind them `label` (text), `confidence` (float32, 0 to 1),
            `probabilities` (a float32 array for each row, in the order of the bundle's labels), `rejected` (bool),
            `score` (float64) and `error` (text). In a row with an error, label and probabilities are None, the numbers
            NaN, and rejected is false; in others the error is None.

        Raises:
            InputError: the batch has neither column.
            BundleError: there is no such bundle, or it cannot be used.
            ProviderError: the provider cannot run the model, or onnxruntime failed.
            MissingExtraError: a path is an address, and fsspec is not installed.
        """
        import numpy as np  # not where rows are joined as bytes

        from edge.classifier.answers import answer

        names = list(batch)
        if BYTES not in names and PATH not in names:
            raise InputError(f"the batch has the columns {', '.join(map(str, names)) or 'none'}; give bytes or path")
        contents = list(batch[BYTES]) if BYTES in names else None
        called = [str(name) for name in batch[PATH]] if PATH in names else _numbered(contents or ())
        found = [Found(name) for name in called]
        read = _read_paths if contents is None else lambda block: _read_bytes(block, contents)
        told = answer(_classifier(self.model, self.provider, self.threads), found, read) if found else []
        predictions = [each.prediction for each in told]
        columns = {str(name): np.asarray(batch[name]) for name in names if name != BYTES}
        return columns | {
            "label": _objects(each and each.label for each in predictions),
            "confidence": np.array([math.nan if each is None else each.confidence for each in predictions], np.float32),
            "probabilities": _objects(each and np.array(each.shares, np.float32) for each in predictions),
            "rejected": np.array([each is not None and each.rejected for each in predictions], np.bool_),
            "score": np.array(
                [math.nan if each is None or each.score is None else each.score for each in predictions], np.float64
            ),
            "error": _objects(each.error and str(each.error) for each in told),
        }


def _read_paths(block: Sequence[Found]) -> list[Prepared | PictureError]:
    from edge.batch import inputs

    return inputs.read_digits(block)


def _read_bytes(block: Sequence[Found], contents: Sequence[Any]) -> list[Prepared | PictureError]:
    """The images of pictures whose bytes are there; the errors say what each is called."""
    from edge.batch import inputs
    from edge.picture import preprocessing

    good = [bytes(each) for each in contents if isinstance(each, bytes | bytearray | memoryview)]
    outcomes = iter(preprocessing.read_digits(good))
    images: list[Prepared | PictureError] = []
    for each, content in zip(block, contents, strict=True):
        if not isinstance(content, bytes | bytearray | memoryview):
            images.append(UnreadablePictureError(f"{each.path} holds no bytes; give those of a picture file"))
            continue
        outcome = next(outcomes)
        images.append(inputs.named(outcome, each.path) if isinstance(outcome, PictureError) else outcome)
    return images


def _numbered(contents: Sequence[object]) -> list[str]:
    return [f"picture {at} of the batch" for at in range(len(contents))]


def _objects(values: Iterable[object]) -> Column:
    """An array of one axis, whatever its values are."""
    import numpy as np

    found = list(values)
    column = np.empty(len(found), np.object_)
    for at, value in enumerate(found):
        column[at] = value
    return column


def _classifier(model: str, provider: Provider, threads: int | None) -> Classifier:
    with _loading:  # two threads that come first at the same time
        return _load(model, provider, threads)


@lru_cache(maxsize=4)
def _load(model: str, provider: Provider, threads: int | None) -> Classifier:
    from edge.classifier.classifier import load

    classifier = load(model, provider=provider, threads=threads)
    classifier.manifest.check_pictures()
    return classifier

"""Pictures in Parquet files: a column of paths, or of the bytes of picture files (extra `tables`).

A column chunk is compressed page by page, so rows are cheap in their order and dear in any other. What was read last is
kept, because blocks that are read side by side come a little out of order.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from edge.batch import parquet_pages, remote
from edge.batch.inputs import is_address
from edge.errors import MissingExtraError, PictureError, PictureNotFoundError, UnreadablePictureError
from edge.picture.paths import IN_A_ROW, Found, Place

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

EXTRA = "tables"

# What columns are called that hold pictures, the first that is there counts. Hugging Face's hold a struct of both.
OF_BYTES = ("bytes", "image", "img", "picture", "content", "png", "jpg", "jpeg")
OF_PATHS = ("path", "paths", "file", "filename", "url", "uri")

_BATCH_BYTES = 8_000_000  # read at a time
_MOST_BATCH_BYTES = 64_000_000  # where each row may name the largest value of a dictionary
_LONGEST_PATH = 32_768
_MOST_ROWS = 4096
_BATCHES_KEPT = 32
_MOST_KEPT_BYTES = 256_000_000
_TABLES_OPEN = 4


class _Table(NamedTuple):
    """A Parquet file that is open.

    Attributes:
        file: as pyarrow sees it.
        source: its bytes.
        name: its path or address.
    """

    file: "ParquetFile"
    source: BinaryIO
    name: str


def rows(file: str) -> Iterator[Found]:
    """The pictures of a table, in its order: its paths, or its rows where they hold the bytes.

    Args:
        file: path or address of a Parquet file.

    Raises:
        MissingExtraError: pyarrow is not installed, or the file is at an address and fsspec is not.
    """
    try:
        opened = _open(file)
        facts = opened.file.metadata
        holds_bytes, column = _column(opened.file.schema_arrow, file)
        # A row is a byte at least, and each takes place in the list of pictures.
        if facts.num_rows > (size := opened.source.seek(0, os.SEEK_END)):
            raise UnreadablePictureError(
                f"the table {file} claims {facts.num_rows} rows and has {size} bytes; write it again"
            )
        if holds_bytes:
            for row in range(facts.num_rows):
                yield Found(f"{file}#{row}", place=Place(file, row, IN_A_ROW))
        else:
            groups = range(facts.num_row_groups)
            batches = chain.from_iterable(_batches(opened, group, column, _MOST_ROWS) for group in groups)
            for row, path in enumerate(chain.from_iterable(batch.to_pylist() for batch in batches)):
                if path is not None and len(path) > _LONGEST_PATH:
                    told = f"{file}#{row} holds a path of {len(path)} characters; it cannot be one"
                    yield Found(f"{file}#{row}", UnreadablePictureError(told))
                    continue
                yield Found(path or f"{file}#{row}")  # where there is no path, the error says which row
        if facts.num_rows == 0:
            yield Found(file, PictureNotFoundError(f"the table {file} has no rows; name another"))
    except PictureError as error:
        yield Found(file, error)
    except (OSError, ValueError) as error:  # pyarrow's own errors are both
        yield Found(file, _unreadable(file, error))


def contents(file: str, places: Sequence[Place]) -> list[bytes | PictureError]:
    """The bytes of pictures of one table.

    Args:
        file: its path or address.
        places: of the rows in it.

    Returns:
        For each its bytes, or why there are none.
    """
    try:
        return _reader(file).read([place.start for place in places])
    except PictureError as error:
        return [error] * len(places)
    except (OSError, ValueError) as error:
        return [_unreadable(file, error)] * len(places)


class _Rows:
    """One column of bytes; several threads may ask."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._table = _open(file)
        holds_bytes, column = _column(self._table.file.schema_arrow, file)
        if not holds_bytes:
            raise UnreadablePictureError(f"the table {file} holds no bytes of pictures any more; begin anew")
        self._column = column
        facts = self._table.file.metadata
        self._first = [0]  # row of each row group, and of the end
        for group in range(facts.num_row_groups):
            self._first.append(self._first[-1] + facts.row_group(group).num_rows)
        a_row = sum(facts.row_group(g).total_byte_size for g in range(facts.num_row_groups)) // max(facts.num_rows, 1)
        self._batch_rows = max(1, min(_MOST_ROWS, _BATCH_BYTES // max(a_row, 1)))
        self._kept: OrderedDict[int, list[bytes | None]] = OrderedDict()
        self._held_bytes = 0
        self._lock = threading.Lock()
        self._coming: Iterator[tuple[int, list[bytes | None]]] = iter(())
        self._group = -1  # which one that is
        self._next = 0  # the first row of what comes next

    def read(self, wanted: Sequence[int]) -> list[bytes | PictureError]:
        with self._lock:
            return [self._row(row) for row in wanted]

    def _row(self, row: int) -> bytes | PictureError:
        if not 0 <= row < self._first[-1]:
            return UnreadablePictureError(f"the table {self._file} has no row {row} any more; begin anew")
        for first, values in reversed(self._kept.items()):
            if first <= row < first + len(values):
                return self._told(row, values[row - first])
        group = max(at for at, first in enumerate(self._first[:-1]) if first <= row)
        if group != self._group or self._next > row:
            self._group, self._coming = group, self._batches(group)
        for first, values in self._coming:
            self._next = first + len(values)
            self._kept[first] = values
            self._held_bytes += sum(map(len, filter(None, values)))
            while len(self._kept) > 1 and (len(self._kept) > _BATCHES_KEPT or self._held_bytes > _MOST_KEPT_BYTES):
                _, dropped = self._kept.popitem(last=False)
                self._held_bytes -= sum(map(len, filter(None, dropped)))
            if first <= row < self._next:
                return self._told(row, values[row - first])
        raise OSError("it ends early")

    def _batches(self, group: int) -> Iterator[tuple[int, list[bytes | None]]]:
        first = self._first[group]
        for values in _batches(self._table, group, self._column, self._batch_rows):
            yield first, values.to_pylist()
            first += len(values)

    def _told(self, row: int, value: bytes | None) -> bytes | PictureError:
        return value or UnreadablePictureError(f"{self._file}#{row} holds no bytes; fill that row")


@lru_cache(maxsize=_TABLES_OPEN)
def _reader(file: str) -> _Rows:
    return _Rows(file)


def _batches(table: _Table, group: int, column: str, most_rows: int) -> Iterator[Any]:
    """The values of a column in a row group, so many at a time that they cannot be more than memory.

    Raises:
        UnreadablePictureError: unpacking its pages would take more memory than any real one.
    """
    facts = table.file.metadata.row_group(group)
    for chunk in map(facts.column, range(facts.num_columns)):
        if chunk.path_in_schema == column and (
            largest := parquet_pages.largest_dictionary(table.source, chunk, table.name)
        ):
            most_rows = max(1, min(most_rows, _MOST_BATCH_BYTES // largest))
    for batch in table.file.iter_batches(most_rows, row_groups=[group], columns=[column]):
        values: Any = batch.column(0)
        while hasattr(values, "flatten") and str(values.type).startswith("struct"):
            (values,) = values.flatten()
        yield values


def _open(name: str) -> _Table:
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise MissingExtraError(f"predict {name}", EXTRA, "pyarrow") from error
    source = remote.open_file(name) if is_address(name) else pa.OSFile(name)
    return _Table(ParquetFile(source, buffer_size=1 << 20), source, name)


def _column(schema: "pa.Schema", file: str) -> tuple[bool, str]:
    """Whether a table holds bytes, and the column that counts.

    Raises:
        UnreadablePictureError: there is none.
    """
    from pyarrow import types

    names = {field.name: field.type for field in schema}
    for name in OF_BYTES:
        kind = names.get(name)
        if kind is None:
            continue
        if types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            return True, f"{name}.bytes"
        if types.is_binary(kind) or types.is_large_binary(kind):
            return True, name
    for name in OF_PATHS:
        if name in names and (types.is_string(names[name]) or types.is_large_string(names[name])):
            return False, name
    raise UnreadablePictureError(
        f"the table {file} has no column of pictures; call one bytes or path, it has {', '.join(names) or 'none'}"
    )


def _unreadable(file: str, error: Exception) -> PictureError:
    if isinstance(error, FileNotFoundError):
        return PictureNotFoundError(f"there is no file {file}; check the path and the working directory")
    told = " ".join(str(error).split())
    return UnreadablePictureError(f"the table {file} cannot be read ({told}); write it again")

"""Pictures in Parquet files: a column of paths, or of the bytes of picture files (extra `tables`).

A column chunk is compressed page by page, so rows are cheap in their order and dear in any other. What was read last is
kept, because blocks that are read side by side come a little out of order.

A page is unpacked as a whole, and its header says to how many bytes: some kilobytes can claim two gigabytes. A page
that is a dictionary is worse, because each of a million rows may name its largest value. What the metadata of the file
says of both need not be true, so the headers are read, before pyarrow unpacks a page.

Source: parquet.thrift of the Parquet format, PageHeader; "Thrift compact protocol encoding".
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

from edge.batch import remote
from edge.batch.inputs import is_address
from edge.errors import MissingExtraError, PictureError, PictureNotFoundError, UnreadablePictureError
from edge.picture.paths import IN_A_ROW, Found, Place

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ColumnChunkMetaData, ParquetFile

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
        if chunk.path_in_schema == column and (largest := largest_dictionary(table.source, chunk, table.name)):
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


MOST_PAGE_BYTES: Final = 256_000_000  # a picture may have 150 MB, and writers look at the size of a page now and then
MOST_PAGES: Final = 200_000  # of a column in a row group; each is a megabyte for whoever writes

_HEADER_BYTES: Final = 1 << 14  # mostly some dozen; statistics may hold two values
_MOST_HEADER_BYTES: Final = 1 << 24  # what pyarrow reads at most
_UNPACKED, _PACKED, _OF_DICTIONARY = 2, 3, 7

_STOP, _YES, _NO, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS: Final = frozenset({4, 5, 6})
_DEEPEST: Final = 8


def largest_dictionary(file: BinaryIO, chunk: "ColumnChunkMetaData", name: str) -> int:
    """Walks through the headers of the pages of a column in a row group.

    Args:
        file: the table, which can be rewound; where it stands afterwards is undefined.
        chunk: what the metadata says of the column.
        name: how error messages call the table.

    Returns:
        The bytes of its largest dictionary, unpacked; 0 where it has none.

    Raises:
        UnreadablePictureError: a page is too large when it is unpacked, or there are too many of them, or a header
            cannot be read.
    """
    if chunk.num_values == 0:
        return 0
    first, dictionary = chunk.data_page_offset, chunk.dictionary_page_offset
    place = dictionary if dictionary is not None and 0 < dictionary < first else first
    end = place + chunk.total_compressed_size
    largest = pages = 0
    while place < end:
        header = _header(file, place, name)
        if header is None:
            break  # cut off, which pyarrow words
        size, unpacked, packed, is_dictionary = header
        pages += 1
        if max(unpacked, packed) > MOST_PAGE_BYTES or pages > MOST_PAGES:
            raise UnreadablePictureError(
                f"the table {name} has a page of {unpacked / 1e6:.0f} MB, or very many of them (at most "
                f"{MOST_PAGE_BYTES / 1e6:.0f} MB, {MOST_PAGES} pages); write it with smaller row groups"
            )
        if is_dictionary:
            largest = max(largest, unpacked)
        place += size + packed
    return largest


def _header(file: BinaryIO, place: int, name: str) -> tuple[int, int, int, bool] | None:
    """A header's own bytes, those of the page unpacked and packed, and whether it is a dictionary; None at the end."""
    wanted = _HEADER_BYTES
    while True:
        file.seek(place)
        content = file.read(wanted)
        try:
            found = _Compact(content).header()
        except IndexError:
            if len(content) < wanted:
                return None
            if wanted >= _MOST_HEADER_BYTES:
                raise _malformed(name) from None
            wanted *= 32
        except ValueError as cause:
            raise _malformed(name) from cause
        else:
            if found[1] < 0 or found[2] < 0:
                raise _malformed(name)
            return found


def _malformed(name: str) -> UnreadablePictureError:
    return UnreadablePictureError(
        f"the table {name} cannot be read (the header of a page is malformed); write it again"
    )


class _Compact:
    """A reader of Thrift's compact protocol that skips all but a few numbers."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def header(self) -> tuple[int, int, int, bool]:
        """As `_header`.

        Raises:
            IndexError: it goes on behind these bytes.
            ValueError: it is malformed.
        """
        numbers = {_UNPACKED: -1, _PACKED: -1}
        is_dictionary = False
        for number, kind in self._fields():
            if number in numbers and kind in _INTEGERS:
                numbers[number] = self._signed()
                continue
            is_dictionary |= number == _OF_DICTIONARY
            self._skip(kind, _DEEPEST)
        return self._at, numbers[_UNPACKED], numbers[_PACKED], is_dictionary

    def _fields(self) -> Iterator[tuple[int, int]]:
        """Numbers and kinds of the fields of a struct; each is to be read before the next."""
        number = 0
        while (head := self._byte()) & 15 != _STOP:
            number = number + (head >> 4) if head >> 4 else self._signed()
            yield number, head & 15

    def _skip(self, kind: int, depth: int, *, in_list: bool = False) -> None:
        if depth == 0:
            raise ValueError("nested too deeply")
        if kind in (_YES, _NO):
            self._at += in_list
        elif kind == _BYTE:
            self._at += 1
        elif kind in _INTEGERS:
            self._number()
        elif kind == _DOUBLE:
            self._at += 8
        elif kind == _BINARY:
            size = self._number()
            self._at += size
        elif kind in (_LIST, _SET):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._number()
            for _ in range(count):
                self._skip(head & 15, depth - 1, in_list=True)
                if self._at > len(self._content):
                    raise IndexError
        elif kind == _STRUCT:
            for _, inner in self._fields():
                self._skip(inner, depth - 1)
        else:
            raise ValueError(f"kind {kind}")

    def _byte(self) -> int:
        found = self._content[self._at]
        self._at += 1
        return found

    def _number(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number of more than 64 bits")

    def _signed(self) -> int:
        value = self._number()
        return (value >> 1) ^ -(value & 1)

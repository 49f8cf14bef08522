"""The pages of a column in a Parquet file: how large they become, before pyarrow unpacks one.

A page is unpacked as a whole, and its header says to how many bytes: some kilobytes can claim two gigabytes. A page
that is a dictionary is worse, because each of a million rows may name its largest value. What the metadata of the file
says of both need not be true, so the headers are read.

Source: parquet.thrift of the Parquet format, PageHeader; "Thrift compact protocol encoding".
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Final

from edge.errors import UnreadablePictureError

if TYPE_CHECKING:
    from pyarrow.parquet import ColumnChunkMetaData

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

"""Headers of Parquet pages, byte by byte: what they claim is read, whatever else stands in them."""

import io
from types import SimpleNamespace

import pytest

from edge.batch import parquet
from edge.errors import UnreadablePictureError

UNPACKED, PACKED = 2, 3  # fields of a header
BYTE, DOUBLE, INTEGER, BINARY, LIST, STRUCT = 3, 7, 5, 8, 9, 12
STOP = b"\0"


def number(value: int) -> bytes:
    """An unsigned number in sevens of bits."""
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + number(value >> 7)


def signed(value: int) -> bytes:
    return number(value << 1 if value >= 0 else (-value << 1) - 1)


def field(step: int, kind: int, content: bytes = b"") -> bytes:
    """A field so many numbers behind the one before."""
    return bytes([step << 4 | kind]) + content


def header(unpacked: int, packed: int, *more: bytes) -> bytes:
    """A header whose fields behind the two sizes are these."""
    sizes = field(UNPACKED, INTEGER, signed(unpacked)) + field(PACKED - UNPACKED, INTEGER, signed(packed))
    return sizes + b"".join(more) + STOP


DICTIONARY = field(4, STRUCT, STOP)  # the seventh field


def largest(content: bytes, *, size: int | None = None, values: int = 1) -> int:
    size = len(content) if size is None else size
    chunk = SimpleNamespace(
        num_values=values, data_page_offset=0, dictionary_page_offset=None, total_compressed_size=size
    )
    return parquet.largest_dictionary(io.BytesIO(content), chunk, "t.parquet")


def test_the_largest_dictionary_among_all_pages_counts():
    pages = header(900, 3, DICTIONARY) + b"abc" + header(5000, 2) + b"de" + header(700, 0, DICTIONARY)
    assert largest(pages) == 900
    assert largest(header(5000, 0)) == 0
    assert largest(b"anything", values=0) == 0


@pytest.mark.parametrize(
    "other",
    [
        field(1, 1),
        field(1, BYTE, b"x"),
        field(1, DOUBLE, bytes(8)),
        field(1, INTEGER, number(300)),
        field(1, BINARY, number(200) + bytes(200)),
        field(1, LIST, bytes([2 << 4 | INTEGER]) + number(1) + number(2)),
        field(1, LIST, bytes([15 << 4 | BYTE]) + number(20) + bytes(20)),
        field(1, LIST, bytes([3 << 4 | 1]) + bytes(3)),
        field(1, STRUCT, field(1, STRUCT, field(1, DOUBLE, bytes(8)) + STOP) + STOP),
        field(0, BYTE, b""),
    ],
    ids=["bool", "byte", "double", "integer", "binary", "list", "long list", "list of bools", "struct", "far number"],
)
def test_what_else_stands_in_a_header_is_passed_over(other):
    if other == field(0, BYTE):  # the number of the field is written out
        page = field(UNPACKED, INTEGER, signed(900)) + field(0, INTEGER, signed(PACKED) + signed(0)) + DICTIONARY + STOP
    else:
        page = header(900, 0, other, field(3, STRUCT, STOP))
    assert largest(page) == 900


@pytest.mark.parametrize(
    "content",
    [
        header(-1, 0),
        header(1, -5),
        field(1, 13) + STOP,
        field(1, INTEGER, b"\xff" * 12) + STOP,
        field(1, STRUCT) * 40 + STOP * 41,
    ],
    ids=["no size", "a negative size", "no such kind", "a number without an end", "nested too deeply"],
)
def test_a_header_that_nobody_wrote_is_malformed(content):
    with pytest.raises(
        UnreadablePictureError, match=r"t\.parquet cannot be read \(the header of a page is malformed\)"
    ):
        largest(content)


def test_a_header_that_is_cut_off_is_left_to_the_reader():
    assert largest(header(900, 10, DICTIONARY)[:4], size=1000) == 0
    claims = header(1, 0, field(1, LIST, bytes([15 << 4 | BYTE]) + number(10**9)))
    assert largest(claims, size=len(claims)) == 0


def test_a_long_header_is_read_on_and_one_without_an_end_is_malformed(monkeypatch):
    statistics = field(1, BINARY, number(20_000) + bytes(20_000))
    assert largest(header(900, 0, statistics, field(3, STRUCT, STOP))) == 900
    monkeypatch.setattr(parquet, "_MOST_HEADER_BYTES", 1 << 14)
    with pytest.raises(UnreadablePictureError, match="malformed"):
        largest(header(900, 0, statistics))


def test_a_page_too_large_and_too_many_pages_are_refused(monkeypatch):
    with pytest.raises(UnreadablePictureError, match="has a page of 300 MB"):
        largest(header(300_000_000, 0))
    monkeypatch.setattr(parquet, "MOST_PAGES", 3)
    assert largest(header(1, 0) * 3) == 0
    with pytest.raises(UnreadablePictureError, match="very many of them"):
        largest(header(1, 0) * 4)

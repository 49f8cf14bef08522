"""The wire format: what is well-formed is read, what is not is refused, and nothing loops or over-reads."""

import random

import pytest

from edge.bundle import graph


def test_numbers_are_encoded_in_groups_of_seven_bits():
    assert graph.encode_varint(0) == b"\x00"
    assert graph.encode_varint(300) == b"\xac\x02"
    assert graph.encode_varint(2**64 - 1) == b"\xff" * 9 + b"\x01"


@pytest.mark.parametrize("number", [-1, 2**64])
def test_numbers_outside_64_bits_are_refused(number):
    with pytest.raises(graph.WireError, match="64-bit"):
        graph.encode_varint(number)


def test_fields_come_back_as_they_were_written():
    message = graph.encode_integer(1, 7) + graph.encode_bytes(2, "name") + graph.encode_integer(2000, 2**63)
    assert [(number, kind, v if isinstance(v, int) else bytes(v)) for number, kind, v in graph.fields(message)] == [
        (1, graph.VARINT, 7),
        (2, graph.BYTES, b"name"),
        (2000, graph.VARINT, 2**63),
    ]


def test_fixed_width_fields_are_little_endian():
    message = b"\x0d\x01\x02\x00\x00" + b"\x11\x01\x00\x00\x00\x00\x00\x00\x80"
    assert list(graph.fields(message)) == [(1, graph.FIXED32, 513), (2, graph.FIXED64, 2**63 + 1)]


def test_an_empty_message_has_no_fields():
    assert list(graph.fields(b"")) == []


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (b"\x80", "end inside a number"),
        (b"\x08", "end inside a number"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "longer than 64 bits"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "longer than 64 bits"),
        (b"\x0a\x05abc", "announces 5 bytes, but only 3"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "announces 18446744073709551615 bytes"),
        (b"\x0d\x00\x00", "announces 4 bytes"),
        (b"\x09\x00", "announces 8 bytes"),
        (b"\x00\x00", "field number 0"),
        (b"\x0b\x0c", "wire type 3"),
        (b"\x0f\x00", "wire type 7"),
    ],
)
def test_malformed_bytes_are_refused(message, complaint):
    with pytest.raises(graph.WireError, match=complaint):
        list(graph.fields(message))


def test_any_bytes_are_read_or_refused():
    chance = random.Random(5)
    for _ in range(2000):
        message = chance.randbytes(chance.randrange(40))
        try:
            found = list(graph.fields(message))
        except graph.WireError:
            continue
        assert sum(len(v) for _, _, v in found if isinstance(v, memoryview)) <= len(message)


def test_metadata_is_read_where_onnx_keeps_it(model):
    extended = model + graph.encode_metadata("key", "value") + graph.encode_metadata("key", "again")
    assert graph.metadata(extended) == [("key", b"value"), ("key", b"again")]
    assert graph.metadata(model) == []

"""Reads and writes just enough of the protobuf wire format to look into an ONNX file without onnx.

A message is a sequence of fields, each a tag (`number << 3 | wire type`) and a value. Nothing here knows
which message it reads: the callers know the field numbers of ONNX. Malformed bytes raise `WireError`; every
step consumes at least one byte and never looks past the end, so that hostile bytes cannot loop or over-read.

Source: https://protobuf.dev/programming-guides/encoding/ and onnx.proto of the ONNX specification.
"""

from collections.abc import Iterator

VARINT = 0
FIXED64 = 1
BYTES = 2
FIXED32 = 5

_MAX_VARINT_BYTES = 10  # 64 bits in groups of 7
_MAX_UINT64 = 2**64 - 1
_MAX_FIELD_NUMBER = 2**29 - 1

_MODEL_METADATA = 14  # ModelProto.metadata_props, a repeated StringStringEntryProto
_ENTRY_KEY = 1
_ENTRY_VALUE = 2

Buffer = bytes | memoryview
Value = int | memoryview


class WireError(ValueError):
    """The bytes are not a well-formed protobuf message."""


def fields(buffer: Buffer) -> Iterator[tuple[int, int, Value]]:
    """Walks the top level of one message.

    Args:
        buffer: the bytes of the message, without a length in front.

    Yields:
        `(number, wire type, value)`: the value is an int for varints and fixed-width fields (little-endian,
        unsigned), and a view into `buffer` for length-delimited ones. Nothing is copied.

    Raises:
        WireError: a tag, a length or a value is malformed or reaches past the end.
    """
    view = memoryview(buffer)
    position = 0
    while position < len(view):
        start = position
        tag, position = _read_varint(view, position)
        number, wire_type = tag >> 3, tag & 7
        if not 1 <= number <= _MAX_FIELD_NUMBER:
            raise WireError(f"field number {number} at byte {start} is out of range")
        if wire_type == VARINT:
            value, position = _read_varint(view, position)
            yield number, wire_type, value
            continue
        if wire_type == BYTES:
            size, position = _read_varint(view, position)
        elif wire_type in {FIXED64, FIXED32}:
            size = 8 if wire_type == FIXED64 else 4
        else:
            raise WireError(f"wire type {wire_type} at byte {start} does not exist in ONNX")
        if size > len(view) - position:
            raise WireError(
                f"field {number} at byte {start} announces {size} bytes, but only {len(view) - position} are left"
            )
        chunk = view[position : position + size]
        position += size
        yield number, wire_type, chunk if wire_type == BYTES else int.from_bytes(chunk, "little")


def varints(buffer: Buffer) -> Iterator[int]:
    """The numbers of a packed field, unsigned.

    Raises:
        WireError: the bytes end inside one.
    """
    view, position = memoryview(buffer), 0
    while position < len(view):
        value, position = _read_varint(view, position)
        yield value


def metadata(model: Buffer) -> list[tuple[str, bytes]]:
    """Lists the metadata entries of an ONNX model in the order of the file.

    Args:
        model: a serialised ModelProto.

    Returns:
        `(key, value)` pairs; a key may come twice. Undecodable bytes in a key are replaced.

    Raises:
        WireError: the model or one of its entries is malformed.
    """
    entries = []
    for number, wire_type, value in fields(model):
        if number == _MODEL_METADATA and wire_type == BYTES and isinstance(value, memoryview):
            parts = {n: bytes(v) for n, _, v in fields(value) if isinstance(v, memoryview)}
            entries.append((parts.get(_ENTRY_KEY, b"").decode(errors="replace"), parts.get(_ENTRY_VALUE, b"")))
    return entries


def encode_varint(value: int) -> bytes:
    """Encodes a non-negative integer in groups of seven bits, the lowest first."""
    if not 0 <= value <= _MAX_UINT64:
        raise WireError(f"{value} does not fit into an unsigned 64-bit varint")
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def encode_integer(number: int, value: int) -> bytes:
    """Encodes one varint field."""
    return encode_varint(number << 3 | VARINT) + encode_varint(value)


def encode_bytes(number: int, value: bytes | str) -> bytes:
    """Encodes one length-delimited field: a string (as UTF-8), raw bytes, or a nested message."""
    raw = value.encode() if isinstance(value, str) else value
    return encode_varint(number << 3 | BYTES) + encode_varint(len(raw)) + raw


def encode_metadata(key: str, value: str) -> bytes:
    """Encodes one metadata entry of an ONNX model; appended to the file's bytes, it becomes part of the model."""
    return encode_bytes(_MODEL_METADATA, encode_bytes(_ENTRY_KEY, key) + encode_bytes(_ENTRY_VALUE, value))


def _read_varint(view: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        if position + index >= len(view):
            raise WireError(f"the bytes end inside a number at byte {position}")
        byte = view[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value > _MAX_UINT64:
                break
            return value, position + index + 1
    raise WireError(f"the number at byte {position} is longer than 64 bits")

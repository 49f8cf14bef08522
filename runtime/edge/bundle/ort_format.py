"""The metadata of a file in ORT format, which builds of ONNX Runtime without an ONNX parser load.

It is a flatbuffer: tables that point to each other by relative offsets, each with a list of where its fields lie. Four
steps lead to the metadata, so that no library is needed for them.

Source: onnxruntime, core/flatbuffers/schema/ort.fbs; the FlatBuffers documentation, "Internals".
"""

import struct

IDENTIFIER = b"ORTM"
_IDENTIFIER_AT = 4
SUFFIX = ".ort"
DIGEST_SUFFIX = ".sha256"
"""Of the file beside it with its digest, as `sha256sum` prints it: nothing may follow the end of a flatbuffer."""

# Positions of fields in their tables.
_SESSION_MODEL = 1
_MODEL_METADATA = 9
_ENTRY_KEY, _ENTRY_VALUE = 0, 1

_MOST_ENTRIES = 1000


class OrtFormatError(ValueError):
    """The bytes are no model in ORT format."""


def is_ort(data: bytes) -> bool:
    """Whether a file says that it is in ORT format."""
    return data[_IDENTIFIER_AT : _IDENTIFIER_AT + len(IDENTIFIER)] == IDENTIFIER


def metadata(data: bytes) -> list[tuple[str, bytes]]:
    """The metadata entries of a model, in the order of the file.

    Args:
        data: the whole file.

    Raises:
        OrtFormatError: an offset leads out of the file, or there is no model in it.
    """
    try:
        session = _follow(data, 0)
        model = _field(data, session, _SESSION_MODEL)
        if model is None:
            raise OrtFormatError("it holds no model")
        entries = _field(data, model, _MODEL_METADATA)
        if entries is None:
            return []
        (count,) = struct.unpack_from("<I", data, entries)
        if count > _MOST_ENTRIES:
            raise OrtFormatError(f"it has {count} metadata entries")
        places = [_follow(data, entries + 4 * (1 + index)) for index in range(count)]
        return [(_text(data, place, _ENTRY_KEY).decode(), _text(data, place, _ENTRY_VALUE)) for place in places]
    except (struct.error, UnicodeDecodeError) as error:
        raise OrtFormatError("an offset leads out of the file") from error


def _follow(data: bytes, place: int) -> int:
    """Where the offset at that place leads."""
    (offset,) = struct.unpack_from("<I", data, place)
    return int(place + offset)


def _field(data: bytes, table: int, position: int) -> int | None:
    """Where the object in that field of a table begins; `None` where the field is not set."""
    (back,) = struct.unpack_from("<i", data, table)
    fields = table - back
    if fields < 0:
        raise OrtFormatError("an offset leads out of the file")
    (size,) = struct.unpack_from("<H", data, fields)
    at = 4 + 2 * position
    if at + 2 > size:
        return None
    (offset,) = struct.unpack_from("<H", data, fields + at)
    return _follow(data, table + offset) if offset else None


def _text(data: bytes, table: int, position: int) -> bytes:
    place = _field(data, table, position)
    if place is None:
        return b""
    (length,) = struct.unpack_from("<I", data, place)
    if place + 4 + length > len(data):
        raise OrtFormatError("an offset leads out of the file")
    return data[place + 4 : place + 4 + length]

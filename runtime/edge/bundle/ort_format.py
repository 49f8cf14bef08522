"""Files in ORT format, which builds of ONNX Runtime without an ONNX parser load: their metadata, and what they hold.

Such a file is a flatbuffer: tables that point to each other by relative offsets, each with a list of where its fields
lie. Walking through them takes no library. Each object is visited once for each that points to it, so that the file's
own size bounds the walk: more visits than bytes are an attack.

Source: onnxruntime, core/flatbuffers/schema/ort.fbs; the FlatBuffers documentation, "Internals".
"""

import struct
from collections.abc import Iterator
from typing import Final

from edge.bundle.graph import MOST_NESTED, MOST_NODES, Contents, check_operator, check_size

SUFFIX: Final = ".ort"
DIGEST_SUFFIX: Final = ".sha256"
"""Of the file beside it with its digest, as `sha256sum` prints it: nothing may follow the end of a flatbuffer."""

MOST_VISITS: Final = 4_000_000  # a second or two; the largest model of 10,000 nodes takes a tenth

_IDENTIFIER: Final = slice(4, 8), b"ORTM"

# Positions of fields in their tables.
_SESSION_MODEL: Final = 1
_MODEL_GRAPH, _MODEL_METADATA = 7, 9
_ENTRY_KEY, _ENTRY_VALUE = 0, 1
_GRAPH_INITIALIZERS, _GRAPH_NODES, _GRAPH_SPARSE, _GRAPH_OPTIMISATIONS = 0, 2, 7, 8
_NODE_DOMAIN, _NODE_OPERATOR, _NODE_TYPE, _NODE_ATTRIBUTES = 2, 5, 6, 10
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 6, 7, 11, 12
_TENSOR_TEXT, _TENSOR_EXTERNAL = 5, 6
_OPTIMISATIONS_RECORDS: Final = 0
_NO_EXTERNAL_DATA: Final = -1

_OUTSIDE: Final = "an offset leads out of the file"


class OrtFormatError(ValueError):
    """The bytes are no model in ORT format."""


def is_ort(data: bytes) -> bool:
    """Whether a file says that it is in ORT format."""
    place, identifier = _IDENTIFIER
    return data[place] == identifier


def metadata(data: bytes) -> list[tuple[str, bytes]]:
    """The metadata entries of a model, in the order of the file.

    Args:
        data: the whole file.

    Raises:
        OrtFormatError: an offset leads out of the file, or there is no model in it.
    """
    file = _File(data)
    try:
        entries = list(file.tables(_model(file), _MODEL_METADATA))
        return [(file.text(entry, _ENTRY_KEY).decode(), file.text(entry, _ENTRY_VALUE)) for entry in entries]
    except (struct.error, UnicodeDecodeError) as error:
        raise OrtFormatError(_OUTSIDE) from error


def contents(data: bytes) -> Contents:
    """What the graph of a model holds, as `edge.bundle.graph.contents` says it of an ONNX file.

    Args:
        data: the whole file.

    Raises:
        OrtFormatError: an offset leads out of the file, or there is no graph in it.
    """
    file, found = _File(data), Contents()
    try:
        graph = file.table(_model(file), _MODEL_GRAPH)
        if graph is None:
            raise OrtFormatError("it holds no graph")
        _walk_graph(file, graph, found, nested=0)
    except struct.error as error:
        raise OrtFormatError(_OUTSIDE) from error
    check_size(found)
    return found


class _File:
    """The tables of a flatbuffer, by where they begin. What leads out of the file raises `struct.error`."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.visits = 0

    def follow(self, place: int) -> int:
        """Where the offset at that place leads."""
        self.visits += 1
        if self.visits > min(len(self.data), MOST_VISITS):
            raise OrtFormatError("its objects point to each other more often than it has bytes, or than any model's")
        (offset,) = struct.unpack_from("<I", self.data, place)
        return int(place + offset)

    def field(self, table: int, position: int) -> int | None:
        """Where a field of a table is stored; `None` where it is not set."""
        (back,) = struct.unpack_from("<i", self.data, table)
        fields = table - back
        if fields < 0:
            raise OrtFormatError(_OUTSIDE)
        (size,) = struct.unpack_from("<H", self.data, fields)
        at = 4 + 2 * position
        if at + 2 > size:
            return None
        (offset,) = struct.unpack_from("<H", self.data, fields + at)
        return table + offset if offset else None

    def table(self, table: int, position: int) -> int | None:
        """Where the table, vector or text in a field begins; `None` where it is not set."""
        place = self.field(table, position)
        return None if place is None else self.follow(place)

    def tables(self, table: int, position: int) -> Iterator[int]:
        """Where each table of a vector begins."""
        vector = self.table(table, position)
        if vector is None:
            return
        (count,) = struct.unpack_from("<I", self.data, vector)
        for index in range(count):
            yield self.follow(vector + 4 * (1 + index))

    def number(self, table: int, position: int, form: str, *, unset: int) -> int:
        """The number in a field, as `struct` reads it."""
        place = self.field(table, position)
        return unset if place is None else int(struct.unpack_from(form, self.data, place)[0])

    def text(self, table: int, position: int) -> bytes:
        """The bytes of a text; empty where it is not set."""
        place = self.table(table, position)
        if place is None:
            return b""
        (length,) = struct.unpack_from("<I", self.data, place)
        if place + 4 + length > len(self.data):
            raise OrtFormatError(_OUTSIDE)
        return self.data[place + 4 : place + 4 + length]


def _model(file: _File) -> int:
    model = file.table(file.follow(0), _SESSION_MODEL)
    if model is None:
        raise OrtFormatError("it holds no model")
    return model


def _walk_graph(file: _File, graph: int, found: Contents, *, nested: int) -> None:
    found.nested = max(found.nested, nested)
    if nested > MOST_NESTED:
        return
    if any(file.tables(graph, _GRAPH_SPARSE)):
        found.strange.append("sparse tensors")
    optimisations = file.table(graph, _GRAPH_OPTIMISATIONS)
    if optimisations is not None and any(file.tables(optimisations, _OPTIMISATIONS_RECORDS)):
        found.strange.append("optimisations for later")
    for tensor in file.tables(graph, _GRAPH_INITIALIZERS):
        _check_tensor(file, tensor, found)
    for node in file.tables(graph, _GRAPH_NODES):
        found.nodes += 1
        if found.nodes > MOST_NODES:
            return
        _walk_node(file, node, found, nested=nested)


def _walk_node(file: _File, node: int, found: Contents, *, nested: int) -> None:
    domain, operator = (
        file.text(node, position).decode(errors="replace") for position in (_NODE_DOMAIN, _NODE_OPERATOR)
    )
    check_operator(domain, operator, found)
    if file.number(node, _NODE_TYPE, "<i", unset=0):
        found.strange.append("functions of its own")
    for attribute in file.tables(node, _NODE_ATTRIBUTES):
        for position, what in ((_ATTRIBUTE_TENSORS, "lists of tensors"), (_ATTRIBUTE_GRAPHS, "lists of graphs")):
            if any(file.tables(attribute, position)):
                found.strange.append(what)
        if (tensor := file.table(attribute, _ATTRIBUTE_TENSOR)) is not None:
            _check_tensor(file, tensor, found)
        if (graph := file.table(attribute, _ATTRIBUTE_GRAPH)) is not None:
            _walk_graph(file, graph, found, nested=nested + 1)


def _check_tensor(file: _File, tensor: int, found: Contents) -> None:
    found.is_external |= file.number(tensor, _TENSOR_EXTERNAL, "<q", unset=_NO_EXTERNAL_DATA) != _NO_EXTERNAL_DATA
    if any(file.tables(tensor, _TENSOR_TEXT)):
        found.strange.append("tensors of text")

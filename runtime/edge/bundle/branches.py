"""Smaller models of one file, for sessions that need less of it: without a choice, or without some outputs.

A model that computes a few images in another way than many becomes two models without the choice between them.

Some int8 bundles hold two ways to compute the same over the same weights: an `If` on the condition `is_few`, which is
`batch_size` < `few`, a constant of the graph. So one file is fast at both ends for every client. The choice costs each
run something, and so do kernels in a branch, which cannot lay out their weights beforehand: 10 to 20 us for one image,
some 100 us for 16, where everything else takes 50 and 500. A session of one of the two ways does without.

Here the nodes of a branch are put in the place of the `If`, and nodes that lead nowhere after that are left out, which
ONNX Runtime does not do. The weights stay as they are; those that nothing reads any more are dropped by ONNX Runtime.

A session computes every output of its model, whatever is fetched: who wants logits alone waits for the score, whose
small nodes take a microsecond or two each, where a small model takes fifty. A model without the outputs that nobody
asks for does without their nodes.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from edge.bundle.graph import BYTES, VARINT, Buffer, WireError, encode_bytes, encode_integer, fields

CONDITION = "is_few"
LIMIT = "few"

# Field numbers of onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_OUTPUT = 1, 5, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_GRAPH = 1, 6
_TENSOR_NAME, _TENSOR_RAW = 8, 9
_VALUE_NAME = 1

_BRANCHES = (b"then_branch", b"else_branch")

# What a damaged model ends in; whoever makes a session of it will say what is wrong.
_DAMAGED = (WireError, IndexError, KeyError, ValueError)


@dataclass(frozen=True, slots=True, eq=False)
class Branches:
    """The two models.

    Attributes:
        few: a serialised ModelProto that computes every batch as the file computes a few images.
        many: the same as the file computes many.
        limit: the images from which on the file takes the way for many.
    """

    few: bytes
    many: bytes
    limit: int


def split(model: bytes) -> Branches | None:
    """The two models in the place of one that chooses between two branches; None for any other.

    Args:
        model: a serialised ModelProto. One whose graph another one continues, as `edge.rows` does, is not split.
    """
    if CONDITION.encode() not in model:
        return None
    try:
        opened = _opened(model)
        if opened is None or (found := _split_graph(opened.graph)) is None:
            return None
        return Branches(opened.with_graph(found.few), opened.with_graph(found.many), found.limit)
    except _DAMAGED:
        return None


def cut(model: bytes, outputs: Collection[str]) -> bytes | None:
    """The model without what only its other outputs are computed from; None where that is nothing.

    Args:
        model: a serialised ModelProto.
        outputs: names of outputs to be kept.
    """
    kept = {name.encode() for name in outputs}
    try:
        opened = _opened(model)
        if opened is None:
            return None
        parts = _messages(opened.graph)
        given = {bytes(_messages(value)[_VALUE_NAME][0]): bytes(value) for value in parts[_GRAPH_OUTPUT]}
        nodes = _needed(parts[_GRAPH_NODE], kept)
        if not kept < given.keys() or len(nodes) == len(parts[_GRAPH_NODE]):
            return None
        rest = (field for field in fields(opened.graph) if field[0] not in {_GRAPH_NODE, _GRAPH_OUTPUT})
        return opened.with_graph(
            b"".join(_encoded(*field) for field in rest)
            + b"".join(encode_bytes(_GRAPH_NODE, bytes(node)) for node in nodes)
            + b"".join(encode_bytes(_GRAPH_OUTPUT, value) for name, value in given.items() if name in kept)
        )
    except _DAMAGED:
        return None


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """A model's fields, and the one graph among them."""

    fields: list[tuple[int, int, int | memoryview]]
    graph: memoryview

    def with_graph(self, graph: bytes) -> bytes:
        """The model with another graph, serialised."""
        return b"".join(
            encode_bytes(number, graph) if number == _MODEL_GRAPH else _encoded(number, wire_type, value)
            for number, wire_type, value in self.fields
        )


def _opened(model: bytes) -> _Opened | None:
    parts = list(fields(model))
    graphs = [value for number, _, value in parts if number == _MODEL_GRAPH]
    return _Opened(parts, graphs[0]) if len(graphs) == 1 and isinstance(graphs[0], memoryview) else None


def _split_graph(graph: memoryview) -> Branches | None:
    """The two graphs, each a serialised GraphProto."""
    parts = _messages(graph)
    nodes = parts[_GRAPH_NODE]
    choices = [place for place, node in enumerate(nodes) if _is_choice(node)]
    limits = [limit for tensor in parts[_GRAPH_TENSOR] for limit in _limits(tensor)]
    if len(choices) != 1 or len(limits) != 1:
        return None
    (place,) = choices
    choice = _messages(nodes[place])
    (result,) = choice[_NODE_OUTPUT]
    attributes = map(_messages, choice[_NODE_ATTRIBUTE])
    branches = {bytes(one[_ATTRIBUTE_NAME][0]): _messages(one[_ATTRIBUTE_GRAPH][0]) for one in attributes}
    outputs = {bytes(_messages(value)[_VALUE_NAME][0]) for value in parts[_GRAPH_OUTPUT]}
    # All but the nodes stays; their order among other fields means nothing.
    rest = b"".join(_encoded(*field) for field in fields(graph) if field[0] != _GRAPH_NODE)
    few, many = (
        rest
        + b"".join(encode_bytes(_GRAPH_TENSOR, bytes(tensor)) for tensor in branches[name][_GRAPH_TENSOR])
        + b"".join(
            encode_bytes(_GRAPH_NODE, bytes(node))
            for node in _needed([*nodes[:place], *_inlined(branches[name], result), *nodes[place + 1 :]], outputs)
        )
        for name in _BRANCHES
    )
    return Branches(few, many, limits[0])


def _is_choice(node: memoryview) -> bool:
    found = _messages(node)
    return found[_NODE_OPERATOR] == [b"If"] and found[_NODE_INPUT] == [CONDITION.encode()]


def _limits(tensor: memoryview) -> list[int]:
    """The number of images, if the tensor is the one that holds it."""
    found = _messages(tensor)
    if found[_TENSOR_NAME] != [LIMIT.encode()]:
        return []
    return [int.from_bytes(raw, "little", signed=True) for raw in found[_TENSOR_RAW]]


def _inlined(branch: dict[int, list[memoryview]], result: memoryview) -> list[memoryview]:
    """The nodes of a branch, and one that gives its output the name that the `If` gave it."""
    (output,) = (_messages(value)[_VALUE_NAME][0] for value in branch[_GRAPH_OUTPUT])
    renaming = (
        encode_bytes(_NODE_INPUT, bytes(output))
        + encode_bytes(_NODE_OUTPUT, bytes(result))
        + encode_bytes(_NODE_OPERATOR, "Identity")
    )
    return [*branch[_GRAPH_NODE], memoryview(renaming)]


def _needed(nodes: list[memoryview], outputs: set[bytes]) -> list[memoryview]:
    """The nodes, in their order, that the outputs are computed from."""
    makers = {bytes(name): place for place, node in enumerate(nodes) for name in _messages(node)[_NODE_OUTPUT]}
    waiting, kept = [*outputs], set[int]()
    while waiting:
        place = makers.get(waiting.pop())
        if place is not None and place not in kept:
            kept.add(place)
            waiting.extend(_read_by(nodes[place]))
    return [node for place, node in enumerate(nodes) if place in kept]


def _read_by(node: memoryview) -> Iterator[bytes]:
    """The tensors that a node reads, or a node of a graph inside it."""
    found = _messages(node)
    yield from map(bytes, found[_NODE_INPUT])
    for attribute in map(_messages, found[_NODE_ATTRIBUTE]):
        for body in map(_messages, attribute[_ATTRIBUTE_GRAPH]):
            for inner in body[_GRAPH_NODE]:
                yield from _read_by(inner)


def _messages(buffer: Buffer) -> defaultdict[int, list[memoryview]]:
    """The length-delimited fields of a message by their numbers."""
    found: defaultdict[int, list[memoryview]] = defaultdict(list)
    for number, _, value in fields(buffer):
        if isinstance(value, memoryview):
            found[number].append(value)
    return found


def _encoded(number: int, wire_type: int, value: int | memoryview) -> bytes:
    if wire_type == BYTES and isinstance(value, memoryview):
        return encode_bytes(number, bytes(value))
    if wire_type == VARINT and isinstance(value, int):
        return encode_integer(number, value)
    raise WireError(f"field {number} of a model or graph is neither a number nor bytes")

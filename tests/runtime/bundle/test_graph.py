"""What a bundle's graph may hold: every place in which something else can hide is looked into, before a session."""

import sys
from hashlib import sha256

import pytest

from edge.bundle import bundle, graph, shipped
from edge.bundle.graph import WireError, encode_bytes, encode_integer, encode_metadata, encode_varint
from edge.errors import BundleError


def message(*parts: tuple[int, bytes | str | int]) -> bytes:
    return b"".join(
        encode_integer(number, value) if isinstance(value, int) else encode_bytes(number, value)
        for number, value in parts
    )


def entry(key: str, value: str) -> bytes:
    return message((1, key), (2, value))


def tensor(*more: tuple[int, bytes | int]) -> bytes:
    return message((1, 10), (2, 2), (8, "stolen 10"), *more)


EXTERNAL = tensor((13, entry("location", "secret.txt")), (14, 1))


def node(operator: str, *more: tuple[int, bytes | str | int]) -> bytes:
    return message((1, "x"), (2, "y"), (4, operator), *more)


def attribute(number: int, value: bytes) -> tuple[int, bytes]:
    return 5, message((1, "a"), (number, value))


def in_graph(*parts: tuple[int, bytes | str | int]) -> bytes:
    """A piece of a ModelProto: appended to a model, it becomes part of its graph."""
    return message((7, message(*parts)))


def subgraph(*parts: tuple[int, bytes]) -> tuple[int, bytes]:
    return attribute(6, message(*parts))


def nested(levels: int) -> bytes:
    inside = node("Relu")
    for _ in range(levels):
        inside = node("If", subgraph((1, inside)))
    return in_graph((1, inside))


@pytest.fixture
def sealed(model, manifest, evidence, monkeypatch):
    """A bundle to whose graph a piece was added, with a digest that holds; whoever asks for a session fails."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    def seal(piece: bytes) -> bytes:
        body = bundle.pack(model, manifest, evidence)[:-81] + piece
        return body + encode_metadata("edge.digest", sha256(body).hexdigest())

    return seal


@pytest.mark.parametrize(
    "piece",
    [
        in_graph((5, EXTERNAL)),
        in_graph((5, tensor((13, entry("location", "../../etc/passwd"))))),
        in_graph((5, tensor((14, 2**32 + 1)))),  # readers keep 32 bits of it: 1, which is "elsewhere"
        in_graph((1, node("Constant", attribute(5, EXTERNAL)))),
        in_graph((1, node("If", subgraph((5, EXTERNAL))))),
        in_graph((1, node("If", subgraph((1, node("Scan", subgraph((1, node("Constant", attribute(5, EXTERNAL)))))))))),
    ],
    ids=["initializer", "no location type", "64 bits", "attribute", "branch", "body in a branch"],
)
def test_a_tensor_in_another_file_is_refused_wherever_it_hides(sealed, piece):
    with pytest.raises(BundleError, match="reads weights from other files, which no bundle does"):
        bundle.read(sealed(piece))


@pytest.mark.parametrize(
    ("piece", "told"),
    [
        (in_graph((1, node("Loop", subgraph((1, node("Relu")))))), "the operator Loop"),
        (in_graph((1, node("RandomNormal"))), "the operator RandomNormal"),
        (in_graph((1, node("ImageDecoder"))), "the operator ImageDecoder"),
        (in_graph((1, node("Relu", (7, "ai.evil")))), r"the operator ai\.evil\.Relu"),
        (in_graph((1, node("Relu", (4, "Loop"), (4, "Relu")))), "the operator Loop"),
        (in_graph((1, message((1, "x"), (2, "y")))), r"the operator \(none\)"),
        (message((25, message((1, "f"), (7, node("f"))))), "functions of its own"),
        (in_graph((1, node("Relu", (8, "overload")))), "functions of its own"),
        (message((20, message((1, message((1, node("Relu"))))))), "a training part"),
        (in_graph((15, message((1, EXTERNAL)))), "sparse tensors"),
        (in_graph((1, node("Constant", attribute(22, message((1, EXTERNAL)))))), "sparse tensors"),
        (in_graph((1, node("If", attribute(11, message((1, node("Relu"))))))), "lists of graphs"),
        (in_graph((5, tensor((6, b"text")))), "tensors of text"),
        (message((8, message((1, "ai.evil"), (2, 1)))), r"operators of ai\.evil"),
        (message((99, b"")), "field 99 of a model"),
        (message((8, message((2, 2**40)))), "opset 1099511627776"),
        (message((8, message((2, 0)))), "opset 0"),
        (message((1, 2**64 - 1)), "IR version 18446744073709551615"),
        (in_graph((5, message((1, 2**62), (2, 1), (8, "huge")))), "a tensor of more values than it has bytes"),
        (in_graph((5, message((1, 2**64 - 1), (2, 1), (8, "negative")))), "a tensor of more values than it has bytes"),
        (in_graph((5, message((1, encode_varint(2**32) * 2), (2, 1)))), "a tensor of more values than it has bytes"),
        (in_graph((5, message((1, b"\1" * 10_000), (2, 1)))), "a tensor of more values than it has bytes"),
        (nested(3), r"subgraphs 3 deep \(at most 2\)"),
        (in_graph(*[(1, node("Relu"))] * 10_000), r"10004 nodes \(at most 10000\)"),
    ],
)
def test_what_edge_export_does_not_write_is_refused(sealed, piece, told):
    with pytest.raises(BundleError, match=f"holds {told}.*; re-export the model with it"):
        bundle.read(sealed(piece))


@pytest.mark.parametrize(
    "piece",
    [
        in_graph(*[(13, b"")] * 3000),
        in_graph((1, node("Sum", *[(1, "x")] * 3000))),
        message(*[(14, b"")] * 3000),
    ],
    ids=["in the graph", "in a node", "in the model"],
)
def test_what_consists_of_very_many_parts_is_refused(sealed, piece, monkeypatch):
    monkeypatch.setattr(graph, "MOST_FIELDS", 2000)
    bundle.read(sealed(b""))
    with pytest.raises(BundleError, match=r"holds more than 2000 parts.*; re-export the model with it"):
        bundle.read(sealed(piece))


def test_messages_nested_without_end_are_no_model(sealed):
    inside = b""
    for _ in range(40):
        inside = message((1, node("If", (5, message((6, inside))))))
    with pytest.raises(WireError, match="nested too deeply"):
        graph.contents(message((7, inside)))
    with pytest.raises(BundleError, match="nested too deeply"):
        bundle.read(sealed(message((7, inside))))


def test_a_model_that_no_bundle_may_be_is_not_packed(model, manifest, evidence):
    with pytest.raises(BundleError, match="the model holds the operator Loop"):
        bundle.pack(model + in_graph((1, node("Loop"))), manifest, evidence)


def test_the_piece_for_the_rows_is_looked_through_too(model, manifest, evidence):
    packed = bundle.pack(model, manifest, evidence, in_graph((5, EXTERNAL)))
    with pytest.raises(BundleError, match=r"edge\.rows of linear-fp32 reads weights from other files"):
        _ = bundle.read(packed).data_with_rows
    packed = bundle.pack(model, manifest, evidence, b"\xff")
    with pytest.raises(BundleError, match=r"edge\.rows is no graph"):
        _ = bundle.read(packed).data_with_rows


@pytest.mark.parametrize("name", shipped.names())
def test_every_shipped_bundle_holds_what_it_may(name):
    found = graph.contents(shipped.locate(name).read_bytes())
    assert not found.strange
    assert not found.is_external
    assert found.nodes >= 7

"""What is done to every pixel alike, folded into the first weights, so that the graph takes the raw bytes.

A graph begins with the bytes made float, divided by 255, perhaps inverted and normalised, and moved into the order of
axes that the model wants: a scale and a shift of every pixel. The layers that follow are linear in what enters them,
and take both over, exactly:

| first layer         | scale                         | shift                                                |
|---------------------|-------------------------------|------------------------------------------------------|
| LSTM, GRU, RNN      | of the weights of the input   | into its bias                                        |
| Gemm                | of its weights                | into its bias                                        |
| MatMul              | of its weights                | into the Add behind it                               |
| Conv                | of its weights                | into its bias, if it pads nothing: zeros that are    |
|                     |                               | padded stand behind the shift, which then stays      |

Where a layer of another kind comes first, one Mul and one Add are left.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import ModelProto
from onnx_ir.passes import common

from edge_export.graph.cleaning import FIRST_STATES
from edge_export.graph.tensor_values import constant, store

_MOVES = frozenset({"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"})
_ARITHMETIC = frozenset({"Mul", "Div", "Add", "Sub"})


@dataclass(frozen=True, slots=True)
class PixelScale:
    """What became of a pixel: scale * pixel + shift."""

    scale: float = 1.0
    shift: float = 0.0

    def then(self, operator: str, number: float, *, first: bool) -> "PixelScale":
        """After one more operator with a number; `first`: whether the number stands in front of it."""
        if operator == "Mul":
            return PixelScale(self.scale * number, self.shift * number)
        if operator == "Div":
            return PixelScale(self.scale / number, self.shift / number)
        if operator == "Add":
            return PixelScale(self.scale, self.shift + number)
        return PixelScale(-self.scale, number - self.shift) if first else PixelScale(self.scale, self.shift - number)


def fold(model: ModelProto) -> ModelProto:
    """The model with the scale and shift of its pixels in its first weights, as far as those can take them.

    Args:
        model: cleaned; stays as it is.
    """
    folded = ir.from_proto(model)
    graph = folded.graph
    users = [node for node in graph.inputs[0].consumers() if node.op_type not in ("Shape", "Size")]
    if len(users) == 1 and users[0].op_type == "Cast":
        _fold(graph, users[0].outputs[0])
        common.RemoveUnusedNodesPass()(folded)
    result: ModelProto = ir.to_proto(folded)
    return result


def _fold(graph: ir.Graph, pixels: ir.Value) -> None:
    affine, last, arithmetic = _followed(pixels)
    layers = last.uses()
    takes = [_takes(use.node, use.idx, affine) for use in layers]
    scaled, shifted = all(take >= 1 for take in takes), all(take == 2 for take in takes)
    if not arithmetic and (scaled or affine == PixelScale()):
        return
    for node in arithmetic:
        entered = node.inputs[1 if constant(node.inputs[0]) is not None else 0]
        assert entered is not None
        node.outputs[0].replace_all_uses_with(entered)
    left = affine if not scaled else PixelScale(1.0, 0.0 if shifted else affine.shift / affine.scale)
    if scaled:
        for use in layers:
            _take(graph, use.node, affine.scale, affine.shift if shifted else 0.0)
    _keep(graph, pixels, left)


def _followed(pixels: ir.Value) -> tuple[PixelScale, ir.Value, list[ir.Node]]:
    """What becomes of every pixel alike, up to which tensor, and the nodes that do it."""
    affine, value, arithmetic = PixelScale(), pixels, []
    while len(uses := value.uses()) == 1 and not value.is_graph_output():
        ((node, place),) = uses
        if node.op_type in _ARITHMETIC:
            number = constant(node.inputs[1 - place])
            if number is None or number.size != 1 or (node.op_type == "Div" and place == 1):
                break
            affine = affine.then(node.op_type, float(number.reshape(-1)[0]), first=place == 1)
            arithmetic.append(node)
        elif node.op_type not in _MOVES or place != 0:
            break
        value = node.outputs[0]
    return affine, value, arithmetic


def _takes(node: ir.Node, place: int, affine: PixelScale) -> int:
    """What a layer can take over: 0 nothing, 1 the scale, 2 the shift too."""
    weight = _weight_of(node)
    stored = constant(weight)
    if place != 0 or stored is None or affine.scale == 0 or (node.op_type == "MatMul" and stored.ndim != 2):
        return 0
    if affine.shift == 0 or node.op_type in FIRST_STATES:
        biases = node.inputs[3:4] if node.op_type in FIRST_STATES else []
        return 2 if all(bias is None or constant(bias) is not None for bias in biases) else 1
    if node.op_type == "MatMul":
        return 2 if _added_behind(node) is not None else 1
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    padded = node.op_type == "Conv" and ("auto_pad" in node.attributes or any(_integers(node, "pads")))
    return 2 if not padded and (bias is None or constant(bias) is not None) else 1


def _weight_of(node: ir.Node) -> ir.Value | None:
    if node.op_type in FIRST_STATES or node.op_type in ("Conv", "MatMul"):
        return node.inputs[1]
    if node.op_type == "Gemm" and not any(_integers(node, "transA")) and _is_plain(node):
        return node.inputs[1]
    return None


def _is_plain(node: ir.Node) -> bool:
    return all(name not in node.attributes or node.attributes[name].as_float() == 1 for name in ("alpha", "beta"))


def _take(graph: ir.Graph, node: ir.Node, scale: float, shift: float) -> None:
    """Scales the weights of a layer, and adds what the shift makes of them to its bias."""
    weight = node.inputs[1]
    assert weight is not None
    array = _float64(weight)
    inputs = {"Conv": tuple(range(1, array.ndim)), "MatMul": (array.ndim - 2,)}.get(node.op_type, (-1,))
    if node.op_type == "Gemm" and not any(_integers(node, "transB")):
        inputs = (0,)
    node.replace_input_with(1, _stored(graph, array * scale, weight))
    if shift == 0:
        return
    added = shift * array.sum(axis=inputs)  # a number for each output of the layer
    if node.op_type == "MatMul":
        behind = _added_behind(node)
        assert behind is not None
        adding, place = behind
        bias = adding.inputs[place]
        assert bias is not None
        adding.replace_input_with(place, _stored(graph, _float64(bias) + added, bias))
        return
    place = 3 if node.op_type in FIRST_STATES else 2
    old = node.inputs[place] if place < len(node.inputs) else None
    if node.op_type in FIRST_STATES:  # the biases of the input, then those of the state
        added = np.concatenate([added, np.zeros_like(added)], axis=1)
    total = added if old is None else _float64(old) + added
    if place >= len(node.inputs):
        node.resize_inputs(place + 1)
    node.replace_input_with(place, _stored(graph, total, old or weight))


def _added_behind(node: ir.Node) -> tuple[ir.Node, int] | None:
    """The Add of a stored bias behind a MatMul, and the place of the bias; None where there is no such node."""
    uses = node.outputs[0].uses()
    if len(uses) != 1:
        return None
    ((adding, place),) = uses
    bias = constant(adding.inputs[1 - place]) if adding.op_type == "Add" else None
    return None if bias is None or bias.ndim != 1 else (adding, 1 - place)


def _keep(graph: ir.Graph, pixels: ir.Value, left: PixelScale) -> None:
    """Does behind the pixels what no layer took over."""
    value = pixels
    for operator, number, neutral in (("Mul", left.scale, 1.0), ("Add", left.shift, 0.0)):
        if number == neutral:
            continue
        stored = store(graph, np.array(number, np.float32), f"{pixels.name}_{operator.lower()}")
        node = ir.node(operator, [value, stored], name=f"{stored.name}_node")
        node.outputs[0].name = f"{pixels.name}_{operator.lower()}ed"
        before = [use for use in value.uses() if use.node is not node]
        producer = value.producer()
        assert producer is not None
        graph.insert_after(producer, node)
        for user, place in before:
            user.replace_input_with(place, node.outputs[0])
        value = node.outputs[0]


def _float64(value: ir.Value) -> NDArray[np.float64]:
    array = constant(value)
    assert array is not None
    return array.astype(np.float64)


def _stored(graph: ir.Graph, array: NDArray[np.float64], old: ir.Value) -> ir.Value:
    return store(graph, array.astype(np.float32), f"{old.name}_folded")


def _integers(node: ir.Node, name: str) -> tuple[int, ...]:
    if name not in node.attributes:
        return ()
    attribute = node.attributes[name]
    return (attribute.as_int(),) if attribute.type == ir.AttributeType.INT else tuple(attribute.as_ints())

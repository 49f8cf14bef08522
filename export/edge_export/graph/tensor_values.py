"""What every tensor of a graph is in two runs with batches of different size, and tensors that are stored in it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import ValueInfoProto

from edge.bundle.input import COLUMNS, NAME, ROWS
from edge.errors import EdgeError
from edge_export.graph.builder import ConversionError
from edge_export.graph.session import open_session

Array = NDArray[np.generic]
Axes = tuple[int, ...]  # -1 stands for the one that changes with the batch

SIZES = (2, 3)  # of the batches that are run; 1 would hide what depends on it
SEED = 28
INK = 0.3  # share of the pixels of the measuring pictures that are not empty


class NotLoadedError(ConversionError):
    """ONNX Runtime cannot load a graph."""


@dataclass(frozen=True, slots=True)
class TensorValues:
    """What every tensor of a graph was in two runs.

    Attributes:
        values: by name, the tensor in both runs, the smaller batch first.
        of_sizes: the names of those that depend on the size of the batch alone, or on nothing.
    """

    values: Mapping[str, tuple[Array, Array]]
    of_sizes: frozenset[str]

    def axes(self, value: ir.Value | None) -> Axes | None:
        """The axes of a tensor; None where it was not measured, or more than one changes with the batch."""
        if value is None or value.name is None:
            return None
        if (stored := constant(value)) is not None:
            return tuple(stored.shape)
        if value.name not in self.values:
            return None
        few, many = (one.shape for one in self.values[value.name])
        if len(few) != len(many):
            return None
        axes = tuple(size if size == other else -1 for size, other in zip(few, many, strict=True))
        return axes if axes.count(-1) <= 1 else None


def measure(model: ir.Model, sizes: tuple[int, int] = SIZES) -> TensorValues:
    """Runs a graph with two batches and looks at every tensor.

    Raises:
        ConversionError: it does not run at one of the sizes.
    """
    graph = model.graph
    random = np.random.default_rng(SEED)
    images = [random.integers(0, 256, (size, ROWS, COLUMNS)) for size in sizes]
    pictures = [np.where(random.random(one.shape) < INK, one, 0).astype(np.uint8) for one in images]
    tapped = ir.to_proto(model)
    declared = {output.name for output in tapped.graph.output}
    names = [value.name for node in graph for value in node.outputs if value.name]
    tapped.graph.output.extend(ValueInfoProto(name=name) for name in names if name not in declared)
    try:
        session = open_session(tapped)
        few, many = (session.run(names, {NAME: picture}) for picture in pictures)
    except EdgeError as error:
        raise NotLoadedError(f"the exported graph does not load: {error}; change the model's forward") from error
    except Exception as error:  # onnxruntime's exceptions share no base class
        reason = " ".join(str(error).split())[:300]
        raise ConversionError(
            f"the exported graph does not run with {' and '.join(map(str, sizes))} pictures: {reason}; its batch axis "
            "is frozen: take the batch size from the input, as in x.view(x.size(0), -1)"
        ) from error
    values = {name: (np.asarray(one), np.asarray(other)) for name, one, other in zip(names, few, many, strict=True)}
    return TensorValues(values, frozenset(_of_sizes(graph)))


def constant(value: ir.Value | None) -> NDArray[np.generic] | None:
    """What a stored tensor holds; None for a tensor that is computed."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    array: NDArray[np.generic] = value.const_value.numpy()
    return array


def store(graph: ir.Graph, array: NDArray[np.generic], name: str) -> ir.Value:
    """A new stored tensor of a graph, under that name or one like it."""
    while name in graph.initializers:
        name += "_"
    tensor = ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)
    value = ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))
    graph.register_initializer(value)
    return value


def _of_sizes(graph: ir.Graph) -> Iterable[str]:
    """The tensors that are computed from the sizes of others and from constants, and from no pixel."""
    found = set(graph.initializers)
    for node in graph:
        inputs = [value.name for value in node.inputs if value is not None]
        has_body = any(
            one.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for one in node.attributes.values()
        )
        if node.op_type in ("Shape", "Size") or (found.issuperset(inputs) and not has_body):
            names = [value.name for value in node.outputs if value.name]
            found.update(names)
            yield from names

"""What a trained run costs on the device: the bytes of its fp32 bundle, and the time that its graph takes.

Neither needs the whole of an export, whose parity at five batch sizes takes longer than training a small model.
"""

from collections.abc import Mapping
from pathlib import Path

from onnx import ModelProto

from edge_export.graph import conversion, session
from edge_export.int8 import latency
from edge_export.model import trained_model
from edge_export.pack import packing
from edge_train.training import checkpoint


def size_bytes(path: Path) -> int:
    """The size of the fp32 bundle of a checkpoint, but for the few figures that only an export measures.

    Raises:
        ConversionError: it cannot be written as a bundle's graph.
    """
    chosen = trained_model.find(path.stem, path, None)
    converted = chosen.convert()
    running = session.open_session(converted.model)
    facts = packing.manifest(
        chosen, model=converted.model, precision="fp32", quantised=None, cpu_only=False, accuracy=()
    )
    proof = packing.evidence(chosen, "fp32", lambda images: session.run(running, images, len(images)))
    return len(packing.pack(converted.model, facts, proof))


def latencies(paths: Mapping[int, Path]) -> dict[int, tuple[float, float]]:
    """How long the fp32 graphs of these checkpoints take on one thread, all of them in turns.

    Runs whose graphs differ in nothing but their weights share one measurement: they take the same time, and noise
    would rank them.

    Args:
        paths: checkpoints by the number of their run.

    Returns:
        By the same number: microseconds for one picture, and for each of a batch.
    """
    graphs = {number: conversion.convert(checkpoint.load(path)).model for number, path in paths.items()}
    forms = {number: _form(graph) for number, graph in graphs.items()}
    sessions = {forms[number]: session.open_session(graph) for number, graph in graphs.items()}
    if not sessions:
        return {}
    timed = latency.time_sessions(sessions, packing.golden_images()[0], batches=latency.ENDS)
    single, bulk = ({form: one.median_us() / batch for form, one in series.items()} for batch, series in timed.items())
    return {number: (single[form], bulk[form]) for number, form in forms.items()}


def _form(graph: ModelProto) -> str:
    """Everything of a graph that its time depends on: operators, how they are joined, and the shapes of weights."""
    nodes = [node.SerializeToString(deterministic=True).hex() for node in graph.graph.node]
    weights = [f"{weight.name}{list(weight.dims)}{weight.data_type}" for weight in graph.graph.initializer]
    return "\n".join([*nodes, *weights])

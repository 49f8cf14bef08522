"""The referee computes in numpy, on many images at once, the bits that the C form computes on any processor."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edge_export.targets.c.matrices import (
    EXACT,
    ONE,
    POLYNOMIALS,
    RATIONAL,
    CNetwork,
    Direction,
    FilledMatrix,
    Numbers,
    StreamedStage,
)

HALF = ONE // 2
BATCH, CHAIN_BATCH = 500, 25  # images at once: what is in between stays in the cache


def logits(network: CNetwork, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The logits of the C form, bit for bit.

    Args:
        network: int8 or fp32.
        images: uint8 (N, 28, 28), ink 255 on background 0; of a recurrent network the first rows alone do as well.

    Returns:
        float32 (N, classes).
    """
    size = BATCH if network.precision == "int8" and network.layers else CHAIN_BATCH
    run = _chain if network.stages else _recurrent
    return np.concatenate([run(network, images[start : start + size]) for start in range(0, len(images), size)])


def multiply(matrix: FilledMatrix, values: Numbers) -> Numbers:
    """Products with the weights: exact in int64, or float32 in eight sums that are added in a fixed order.

    Args:
        matrix: with columns for more than the values where it is filled up.
        values: int64 or float32 (N, columns).

    Returns:
        (N, rows), without the bias.
    """
    weights, count = matrix.weights, values.shape[1]
    if matrix.scale is not None:
        # Floats hold every sum of such products exactly, in any order; those of half the size mostly do.
        reach = np.abs(weights.astype(np.int64)).sum(1).max() * 255
        kind = np.float32 if reach < EXACT else np.float64
        return np.asarray((values.astype(kind) @ weights[:, :count].T.astype(kind)).astype(np.int64))
    values = np.pad(values, [(0, 0), (0, weights.shape[1] - count)])
    part = np.zeros((len(values), len(weights), 8), np.float32)
    for start in range(0, weights.shape[1], 8):
        part += values[:, None, start : start + 8] * weights[:, start : start + 8]
    for width in (4, 2, 1):
        part = part[..., :width] + part[..., width : 2 * width]
    return np.asarray(part[..., 0])


# --- recurrent --------------------------------------------------------------------------------------------------------


def _recurrent(network: CNetwork, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    rows: Numbers = images.astype(np.int64 if network.precision == "int8" else np.float32)
    for directions in network.layers:
        ran = [_run(layer, rows) for layer in directions]
        rows = np.concatenate([sequence for sequence, _ in ran], axis=2)
    features, head = np.concatenate([state for _, state in ran], axis=1), network.head
    assert head is not None
    if head.scale is not None:
        return ((features @ head.weights.T.astype(np.int64)) + head.bias).astype(np.float32) * head.scale
    total = np.broadcast_to(head.bias, (len(images), len(head.bias)))
    for feature, weights in zip(features.T, head.weights.T, strict=True):
        total = total + feature[:, None] * weights
    return total


def _run(layer: Direction, rows: Numbers) -> tuple[Numbers, Numbers]:
    """What the next layer reads of each step (N, 28, hidden), and the last state (N, hidden)."""
    count, steps = rows.shape[:2]
    row = np.zeros((count, layer.start + layer.hidden), rows.dtype)
    state, cell = np.zeros((count, layer.hidden), rows.dtype), np.zeros((count, layer.hidden), rows.dtype)
    sequence = np.zeros((count, steps, layer.hidden), rows.dtype)
    row[:, layer.start :] = _as_byte(layer, state)
    for at in range(steps)[:: -1 if layer.backwards else 1]:
        row[:, : layer.inputs] = rows[:, at]
        gates = [_gate(matrix, row) for matrix in layer.matrices]
        state, cell = _step(layer, gates, state, cell)
        row[:, layer.start :] = sequence[:, at] = _as_byte(layer, state)
    return sequence, state


def _gate(matrix: FilledMatrix, row: Numbers) -> Numbers:
    total = multiply(matrix, row[:, matrix.start : matrix.start + matrix.weights.shape[1]]) + matrix.bias
    if matrix.scale is None:
        return total
    return np.clip((total.astype(np.float32) * matrix.scale).astype(np.int64), -matrix.limit, matrix.limit)


def _as_byte(layer: Direction, state: Numbers) -> Numbers:
    if state.dtype == np.float32:
        return state
    return np.asarray(
        np.minimum((state + 16) >> 5, 255) if layer.cell == "relu" else ((state * 127 + HALF) >> 15) + 128
    )


def tanh(numbers: Numbers) -> Numbers:
    """Tanh of the gates.

    Args:
        numbers: int64, in Q12 within (-8, 8).

    Returns:
        int64 of that shape, in Q15.
    """
    size, result = np.abs(numbers), np.zeros_like(numbers)
    for factors in POLYNOMIALS.astype(np.int64):
        result = ((result * (size & 2047) + 1024) >> 11) + factors[size >> 11]
    return np.asarray(np.sign(numbers) * result)


def _float_tanh(numbers: Numbers) -> Numbers:
    x = np.clip(numbers, np.float32(-9), np.float32(9))
    square, (over, under) = x * x, (RATIONAL[4], RATIONAL[9])
    for k in range(3, -1, -1):
        over, under = over * square + RATIONAL[k], under * square + RATIONAL[5 + k]
    return np.asarray(over * x / under)


def _step(layer: Direction, gates: list[Numbers], state: Numbers, cell: Numbers) -> tuple[Numbers, Numbers]:
    """The cells of the templates, in integers or floats: state and cell after a row."""
    n, exact = layer.hidden, np.issubdtype(state.dtype, np.integer)
    squash = tanh if exact else _float_tanh

    def opened(gate: Numbers) -> Numbers:
        return (gate + ONE) >> 1 if exact else (gate + np.float32(1)) * np.float32(0.5)

    def rounded(product: Numbers, shift: int = 15) -> Numbers:
        return (product + (1 << (shift - 1))) >> shift if exact else product

    def bounded(numbers: Numbers) -> Numbers:
        return np.clip(numbers, 1 - ONE, ONE - 1) if exact else numbers

    if layer.cell == "relu":
        return bounded(np.maximum(gates[0][:, :n] + gates[1][:, :n], 0)), cell
    first = squash(gates[0])
    if layer.cell == "rnn":
        return first[:, :n], cell
    if layer.cell == "lstm":
        new = opened(first[:, :n]) * first[:, 3 * n : 4 * n]
        cell = rounded(opened(first[:, 2 * n : 3 * n]) * cell + (new >> 4 if exact else new))
        return rounded(opened(first[:, n : 2 * n]) * squash(bounded(2 * cell if exact else cell))), cell
    update, reset = opened(first[:, :n]), opened(first[:, n : 2 * n])
    weighed = rounded(reset * gates[2][:, :n], layer.shift)
    fresh = squash(bounded(gates[1][:, :n] + weighed))
    change = rounded(update * (state - fresh))
    return fresh + change, cell


# --- convolutional ----------------------------------------------------------------------------------------------------


def _chain(network: CNetwork, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    values: Numbers = images[..., None].astype(np.int64 if network.precision == "int8" else np.float32)
    for stage in network.stages[:-1]:
        values = _leaving(stage, _products(stage, values))
    last = network.stages[-1]
    total = _products(last, values).reshape(len(images), -1)
    scale = last.matrix.scale
    return total if scale is None else total.astype(np.float32) * scale


def _products(stage: StreamedStage, values: Numbers) -> Numbers:
    """Sums with bias, (N, rows, columns, outputs)."""
    outputs, height, width, _ = stage.kernel
    top, left, bottom, right = stage.pads
    padded = np.pad(values, [(0, 0), (top, bottom), (left, right), (0, 0)])
    windows = sliding_window_view(padded, (height, width), axis=(1, 2))[:, :: stage.strides[0], :: stage.strides[1]]
    windows = windows.transpose(0, 1, 2, 4, 5, 3)  # (N, rows, columns, height, width, channels)
    sums = multiply(stage.matrix, windows.reshape(-1, np.prod(windows.shape[3:])))[:, :outputs] + stage.matrix.bias
    return sums.reshape(*windows.shape[:3], outputs)


def _leaving(stage: StreamedStage, sums: Numbers) -> Numbers:
    scale, limits = stage.matrix.scale, stage.limits
    if limits is not None:
        values: Numbers = np.clip(sums, limits[0], limits[1])
    else:
        assert scale is not None
        scaled = sums.astype(np.float32) * scale
        values = np.rint(np.clip(scaled, 0, 255)).astype(np.int64)
    rows, columns, outputs = stage.leaving
    pool = stage.pool
    kept = values[:, : rows * pool, : columns * pool]
    return np.asarray(kept.reshape(-1, rows, pool, columns, pool, outputs).max((2, 4)))

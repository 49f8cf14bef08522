"""The referee computes in numpy, on many images at once, the bits that the C form computes on any processor."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edge_export.targets.c.matrices import ONE, POLYNOMIALS, RATIONAL, CNetwork, Layer, Matrix, Numbers


def logits(network: CNetwork, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The logits of the C form, bit for bit.

    Args:
        network: int8 or fp32.
        images: uint8 (N, 28, 28), ink 255 on background 0.

    Returns:
        float32 (N, classes).
    """
    exact, run = network.precision == "int8", _chain if network.cell == "chain" else _recurrent
    batch = 500 if exact and run is _recurrent else 25  # what is in between stays in the cache
    values: Numbers = images.astype(np.int64) - 128 if exact else images.astype(np.float32)
    return np.concatenate([run(network, values[start : start + batch]) for start in range(0, len(images), batch)])


def tanh(numbers: Numbers) -> Numbers:
    """Tanh of the gates: int64 in Q12, clipped to (-8, 8), to int64 in Q15; float32 to float32."""
    if numbers.dtype == np.float32:
        x = np.clip(numbers, np.float32(-9), np.float32(9))
        square, over, under = x * x, RATIONAL[4], RATIONAL[9]
        for k in range(3, -1, -1):
            over, under = over * square + RATIONAL[k], under * square + RATIONAL[5 + k]
        return np.asarray(over * x / under)
    size, result = np.minimum(np.abs(numbers), ONE - 1), np.zeros_like(numbers)
    for factors in POLYNOMIALS.astype(np.int64):
        result = ((result * (size & 2047) + 1024) >> 11) + factors[size >> 11]
    return np.asarray(np.sign(numbers) * result)


def _products(matrix: Matrix, values: Numbers) -> NDArray[np.float32]:
    """Sums with bias (N, rows): of integers exact and scaled, of floats added in one order."""
    weights, rows, exact = matrix.weights, len(matrix.bias), matrix.weights.dtype == np.int8
    values = values[:, : weights.shape[exact]]
    if exact:  # floats hold every sum of such products exactly, those of half the size mostly do
        kind = np.float32 if np.abs(weights.astype(np.int64)).sum(1).max() * 128 < 1 << 24 else np.float64
        sums = values.astype(kind) @ weights[:rows, : values.shape[1]].T.astype(kind)
        return np.asarray((sums.astype(np.int64) + matrix.bias).astype(np.float32) * matrix.scale)
    total = np.broadcast_to(matrix.bias, (len(values), rows))
    for value, column in zip(values.T, weights, strict=True):
        total = total + value[:, None] * column
    return np.asarray(total)


def _recurrent(network: CNetwork, rows: Numbers) -> NDArray[np.float32]:
    directions, (*layers, head) = network.sizes["DIRECTIONS"], network.layers
    for first in range(0, len(layers), directions):
        ran = [_run(network.cell, layer, rows) for layer in layers[first : first + directions]]
        rows = np.concatenate(ran, axis=2)
    last = [sequence[:, -1 if direction == 0 else 0] for direction, sequence in enumerate(ran)]
    return _products(head.matrices[0], np.concatenate(last, axis=1))


def _run(cell: str, layer: Layer, rows: Numbers) -> Numbers:
    """What the next layer reads of each step (N, 28, hidden)."""
    hidden, width, exact, count = layer.sizes["hidden"], layer.sizes["width"], rows.dtype != np.float32, len(rows)
    row, sequence = np.zeros((count, width + hidden), rows.dtype), np.zeros((count, 28, hidden), rows.dtype)
    memory = np.zeros((count, hidden), rows.dtype)
    row[:, :hidden] = -128 if exact and cell == "relu" else 0
    read = [row[:, hidden:]] * (len(layer.matrices) > 1) + [row, row]
    for at in range(28)[:: -1 if layer.sizes["backwards"] else 1]:
        row[:, hidden:] = rows[:, at]
        found = [_products(matrix, values) for matrix, values in zip(layer.matrices, read, strict=False)]
        gates = np.concatenate(found, axis=1).astype(rows.dtype)
        own, memory = _step(cell, [gates[:, k : k + hidden] for k in range(0, 4 * hidden, hidden)], memory)
        if exact:
            own = np.clip((own + 16) >> 5, 0, 255) - 128 if cell == "relu" else (own * 127 + ONE // 2) >> 15
        row[:, :hidden] = sequence[:, at] = own
    return sequence


def _step(cell: str, gates: list[Numbers], memory: Numbers) -> tuple[Numbers, Numbers]:
    """The cells of the templates, in integers or floats: the state, and what is kept of it."""
    exact = memory.dtype != np.float32

    def opened(gate: Numbers) -> Numbers:
        return (tanh(gate) + ONE) >> 1 if exact else (tanh(gate) + np.float32(1)) * np.float32(0.5)

    def rounded(product: Numbers) -> Numbers:
        return (product + ONE // 2) >> 15 if exact else product

    if cell == "lstm":
        entering, shown, kept, new = gates
        product = opened(entering) * tanh(new)
        memory = rounded(opened(kept) * memory + (product >> 4 if exact else product))
        return rounded(opened(shown) * tanh(2 * memory if exact else memory)), memory
    if cell == "gru":
        new, again, update, reset = gates
        fresh = tanh(new + rounded(opened(reset) * again))
        memory = fresh + rounded(opened(update) * (memory - fresh))
        return memory, memory
    return tanh(gates[0]) if cell == "rnn" else np.maximum(gates[0] + gates[1], 0), memory


def _chain(network: CNetwork, values: Numbers) -> NDArray[np.float32]:
    exact, count = network.precision == "int8", len(values)
    given = [layer.sizes["rows"] for layer in network.layers[1:]] + [1]
    for layer, rows in zip(network.layers, given, strict=True):
        (matrix,), size, pool = layer.matrices, layer.sizes, layer.sizes["pool"]
        before, behind = size["left"], size["width"] - size["left"] - values.shape[2]
        sides = [(0, 0), (size["top"], size["kernel_rows"]), (before, behind)]
        padded = np.pad(values, sides, constant_values=-128 if exact else 0)
        windows = sliding_window_view(padded, (size["kernel_rows"], size["part"]), axis=(1, 2))
        windows = windows[:, :: size["row_stride"], :: size["step"]][:, : rows * pool, : size["across"] * pool]
        found = _products(matrix, windows.reshape(-1, size["kernel_rows"] * size["part"]))
        clipped = np.clip(found, 0, 255) if exact else np.clip(found, *matrix.scale)
        values = np.rint(clipped).astype(np.int64) - 128 if exact else clipped
        values = values.reshape(count, rows, pool, size["across"], pool, -1).max((2, 4)).reshape(count, rows, -1)
    return np.asarray(found.reshape(count, -1))

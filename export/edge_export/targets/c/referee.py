"""The referee computes in numpy, on many images at once, the bits that the C form computes on any processor."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edge_export.targets.c.matrices import EXACT, ONE, POLYNOMIALS, RATIONAL, CNetwork, Layer, Matrix, Numbers


def logits(network: CNetwork, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The logits of the C form, bit for bit.

    Args:
        network: int8 or fp32.
        images: uint8 (N, 28, 28), ink 255 on background 0.

    Returns:
        float32 (N, classes).
    """
    exact, run = network.precision == "int8", _chain if network.head is None else _recurrent
    batch = 500 if exact and network.head is not None else 25  # what is in between stays in the cache
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
    """Sums with bias, in int8 scaled (N, rows): exact, or in eight sums of float32 that are added in a fixed order."""
    weights, count = matrix.weights, values.shape[1]
    if weights.dtype == np.int8:  # floats hold every sum of such products exactly, those of half the size mostly do
        reach = np.abs(weights.astype(np.int64)).sum(1).max() * 128
        kind = np.float32 if reach < EXACT else np.float64
        sums = (values.astype(kind) @ weights[:, :count].T.astype(kind)).astype(np.int64) + matrix.bias
        return np.asarray(sums.astype(np.float32) * matrix.scale)
    values = np.pad(values, [(0, 0), (0, weights.shape[1] - count)])
    part = np.zeros((len(values), len(weights), 8), np.float32)
    for start in range(0, weights.shape[1], 8):
        part += values[:, None, start : start + 8] * weights[:, start : start + 8]
    for width in (4, 2, 1):
        part = part[..., :width] + part[..., width : 2 * width]
    return np.asarray(part[..., 0] + matrix.bias)


def _recurrent(network: CNetwork, rows: Numbers) -> NDArray[np.float32]:
    directions, head = network.sizes["DIRECTIONS"], network.head
    for first in range(0, len(network.layers), directions):
        ran = [_run(network.cell, one, rows) for one in network.layers[first : first + directions]]
        rows = np.concatenate([sequence for sequence, _ in ran], axis=2)
    assert head is not None
    total = np.broadcast_to(head.bias, (len(rows), len(head.bias)))
    for feature, weights in zip(np.concatenate([state for _, state in ran], axis=1).T, head.weights.T, strict=True):
        total = total + feature[:, None] * weights
    return np.asarray(total.astype(np.float32) * (head.scale if head.scale.size else np.float32(1)))


def _run(cell: str, layer: Layer, rows: Numbers) -> tuple[Numbers, Numbers]:
    """What the next layer reads of each step (N, 28, hidden), and the last state (N, hidden)."""
    hidden, start, exact = layer.sizes["hidden"], layer.sizes["start"], rows.dtype != np.float32
    sizes = (len(rows), start + hidden), (len(rows), 28, hidden), (len(rows), hidden), (len(rows), hidden)
    row, sequence, state, memory = (np.zeros(size, rows.dtype) for size in sizes)
    row[:, start:] = -128 if exact and cell == "relu" else 0
    for at in range(28)[:: -1 if layer.sizes["backwards"] else 1]:
        row[:, : layer.sizes["inputs"]] = rows[:, at]
        gates: list[Numbers] = []
        for matrix in layer.matrices:
            read = row[:, start:] if gates and matrix is layer.matrices[-1] else row
            gates.append(_products(matrix, read[:, : matrix.weights.shape[1]]).astype(rows.dtype))
        state, memory = _step(cell, layer.sizes, gates, state, memory)
        own = state
        if exact:
            own = np.minimum((state + 16) >> 5, 255) - 128 if cell == "relu" else (state * 127 + ONE // 2) >> 15
        row[:, start:] = sequence[:, at] = own
    return sequence, state


def _step(
    cell: str, sizes: dict[str, int], gates: list[Numbers], state: Numbers, memory: Numbers
) -> tuple[Numbers, Numbers]:
    """The cells of the templates, in integers or floats: state and cell after a row."""
    n, exact = sizes["hidden"], state.dtype != np.float32

    def opened(gate: Numbers) -> Numbers:
        return (gate + ONE) >> 1 if exact else (gate + np.float32(1)) * np.float32(0.5)

    def rounded(product: Numbers, shift: int = 15) -> Numbers:
        return (product + (1 << (shift - 1))) >> shift if exact else product

    if cell == "relu":
        return np.clip(gates[0][:, :n] + gates[1][:, :n], 0, ONE - 1 if exact else None), memory
    squashed = [tanh(gates[0][:, k : k + n]) for k in range(0, 4 * n, n)]
    if cell == "rnn":
        return squashed[0], memory
    if cell == "gru":
        weighed = rounded(opened(squashed[1]) * gates[2][:, :n], sizes["shift"])
        fresh = tanh(gates[1][:, :n] + weighed)
        return fresh + rounded(opened(squashed[0]) * (state - fresh)), memory
    entering, shown, kept, new = squashed
    product = opened(entering) * new
    memory = rounded(opened(kept) * memory + (product >> 4 if exact else product))
    return rounded(opened(shown) * tanh(2 * memory if exact else memory)), memory


def _chain(network: CNetwork, values: Numbers) -> NDArray[np.float32]:
    values, exact = values[..., None], network.precision == "int8"
    for layer in network.layers:
        (matrix,), size = layer.matrices, layer.sizes
        sides = [(0, 0), (size["top"], size["bottom"]), (size["left"], size["right"]), (0, 0)]
        padded = np.pad(values, sides, constant_values=-128 if exact else 0)
        windows = sliding_window_view(padded, (size["kernel_rows"], size["kernel_columns"]), axis=(1, 2))
        windows = windows[:, :: size["row_stride"], :: size["column_stride"]].transpose(0, 1, 2, 4, 5, 3)
        found = _products(matrix, windows.reshape(-1, np.prod(windows.shape[3:]))).reshape(*windows.shape[:3], -1)
        pool, outputs, found = size["pool"], size["outputs"], found[..., : size["outputs"]]
        clipped = np.clip(found, 0, 255) if exact else np.clip(found, *matrix.scale[:, :outputs])
        values = np.rint(clipped).astype(np.int64) - 128 if exact else clipped
        rows, columns = windows.shape[1] // pool, windows.shape[2] // pool
        values = values[:, : rows * pool, : columns * pool].reshape(-1, rows, pool, columns, pool, outputs).max((2, 4))
    return np.asarray(found.reshape(len(found), -1))

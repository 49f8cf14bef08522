"""Adaptive pooling to any size, by operators that ONNX has.

torch's windows differ where a size is no factor of the other one, and its exporters refuse that. A mean over such
windows is a product with a matrix, along one axis after the other, because each window is a rectangle; a maximum is one
of slices.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Call = Callable[..., Any]


def pooled(func: Call, args: tuple[Any, ...], named: Mapping[str, Any]) -> Tensor | None:
    """What an adaptive pooling whose windows differ gives; None for any other call.

    Args:
        func: of torch.
        args: what it is given by place.
        named: what it is given by name.
    """
    pool = _POOLS.get(func)
    sizes = {} if pool is None else _uneven(func, *args, **named)
    if pool is None or not sizes:
        return None
    result: Tensor = args[0] if args else named["input"]
    for axis, size in sizes.items():
        result = pool(result, axis, size)
    return result


def _uneven(
    func: Call,
    input: Tensor,  # noqa: A002 - torch's own
    output_size: Any,  # noqa: ANN401 - torch's own
    return_indices: bool = False,
) -> dict[int, int]:
    """The sizes of an adaptive pooling by the axis that each is of; empty where its windows do not differ."""
    axes = 1 if func in _POOLS_OF_ONE else 2
    wanted = output_size if isinstance(output_size, tuple | list) else (output_size,) * axes
    sizes = {axis: one for axis, one in zip(range(-axes, 0), wanted, strict=True) if one is not None}
    even = all(input.shape[axis] % one == 0 for axis, one in sizes.items())
    return {} if even or return_indices else {axis: int(one) for axis, one in sizes.items()}


def _windows(rows: int, size: int) -> list[tuple[int, int]]:
    """Where each window of an adaptive pooling begins and ends. Source: torch's AdaptiveAveragePooling.cpp."""
    return [(place * rows // size, -(-(place + 1) * rows // size)) for place in range(size)]


def _mean_pool(pooled: Tensor, axis: int, size: int) -> Tensor:
    weights = torch.zeros(pooled.shape[axis], size, dtype=pooled.dtype)
    for place, (begin, end) in enumerate(_windows(pooled.shape[axis], size)):
        weights[begin:end, place] = 1 / (end - begin)
    return (pooled.transpose(axis, -1) @ weights).transpose(axis, -1)


def _max_pool(pooled: Tensor, axis: int, size: int) -> Tensor:
    windows = _windows(pooled.shape[axis], size)
    return torch.cat([pooled.narrow(axis, begin, end - begin).amax(axis, keepdim=True) for begin, end in windows], axis)


_POOLS_OF_ONE = (F.adaptive_avg_pool1d, F.adaptive_max_pool1d)
_POOLS: dict[Call, Callable[[Tensor, int, int], Tensor]] = {
    F.adaptive_avg_pool1d: _mean_pool,
    F.adaptive_avg_pool2d: _mean_pool,
    F.adaptive_max_pool1d: _max_pool,
    F.adaptive_max_pool2d: _max_pool,
}

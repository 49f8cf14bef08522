"""Round numbers for the axes of a drawing."""

import math

_ENOUGH = 3  # ticks below which an axis cannot be read
_MANTISSAS = (
    (1.0,),
    (1.0, 2.0, 5.0),
    (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0),
)
_STEPS = (5.0, 2.0, 1.0)


def logarithmic(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis: as few kinds as give three of them, or equal steps on a short axis.

    Args:
        low: begin of the axis, above 0.
        high: its end, above its begin.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas in _MANTISSAS:
        every = (float(f"{mantissa:g}e{decade}") for decade in decades for mantissa in mantissas)
        found = [value for value in every if low <= value <= high]
        if len(found) >= _ENOUGH:
            return found
    return linear(low, high)


def linear(low: float, high: float, most: int = 8) -> list[float]:
    """Round numbers at equal distances for a linear axis.

    Args:
        low: begin of the axis.
        high: its end, above its begin.
        most: how many there may be.
    """
    magnitude = math.floor(math.log10((high - low) / most))
    steps = (float(f"{step:g}e{magnitude + up}") for up in (0, 1, 2) for step in reversed(_STEPS))
    step = next(step for step in steps if (high - low) / step <= most)
    # Integers of the step, because a sum of steps drifts away from round numbers.
    return [count * step for count in range(math.ceil(low / step), math.floor(high / step) + 1)]

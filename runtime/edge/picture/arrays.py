"""The arrays that a picture is while it is read; shapes are (height, width) where nothing else is said."""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Grey: TypeAlias = NDArray[np.uint8]
"""Grey levels, or strengths of ink: 0 to 255."""

Mask: TypeAlias = NDArray[np.bool_]
"""Which pixels, or which components."""

Integers: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]


class Prepared(NamedTuple):
    """The image of a picture, and what reading knows beside it.

    Attributes:
        image: uint8 (28, 28), ink 255 on background 0.
        likeness: how much the picture looks like one of a written digit, in units of the score, to which it is added;
            0 where nothing is known, as of an image that was ready.
    """

    image: Grey
    likeness: float = 0.0

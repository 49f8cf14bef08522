"""The arrays that a picture is while it is read; shapes are (height, width) where nothing else is said."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Grey: TypeAlias = NDArray[np.uint8]
"""Grey levels, or strengths of ink: 0 to 255."""

Mask: TypeAlias = NDArray[np.bool_]
"""Which pixels, or which components."""

Integers: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

"""How many neighbouring pixels of a convolution's output are computed as channels of one: see `blocks`."""

import math

from edge_export.int8.convolutional.channels import MULTIPLE
from edge_export.int8.convolutional.levels import Integers

# What a block costs, in nanoseconds, fitted to 40 shapes on an x86 core with AVX2: a product of two bytes, copying a
# row of a window (of merged columns, see `merged`). Inner sizes are padded to 4 bytes, outputs to 16 columns.
PRODUCT_NS = 0.0135
COPY_NS = 10.0
MERGED_COPY_NS = 7.5
INNER, COLUMN_TILE = 4, 16
WIDTHS = (1, 2, 3, 4, 6, 8)

Axes = tuple[int, ...]


def choose(stage: Integers, picture: Axes) -> int:
    """The width of the block that costs least by the constants above, among those that divide the output's rows.

    Args:
        stage: a convolution.
        picture: rows, columns and channels of what it reads.
    """
    if stage.strides != (1, 1):
        return 1
    outputs, channels, kernel_rows, kernel_columns = stage.weight.shape
    top, left, bottom, right = stage.pads
    rows = picture[0] + top + bottom - kernel_rows + 1
    columns = picture[1] + left + right - kernel_columns + 1

    def cost(width: int) -> float:
        blocks = rows * columns // width
        inner = kernel_rows * (kernel_columns + width - 1) * channels
        tiles = math.ceil(inner / INNER) * INNER * math.ceil(outputs * width / COLUMN_TILE) * COLUMN_TILE
        copy_ns = MERGED_COPY_NS if merged(stage, picture, width) else COPY_NS
        return float(blocks * (tiles * PRODUCT_NS + kernel_rows * copy_ns))

    return min((width for width in WIDTHS if columns % width == 0), key=cost)


def merged(stage: Integers, picture: Axes, width: int) -> bool:
    """Whether four neighbouring columns of a picture with one channel are read as four channels of one column.

    ONNX Runtime convolves without copying windows when the channels are a multiple of four.
    """
    return picture[2] == 1 and not any(stage.pads) and picture[1] % MULTIPLE == 0 and width % MULTIPLE == 0

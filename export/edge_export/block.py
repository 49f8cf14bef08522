"""Which block of pixels of a convolution's output is computed as channels of one: what `edge_export.blocks` writes."""

import itertools
import math
from dataclasses import dataclass

from edge_export.channels import MULTIPLE
from edge_export.levels import Integers

# What a block costs, in nanoseconds, fitted to 40 shapes on an x86 core with AVX2: a product of two bytes, copying a
# row of a window (of merged columns, see `merged`), rounding an output, pooling a window of all its channels, and one
# operator more, at batch 1, for pooling slices. Inner sizes are padded to 4 bytes, outputs to 16 columns.
PRODUCT_NS = 0.0135
COPY_NS = 10.0
MERGED_COPY_NS = 7.5
ROUND_NS = 0.3
POOL_NS = 25.0
SLICING_NS = 3000.0
INNER, COLUMN_TILE = 4, 16
WIDTHS = (1, 2, 3, 4, 6, 8)

Axes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Pixels of a convolution's output that are computed as channels of one: `rows` is 1, or those of a pooling."""

    rows: int
    columns: int

    @property
    def pixels(self) -> int:
        """How many they are."""
        return self.rows * self.columns


def choose(stage: Integers, picture: Axes) -> Block:
    """The block that costs least by the constants above, among those that divide what is computed.

    Args:
        stage: a convolution.
        picture: rows, columns and channels of what it reads.
    """
    if stage.strides != (1, 1):
        return Block(1, 1)
    outputs, channels, kernel_rows, kernel_columns = stage.weight.shape
    top, left, bottom, right = stage.pads
    rows = picture[0] + top + bottom - kernel_rows + 1
    columns = picture[1] + left + right - kernel_columns + 1
    best, cheapest = Block(1, 1), math.inf
    # Blocks of several rows would have to be put in order by a transposition, unless a pooling takes them together.
    for block in itertools.starmap(Block, itertools.product(sorted({1, stage.pool}), WIDTHS)):
        high, wide = rows, columns
        if block.rows > 1:  # then what the pooling leaves out at the edges is never computed
            high, wide = rows // stage.pool * stage.pool, columns // stage.pool * stage.pool
        if wide % block.columns or block.columns % block.rows:
            continue
        blocks = high // block.rows * (wide // block.columns)
        inner = (kernel_rows + block.rows - 1) * (kernel_columns + block.columns - 1) * channels
        tiles = math.ceil(inner / INNER) * INNER * math.ceil(outputs * block.pixels / COLUMN_TILE) * COLUMN_TILE
        pooled = 0 if stage.pool == 1 else blocks if block.rows > 1 else (rows // stage.pool) * (columns // stage.pool)
        cost = (
            blocks * tiles * PRODUCT_NS
            + blocks * (kernel_rows + block.rows - 1) * (MERGED_COPY_NS if merged(stage, picture, block) else COPY_NS)
            + high * wide * outputs * ROUND_NS
            + pooled * POOL_NS
            + (SLICING_NS if block.rows > 1 else 0)
        )
        if cost < cheapest:
            best, cheapest = block, cost
    return best


def merged(stage: Integers, picture: Axes, block: Block) -> bool:
    """Whether four neighbouring columns of a picture with one channel are read as four channels of one column.

    ONNX Runtime convolves without copying windows when the channels are a multiple of four.
    """
    return picture[2] == 1 and not any(stage.pads) and not picture[1] % MULTIPLE and not block.columns % MULTIPLE

"""Sheets of small pictures, a caption below each."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from edge.errors import EdgeError, InputError
from edge.text.files import write_atomically

GAP_PIXELS = 6
CAPTION_PIXELS = 12  # size of the letters: the smallest that reads well on a screen
WHITE, BLACK = 255, 0


def contact_sheet(
    images: NDArray[np.uint8], captions: Sequence[str] | None = None, columns: int = 20, scale: int = 3
) -> Image.Image:
    """All pictures on one white sheet, row by row, ink dark, their captions below them.

    Args:
        images: uint8 (N, rows, columns), ink 255 on background 0, N at least 1.
        captions: a short text for each picture, of one or more lines; `None` leaves no room for any.
        columns: pictures in a row, at least 1; a single row is only as wide as its pictures.
        scale: pixels of the sheet along a pixel of a picture, at least 1.

    Returns:
        A grey picture (mode L). All tiles are as large as the largest caption needs.

    Raises:
        InputError: pictures of another type or shape, none at all, another number of captions, or a number below 1.
    """
    if images.dtype != np.uint8 or images.ndim != 3 or len(images) == 0:
        raise InputError(
            f"a sheet cannot show {images.dtype} {images.shape}; give at least one picture, uint8 (N, rows, columns)"
        )
    if captions is not None and len(captions) != len(images):
        raise InputError(f"{len(captions)} captions for {len(images)} pictures; give one for each")
    if columns < 1 or scale < 1:
        raise InputError(f"a sheet of {columns} columns at scale {scale} cannot be drawn; give at least 1 for both")
    texts = [""] * len(images) if captions is None else list(captions)
    font = _caption_font()
    ruler = ImageDraw.Draw(Image.new("L", (1, 1)))
    boxes = [ruler.multiline_textbbox((0, 0), text, font=font) for text in texts]
    count, height, width = images.shape
    height, width, columns = height * scale, width * scale, min(columns, count)
    tile_width = GAP_PIXELS + int(np.ceil(max(width, *(box[2] for box in boxes))))
    tile_height = GAP_PIXELS + height + int(np.ceil(max(box[3] for box in boxes)))
    rows = -(-count // columns)
    sheet = Image.new("L", (columns * tile_width + GAP_PIXELS, rows * tile_height + GAP_PIXELS), WHITE)
    draw = ImageDraw.Draw(sheet)
    for index, (image, text) in enumerate(zip(images, texts, strict=True)):
        row, column = divmod(index, columns)
        left, top = GAP_PIXELS + column * tile_width, GAP_PIXELS + row * tile_height
        tile = Image.fromarray(255 - image).resize((width, height), Image.Resampling.NEAREST)
        sheet.paste(tile, (left, top))
        draw.multiline_text((left, top + height), text, fill=BLACK, font=font)
    return sheet


def _caption_font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: Pillow's own font draws a box for every letter with an accent."""
    import matplotlib as mpl

    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", CAPTION_PIXELS)


def write(path: Path, sheet: Image.Image) -> None:
    """Writes a sheet as PNG in one step.

    Raises:
        EdgeError: the folder does not exist or cannot be written.
    """
    content = io.BytesIO()
    sheet.save(content, "PNG", optimize=True)
    try:
        write_atomically(path, content.getvalue())
    except OSError as error:
        raise EdgeError(f"cannot write {path}: {error.strerror}; choose another --out") from error

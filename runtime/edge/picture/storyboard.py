"""A picture's way to its label, drawn: every step with its sentence, the image that the model sees, the answer."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from edge.picture import picture

Bytes = NDArray[np.uint8]

TILE: Final = 7 * picture.SIDE  # pixels: each pixel of the 28x28 image becomes 7x7
GAP: Final = 14
NAME_PIXELS, TEXT_PIXELS = 17, 13  # sizes of the letters
TEXT_LINES: Final = 4  # the longest sentence of the steps, wrapped, and one to spare
BARS: Final = 3  # labels that are drawn with their probability
SHARE_ROOM: Final = 56  # pixels, for "100.0%"
GROUND, INK, PALE, BAR = "white", "#202020", "#d8d8d8", "#2b6cb0"
HEADER: Final = GAP + NAME_PIXELS + 6
CAPTION: Final = NAME_PIXELS + 8 + TEXT_LINES * (TEXT_PIXELS + 4)
HEIGHT: Final = HEADER + TILE + CAPTION + GAP

ANSWER: Final = "answer"
SENTENCE: Final = "What the model says of the 28x28, with its probability."


def draw(
    name: str, steps: Sequence[tuple[str, Bytes]], answers: Sequence[tuple[str, float]], note: str = SENTENCE
) -> Bytes:
    """One strip: the steps from left to right, and what the model says.

    Args:
        name: of the picture, written above.
        steps: name and picture of each step, uint8 (h, w), as `edge.picture.picture.steps` gives them.
        answers: labels with their probabilities, the best first; none where there is no answer.
        note: a sentence below the answer.

    Returns:
        uint8 (HEIGHT, width, 3).
    """
    width = GAP + (len(steps) + 1) * (TILE + GAP)
    canvas = Image.new("RGB", (width, HEIGHT), GROUND)
    pen = ImageDraw.Draw(canvas)
    pen.text((GAP, GAP // 2), name, fill=INK, font=_font(NAME_PIXELS))
    for index, (step, image) in enumerate(steps):
        left = GAP + index * (TILE + GAP)
        _paste(canvas, image, left)
        _caption(pen, left, step, picture.STEPS[step])
    _answer(pen, GAP + len(steps) * (TILE + GAP), answers, note)
    return np.asarray(canvas)


def stacked(strips: Sequence[Bytes]) -> Image.Image:
    """Strips below each other; shorter ones end in white.

    Args:
        strips: uint8 (h, w, 3), at least one.
    """
    width = max(strip.shape[1] for strip in strips)
    wide = [np.pad(strip, ((0, 0), (0, width - strip.shape[1]), (0, 0)), constant_values=255) for strip in strips]
    return Image.fromarray(np.concatenate(wide))


def _paste(canvas: Image.Image, image: Bytes, left: int) -> None:
    """The picture of a step, as large as the tile allows, in its middle, with a thin frame."""
    height, width = image.shape
    scale = TILE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    tile = Image.fromarray(np.ascontiguousarray(image)).resize(size, method)
    across, down = left + (TILE - tile.width) // 2, HEADER + (TILE - tile.height) // 2
    canvas.paste(tile.convert("RGB"), (across, down))
    frame = (across - 1, down - 1, across + tile.width, down + tile.height)
    ImageDraw.Draw(canvas).rectangle(frame, outline=PALE)


def _caption(pen: ImageDraw.ImageDraw, left: int, name: str, sentence: str) -> None:
    top = HEADER + TILE + 6
    pen.text((left, top), name, fill=INK, font=_font(NAME_PIXELS))
    text = wrapped(sentence, TILE, TEXT_PIXELS)
    pen.multiline_text((left, top + NAME_PIXELS + 5), text, fill=INK, font=_font(TEXT_PIXELS), spacing=3)


def _answer(pen: ImageDraw.ImageDraw, left: int, answers: Sequence[tuple[str, float]], note: str) -> None:
    """The best label, large, and a bar for each of the first few."""
    best = answers[0][0] if answers else "none"
    middle = left + TILE // 2
    pen.text((middle, HEADER + TILE * 0.36), best, fill=INK, font=_fitting(best, TILE), anchor="mm")
    for index, (label, share) in enumerate(answers[:BARS]):
        top = HEADER + round(TILE * 0.7) + index * 20
        pen.text((left, top), label, fill=INK, font=_font(TEXT_PIXELS))
        start, room = left + 20, TILE - 20 - SHARE_ROOM
        pen.rectangle((start, top + 3, start + max(1, round(room * share)), top + 13), fill=BAR)
        pen.text((left + TILE, top), f"{share:.1%}", fill=INK, font=_font(TEXT_PIXELS), anchor="ra")
    _caption(pen, left, ANSWER, note)


def wrapped(text: str, width: int, size: int) -> str:
    """The text with line breaks where a line would be longer than `width` pixels at that size of letters."""
    font = _font(size)
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def _fitting(text: str, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font in the largest size, up to half a tile, in which the text fits the width."""
    size = TILE // 2
    while size > TEXT_PIXELS and _font(size).getlength(text) > width:
        size -= 4
    return _font(size)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)

"""The steps of the pre-processing, each explained in a sentence, and drawn side by side with what the model says."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image

from edge.bundle.input import ROWS
from edge.drawing import BLUE, FAINT, Pen, length, wrapped
from edge.picture.arrays import Grey
from edge.picture.preprocessing import preprocess

# What each step does, in their order.
SENTENCES: Final = {
    "picture": "Grey levels of the file, upright.",
    "dark on light": "At working size, inverted if the ink is lighter than its paper.",
    "even light": "How much darker than the paper each point is, whatever the light and the shadows.",
    "no lines": "What stands out of the noise, without lines that run across the whole picture.",
    "ink": "What stands out of fainter things too, and whatever is attached to it.",
    "digit": "The pieces that look written and belong together; frames, edges and specks are left out.",
    "close-up": "The digit read again from the full picture, at one size.",
    "stroke width": "Strokes too thin or too thick for the model are brought into its range.",
    "28x28": "Scaled into a 20x20 box, its centre of mass in the middle of 28x28.",
}

TILE: Final = 7 * ROWS  # pixels: each pixel of the 28x28 image becomes 7x7
GAP: Final = 14
NAME_PIXELS, TEXT_PIXELS = 17, 13  # sizes of the letters
TEXT_LINES: Final = 4  # the longest sentence of the steps, wrapped, and one to spare
BARS: Final = 3  # labels that are drawn with their probability
SHARE_ROOM: Final = 56  # pixels, for "100.0%"
HEADER: Final = GAP + NAME_PIXELS + 6
CAPTION: Final = NAME_PIXELS + 8 + TEXT_LINES * (TEXT_PIXELS + 4)
HEIGHT: Final = HEADER + TILE + CAPTION + GAP

ANSWER: Final = "answer"
ANSWER_SENTENCE: Final = "What the model says of the 28x28, with its probability."


def trace(grey: Grey) -> list[tuple[str, Grey]]:
    """What each step makes of a picture; `SENTENCES` says what it does.

    Args:
        grey: uint8 (H, W), dark ink on light paper or the reverse.

    Returns:
        Name of the step and the picture after it, uint8 (h, w). The last one is what `preprocessing.normalise` returns.
        Steps that were not taken (nothing found, or an image as MNIST's already) are missing.

    Raises:
        InputError: an array of another shape or type.
    """
    made = preprocess(grey)
    shown = {"picture": grey}
    if (found := made.segmentation) is not None:
        shown["dark on light"] = found.picture.grey
        shown["even light"] = found.light.strength
        shown["no lines"] = found.without_lines * np.uint8(255)
        shown["ink"] = found.ink * np.uint8(255)
        if found.digit is not None:
            shown["digit"] = found.digit.mask * np.uint8(255)
    if made.close_up is not None and made.adjusted is not None:
        shown["close-up"] = made.close_up.strength
        shown["stroke width"] = made.adjusted * np.uint8(255)
    return [*shown.items(), ("28x28", made.image)]


def draw(
    name: str, steps: Sequence[tuple[str, Grey]], answers: Sequence[tuple[str, float]], note: str = ANSWER_SENTENCE
) -> Image.Image:
    """One strip: the steps from left to right, and what the model says.

    Args:
        name: of the picture, written above.
        steps: name and picture of each step, uint8 (h, w), as `trace` gives them.
        answers: labels with their probabilities, the best first; none where there is no answer.
        note: a sentence below the answer.

    Returns:
        A colour picture, `HEIGHT` pixels high.
    """
    pen = Pen(GAP + (len(steps) + 1) * (TILE + GAP), HEIGHT, oversampling=1)
    pen.text(GAP, GAP // 2, name, size=NAME_PIXELS, anchor="la")
    for index, (step, image) in enumerate(steps):
        left = GAP + index * (TILE + GAP)
        _paste(pen, image, left)
        _caption(pen, left, step, SENTENCES[step])
    _answer(pen, GAP + len(steps) * (TILE + GAP), answers, note)
    return pen.finished()


def _paste(pen: Pen, image: Grey, left: int) -> None:
    """The picture of a step, as large as the tile allows, in its middle, with a thin frame."""
    height, width = image.shape
    scale = TILE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    tile = Image.fromarray(np.ascontiguousarray(image)).resize(size, method)
    across, down = left + (TILE - tile.width) // 2, HEADER + (TILE - tile.height) // 2
    pen.paste(tile, across, down)
    pen.frame(across, down, across + tile.width, down + tile.height, FAINT)


def _caption(pen: Pen, left: int, name: str, sentence: str) -> None:
    top = HEADER + TILE + 6
    pen.text(left, top, name, size=NAME_PIXELS, anchor="la")
    pen.text(left, top + NAME_PIXELS + 5, wrapped(sentence, TILE, TEXT_PIXELS), size=TEXT_PIXELS, anchor="la")


def _answer(pen: Pen, left: int, answers: Sequence[tuple[str, float]], note: str) -> None:
    """The best label, large, and a bar for each of the first few."""
    best = answers[0][0] if answers else "none"
    pen.text(left + TILE // 2, HEADER + TILE * 0.36, best, size=_largest_size(best, TILE), anchor="mm")
    for index, (label, share) in enumerate(answers[:BARS]):
        top = HEADER + round(TILE * 0.7) + index * 20
        pen.text(left, top, label, size=TEXT_PIXELS, anchor="la")
        start, room = left + 20, TILE - 20 - SHARE_ROOM
        pen.box(start, top + 3, start + max(1, round(room * share)), top + 14, BLUE)
        pen.text(left + TILE, top, f"{share:.1%}", size=TEXT_PIXELS, anchor="ra")
    _caption(pen, left, ANSWER, note)


def _largest_size(text: str, width: int) -> int:
    """The largest size of letters, up to half a tile, in which the text fits the width."""
    size = TILE // 2
    while size > TEXT_PIXELS and length(text, size) > width:
        size -= 4
    return size

"""The steps of the pre-processing, each explained in a sentence, and drawn side by side with what the model says.

Such strips of many pictures go into one picture, or into a folder, a file each.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from edge.bundle.input import ROWS
from edge.drawing import BLUE, FAINT, Pen, length, stacked, wrapped
from edge.errors import InputError
from edge.picture import preprocessing
from edge.picture.luminance import Grey
from edge.picture.preprocessing import preprocess
from edge.text.files import make_folder, write_atomically

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


SUFFIX: Final = ".png"
# One picture for all is meant to be looked at; 50 strips are 16 000 pixels high and need some 100 MB to draw.
MOST_ROWS: Final = 50


class StepStrips:
    """Takes the strips of pictures as they are classified, and writes them.

    `out` ending in .png is one picture, a row for each strip, written by `finish`. Anything else is a folder, made if
    it is missing: a strip a file, named after the picture and its place among them, written as it comes.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._is_one = out.suffix.lower() == SUFFIX and not out.is_dir()
        self._rows: list[Image.Image] = []
        self._count = 0

    def add(
        self,
        name: str,
        source: preprocessing.Source,
        answers: list[tuple[str, float]],
        note: str = ANSWER_SENTENCE,
    ) -> None:
        """Draws the way of one picture.

        Args:
            name: the path, as it is written above the strip.
            source: what `edge.picture.preprocessing.read` takes; read again.
            answers: labels with their probabilities, the best first; none where there is no answer.
            note: a sentence below the answer.

        Raises:
            PictureError: the picture cannot be read.
            InputError: one picture would hold too many rows.
            WriteError: a file cannot be written.
        """
        self._count += 1
        if self._is_one and self._count > MOST_ROWS:
            raise InputError(
                f"{self._out} would hold more than {MOST_ROWS} strips; name a folder for a file each, such as "
                f"--show-steps {self._out.with_suffix('')}"
            )
        taken = trace(preprocessing.luminance(source))
        row = draw(Path(name).name, taken, answers, note)
        if self._is_one:
            self._rows.append(row)
            return
        make_folder(self._out)
        self._write(self._out / f"{self._count:03}-{Path(name).stem or 'picture'}{SUFFIX}", [row])

    def finish(self) -> None:
        """Writes the one picture, if it is one and there is a strip.

        Raises:
            WriteError: the file cannot be written.
        """
        if self._rows:
            self._write(self._out, self._rows)

    def _write(self, path: Path, rows: list[Image.Image]) -> None:
        buffer = io.BytesIO()
        stacked(rows).save(buffer, "PNG")
        write_atomically(path, buffer.getvalue(), "the strip")

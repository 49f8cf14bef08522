"""Where the strips of `edge predict --show-steps` go: into one picture, or one file each into a folder."""

import io
from pathlib import Path
from typing import Final

from PIL import Image

from edge.drawing import stacked
from edge.errors import InputError
from edge.picture import preprocessing, steps
from edge.text.files import make_folder, write_atomically

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
        note: str = steps.ANSWER_SENTENCE,
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
        taken = steps.trace(preprocessing.luminance(source))
        row = steps.draw(Path(name).name, taken, answers, note)
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

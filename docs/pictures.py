"""Makes the pictures of the README: `.venv/bin/python docs/pictures.py`, from the root of the repository.

`strokes.png` is a sheet of the stroke generator, `seven.jpg` a drawn photograph of one of its digits, and `path.png`
that photograph on its way to a label: as it is, as the model sees it, and what the model says. `steps.png` shows every
step of that way, and `read.png` a page of digits as `edge read` marks it. `rows.png`, `rows.gif` and `occlusion.png`
are what `edge explain` draws of a digit of the generator.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import edge
from edge.classifier.page import annotate, read_grey_page
from edge.drawing import BLUE, Pen, contact_sheet
from edge.explanation import belief, occlusion
from edge.picture import preprocessing, steps
from edge_train import strokes
from edge_train.strokes import paper

FOLDER = Path(__file__).parent / "pictures"
MODEL = "lstm-int8"
PAGE_SEED = 7  # ruled paper, and a shadow that crosses the digit
NUMBERS = ("0412 95", "7306 81")
NUMBERS_SEED = 11
EXPLAINED = 2  # a digit that looks like a 7 until its last rows are read
EXPLAINED_SEED = 2
CNN = "cnn-int8"
HEIGHT = 360
GAP = 28


def main() -> None:
    """Draws all of them."""
    FOLDER.mkdir(exist_ok=True)
    rows, _ = strokes.sample(200, seed=1, labels=np.repeat(np.arange(10), 20))
    contact_sheet(rows).save(FOLDER / "strokes.png", optimize=True)
    page = FOLDER / "seven.jpg"
    Image.fromarray(strokes.draw_page(7, seed=PAGE_SEED)).save(page, quality=88)
    path_of(page).save(FOLDER / "path.png", optimize=True)
    steps_of(page).save(FOLDER / "steps.png", optimize=True)
    read_page().save(FOLDER / "read.png", optimize=True)
    image = strokes.sample(1, seed=EXPLAINED_SEED, labels=np.array([EXPLAINED]))[0][0]
    chart = rows_of(image)
    (FOLDER / "rows.png").write_bytes(belief.png(chart))
    (FOLDER / "rows.gif").write_bytes(belief.gif(chart))
    (FOLDER / "occlusion.png").write_bytes(occlusion.png(map_of(image)))


def path_of(page: Path) -> Image.Image:
    """The photograph, the 28x28 image, and a bar for each label, side by side."""
    seen = preprocessing.read(page)
    prediction = edge.load(MODEL, provider="cpu").predict(page)
    photograph = Image.open(page).resize((HEIGHT * 4 // 3, HEIGHT), Image.Resampling.LANCZOS)
    tile = Image.fromarray(seen).resize((HEIGHT, HEIGHT), Image.Resampling.NEAREST).convert("RGB")
    bars = bars_of(prediction.probabilities, prediction.label)
    parts = [photograph, tile, bars]
    canvas = Image.new("RGB", (sum(part.width for part in parts) + GAP * 2, HEIGHT), "white")
    left = 0
    for part in parts:
        canvas.paste(part, (left, 0))
        left += part.width + GAP
    return canvas


def steps_of(page: Path) -> Image.Image:
    """Every step of the photograph, as `edge predict --show-steps` draws it."""
    prediction = edge.load(MODEL, provider="cpu").predict(page)
    return steps.draw(page.name, steps.trace(preprocessing.luminance(page)), prediction.top(3))


def read_page() -> Image.Image:
    """Two lines of digits on ruled paper, and what was read."""
    side, step = 84, 66
    cover = np.zeros((2 * side + 90, max(map(len, NUMBERS)) * step + 100))
    for row, text in enumerate(NUMBERS):
        signs = [sign for sign in text if sign != " "]
        images, _ = strokes.sample(len(signs), seed=NUMBERS_SEED + row, labels=np.array(signs, np.int64))
        places = [place for place, sign in enumerate(text) if sign != " "]
        for place, image in zip(places, images, strict=True):
            large = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
            top, left = 30 + row * (side + 20), 40 + place * step
            part = cover[top : top + side, left : left + side]
            np.maximum(part, np.asarray(large) / 255, out=part)
    settings = paper.PageSettings(ruled=True, grid=False, shadow=True)
    pixels = paper.photograph(cover, np.random.default_rng(NUMBERS_SEED), settings)
    grey = preprocessing.luminance(pixels)
    return annotate(grey, read_grey_page(grey, edge.load(MODEL, provider="cpu")))


def rows_of(image: NDArray[np.uint8]) -> belief.BeliefChart:
    """What the recurrent model believes after each row."""
    classifier = edge.load(MODEL, provider="cpu")
    beliefs = belief.rows(classifier, image)
    answer = classifier.labels.index(classifier.predict_image(image).label)
    settled = belief.settled_row(beliefs, answer)
    return belief.BeliefChart("digit.png", MODEL, classifier.labels, image, beliefs, answer, settled)


def map_of(image: NDArray[np.uint8]) -> occlusion.OcclusionMap:
    """What the answer of the convolutional model hangs on."""
    classifier = edge.load(CNN, provider="cpu")
    return occlusion.OcclusionMap("digit.png", CNN, classifier.labels, image, occlusion.measure(classifier, image))


def bars_of(probabilities: dict[str, float], best: str) -> Image.Image:
    """A horizontal bar for each label."""
    width, row = 260, HEIGHT // len(probabilities)
    pen = Pen(width, HEIGHT, oversampling=1)
    for index, (label, share) in enumerate(probabilities.items()):
        top = index * row
        pen.text(0, top + row // 2, label, size=18)
        pen.box(24, top + 8, 25 + max(1, round(160 * share)), top + row - 7, BLUE)
        if label == best:
            pen.text(192, top + row // 2, f"{share:.1%}", size=18)
    return pen.finished()


if __name__ == "__main__":
    main()

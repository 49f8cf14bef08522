"""Any picture becomes the image that the model sees: upright ink in a 20x20 box, and nothing else of the picture."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from edge.errors import InputError, PictureNotFoundError
from edge.picture import preprocessing, steps

# A 7 with a bar through it, in a unit square: it has no symmetry, so that a wrong turn or a lost stroke shows.
SEVEN = [[(0.1, 0.05), (0.9, 0.05), (0.35, 0.95)], [(0.3, 0.5), (0.8, 0.5)]]
FIVE_WITH_LOOSE_BAR = [
    [(0.2, 0.1), (0.18, 0.45), (0.6, 0.4), (0.8, 0.65), (0.6, 0.92), (0.15, 0.9)],
    [(0.35, 0.0), (0.9, 0.0)],
]
ONE = [[(0.5, 0.0), (0.48, 1.0)]]


def drawn(
    strokes=SEVEN, *, size=(300, 400), at=(80, 110), height=180, pen=16, paper=255, ink=0, image=None
) -> Image.Image:
    """Strokes of a pen, smooth, on a sheet or over an image."""
    fine = 4
    mask = Image.new("L", (size[0] * fine, size[1] * fine), 0)
    pencil = ImageDraw.Draw(mask)
    for points in strokes:
        path = [((at[0] + x * height * 0.7) * fine, (at[1] + y * height) * fine) for x, y in points]
        pencil.line(path, fill=255, width=max(1, round(pen * fine)), joint="curve")
        for x, y in path:
            radius = pen * fine / 2
            pencil.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)
    sheet = image if image is not None else Image.new("L", size, paper)
    sheet.paste(ink, (0, 0, *size), mask.resize(size, Image.Resampling.BOX))
    return sheet


def image_of(source: Image.Image) -> np.ndarray:
    return preprocessing.normalise(np.asarray(source))


@pytest.fixture(scope="module")
def plain() -> np.ndarray:
    """The image of the 7 drawn on a clean sheet: what every other way to draw it must come near to."""
    return image_of(drawn())


def same_digit(found: np.ndarray, expected: np.ndarray, least: float = 0.85) -> bool:
    """Whether two images agree but for a pixel's shift and the stroke width: correlation after a slight blur."""
    first, second = (
        np.asarray(Image.fromarray(each).filter(ImageFilter.GaussianBlur(1.2)), np.float64)
        for each in (found, expected)
    )
    best = max(
        float(np.corrcoef(np.roll(first, (down, across), (0, 1)).ravel(), second.ravel())[0, 1])
        for down in (-1, 0, 1)
        for across in (-1, 0, 1)
    )
    return best >= least


def mnist_like() -> np.ndarray:
    image = np.zeros((28, 28), np.uint8)
    image[5:23, 12:15] = np.random.default_rng(3).integers(1, 256, (18, 3))
    return image


# The frame


def test_the_ink_fills_a_box_of_twenty_pixels(plain):
    rows, columns = np.flatnonzero(plain.any(axis=1)), np.flatnonzero(plain.any(axis=0))
    assert plain.dtype == np.uint8
    assert plain.shape == (28, 28)
    assert max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1 == 20


@pytest.mark.parametrize("strokes", [SEVEN, FIVE_WITH_LOOSE_BAR, ONE])
def test_the_centre_of_mass_lies_in_the_middle(strokes):
    image = image_of(drawn(strokes)).astype(float)
    for axis in (0, 1):
        mass = image.sum(axis=1 - axis)
        assert abs((mass * np.arange(28)).sum() / mass.sum() - 14) <= 0.5


def test_strokes_are_white_with_grey_rims(plain):
    assert plain.max() == 255
    assert np.count_nonzero((plain > 20) & (plain < 235)) > 0


def test_the_same_picture_gives_the_same_bytes_again_and_leaves_the_source_alone():
    grey = np.asarray(drawn()).copy()
    before = grey.copy()
    first = preprocessing.normalise(grey)
    np.testing.assert_array_equal(first, preprocessing.normalise(grey))
    np.testing.assert_array_equal(grey, before)


# Images as MNIST's


def test_an_image_as_mnists_passes_bit_for_bit_by_every_way(tmp_path):
    image = mnist_like()
    Image.fromarray(image).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    for source in (
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        content,
        io.BytesIO(content),
        Image.fromarray(image),
        image,
    ):
        np.testing.assert_array_equal(preprocessing.read(source), image)


def test_what_passes_through_is_a_copy():
    image = mnist_like()
    preprocessing.normalise(image)[:] = 7
    np.testing.assert_array_equal(image, mnist_like())


def test_a_blank_or_full_image_of_that_size_does_no_harm():
    assert not preprocessing.normalise(np.zeros((28, 28), np.uint8)).any()
    assert not preprocessing.normalise(np.full((28, 28), 255, np.uint8)).any()


def test_an_image_as_mnists_passes_dark_on_light_too(golden):
    for _, image in golden:
        np.testing.assert_array_equal(preprocessing.normalise(255 - image), image)
    off = np.roll(255 - golden[0][1], 4, axis=1)
    assert not np.array_equal(preprocessing.normalise(off), 255 - off)
    assert preprocessing.normalise(np.full((28, 28), 250, np.uint8)).max() == 0


def test_small_pictures_of_dark_ink_are_turned_and_framed(plain):
    small = drawn(size=(28, 28), at=(6, 3), height=22, pen=2.5)
    assert not preprocessing.is_ready(np.asarray(small))
    assert same_digit(image_of(small), plain)


def test_a_grey_border_is_not_taken_for_mnists():
    assert not preprocessing.is_ready(np.full((28, 28), preprocessing.DARK_BORDER + 1, np.uint8))
    assert preprocessing.is_ready(np.full((28, 28), preprocessing.DARK_BORDER, np.uint8))


# Where from


def test_every_kind_of_source_gives_the_same(tmp_path, plain):
    sheet = drawn()
    sheet.save(tmp_path / "a.png")
    colours = np.asarray(sheet.convert("RGB"))
    alpha = np.dstack([colours, np.full(colours.shape[:2], 255, np.uint8)])
    for source in (tmp_path / "a.png", (tmp_path / "a.png").read_bytes(), sheet, np.asarray(sheet), colours, alpha):
        np.testing.assert_array_equal(preprocessing.read(source), plain)


@pytest.mark.parametrize("ink", [0, 255])
def test_ink_on_a_transparent_ground_is_found_whatever_its_colour(tmp_path, plain, ink):
    mask = drawn().point(lambda value: 255 - value)
    Image.merge("LA", [Image.new("L", mask.size, ink), mask]).save(tmp_path / "a.png")
    assert same_digit(preprocessing.read(tmp_path / "a.png"), plain)


def test_a_picture_held_sideways_is_read_upright(tmp_path, plain):
    exif = Image.Exif()
    exif[0x0112] = 6
    drawn().transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.jpg", exif=exif, quality=95)
    assert same_digit(preprocessing.read(tmp_path / "a.jpg"), plain)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((28, 28)),
        np.zeros((28, 28), np.float32),
        np.zeros((28, 28), np.int64),
        np.zeros((28, 28), np.bool_),
        np.zeros((28, 28), np.uint16),
        np.array(3, np.uint8),
        np.zeros(784, np.uint8),
        np.zeros((28, 28, 1), np.uint8),
        np.zeros((28, 28, 2), np.uint8),
        np.zeros((28, 28, 5), np.uint8),
        np.zeros((1, 28, 28, 3), np.uint8),
        np.zeros((20, 28, 28), np.uint8),
        np.zeros((9, 9, 2), np.uint8),
        np.zeros((0, 28), np.uint8),
        np.zeros((28, 0, 3), np.uint8),
    ],
    ids=lambda pixels: f"{pixels.dtype}-{'x'.join(map(str, pixels.shape))}",
)
def test_arrays_that_are_no_picture_are_refused(pixels):
    with pytest.raises(InputError) as caught:
        preprocessing.read(pixels)
    message = str(caught.value)
    assert message.isprintable()
    assert str(pixels.dtype) in message
    assert str(pixels.shape) in message
    assert "; give uint8" in message


def test_normalise_takes_grey_only():
    with pytest.raises(InputError, match=r"uint8 \(H, W\)"):
        preprocessing.normalise(np.zeros((9, 9, 3), np.uint8))


def test_errors_of_reading_come_through(tmp_path):
    with pytest.raises(PictureNotFoundError):
        preprocessing.read(tmp_path / "none.png")


# Ink of every kind


@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (0, 255), (200, 60), (60, 200), (240, 225), (20, 34), (128, 118)])
def test_both_polarities_and_faint_ink_give_the_same_digit(plain, paper, ink):
    assert same_digit(image_of(drawn(paper=paper, ink=ink)), plain)


@pytest.mark.parametrize("pen", [1, 2, 5, 30, 40])
def test_thin_and_thick_pens_give_the_same_digit(plain, pen):
    assert same_digit(image_of(drawn(pen=pen)), plain, 0.75)


def test_the_line_of_a_thin_pen_does_not_fade_away():
    image = image_of(drawn(size=(900, 1200), at=(200, 200), height=800, pen=1))
    assert image.max() >= 200
    assert image.astype(int).sum() / 255 > 25


@pytest.mark.parametrize(
    "change",
    [
        {"at": (2, 2)},
        {"at": (170, 215)},
        {"height": 30, "pen": 3, "at": (200, 40)},
        {"size": (1500, 1100), "at": (1300, 60), "height": 60, "pen": 6},
        {"size": (140, 195), "at": (8, 8)},
    ],
)
def test_it_is_found_small_off_centre_near_an_edge_and_in_a_tight_crop(plain, change):
    assert same_digit(image_of(drawn(**change)), plain)


def test_a_blurred_digit_is_found(plain):
    assert same_digit(image_of(drawn().filter(ImageFilter.GaussianBlur(7))), plain)


def test_a_noisy_digit_is_found(plain):
    noise = np.random.default_rng(0).normal(0, 15, (400, 300))
    grey = np.clip(np.asarray(drawn(paper=220, ink=130)) + noise, 0, 255).astype(np.uint8)
    assert same_digit(preprocessing.normalise(grey), plain)


def test_a_loose_bar_belongs_to_its_digit():
    with_bar = image_of(drawn(FIVE_WITH_LOOSE_BAR, pen=10))
    without = image_of(drawn(FIVE_WITH_LOOSE_BAR[:1], pen=10))
    assert with_bar[3:8].astype(int).sum() > 0
    assert not same_digit(with_bar, without, 0.95)


# Light and paper


@pytest.mark.parametrize("direction", [0, 1, 2, 3])
def test_a_slope_of_light_is_removed(plain, direction):
    slope = np.rot90(np.tile(np.linspace(0.3, 1, 400), (400, 1)), direction)[:, :300]
    grey = (np.asarray(drawn(paper=230, ink=80)) * slope).astype(np.uint8)
    assert same_digit(preprocessing.normalise(grey), plain)


@pytest.mark.parametrize("slant", [-0.6, 0.0, 0.9])
def test_a_shadow_across_the_digit_is_removed(plain, slant):
    rows, columns = np.mgrid[:400, :300]
    light = np.where(columns - 150 + slant * (rows - 200) > 0, 1.0, 0.55)
    grey = (np.asarray(drawn(paper=230, ink=70)) * light).astype(np.uint8)
    assert same_digit(preprocessing.normalise(grey), plain)


@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("tone", [90, 190])
def test_ruled_and_grid_lines_are_left_out(plain, grid, tone):
    sheet = Image.new("L", (300, 400), 245)
    pencil = ImageDraw.Draw(sheet)
    for row in range(12, 400, 45):
        pencil.line([(0, row), (300, row + 5)], fill=tone, width=2)
    for column in range(20, 300, 45) if grid else ():
        pencil.line([(column, 0), (column - 5, 400)], fill=tone, width=2)
    assert same_digit(image_of(drawn(image=sheet, ink=20)), plain)


@pytest.mark.parametrize("pen", [6, 14])
def test_a_one_from_edge_to_edge_is_no_ruled_line(pen):
    image = image_of(drawn(ONE, size=(300, 400), at=(80, -20), height=440, pen=pen))
    columns, rows = np.flatnonzero(image.any(axis=0)), np.flatnonzero(image.any(axis=1))
    assert columns[-1] - columns[0] < 8
    assert rows[-1] - rows[0] == 19


@pytest.mark.parametrize("kind", ["drawn frame", "dark border", "page edge", "scan strip"])
def test_frames_and_edges_are_left_out(plain, kind):
    sheet = Image.new("L", (300, 400), 240)
    pencil = ImageDraw.Draw(sheet)
    if kind == "drawn frame":
        pencil.rectangle([30, 40, 270, 360], outline=20, width=5)
    elif kind == "dark border":
        pencil.rectangle([0, 0, 299, 399], outline=30, width=28)
    elif kind == "page edge":
        pencil.polygon([(0, 400), (0, 345), (300, 360), (300, 400)], fill=50)
    else:
        pencil.rectangle([0, 0, 7, 399], fill=0)
    assert same_digit(image_of(drawn(image=sheet, ink=20)), plain)


def test_specks_are_left_out(plain):
    sheet = Image.new("L", (300, 400), 240)
    pencil = ImageDraw.Draw(sheet)
    for x, y in ((30, 30), (270, 60), (40, 350), (260, 370), (150, 20)):
        pencil.ellipse([x - 4, y - 4, x + 4, y + 4], fill=30)
    assert same_digit(image_of(drawn(image=sheet, ink=20)), plain)


@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_blank_sheet_gives_no_ink(level):
    assert not preprocessing.normalise(np.full((300, 200), level, np.uint8)).any()


def test_shading_on_a_blank_sheet_is_no_ink():
    slope = np.linspace(0.4, 1, 300)
    rows, columns = np.mgrid[:300, :300]
    vignette = 1 - ((rows - 150) ** 2 + (columns - 150) ** 2) / 90_000
    for light in (slope[None] * slope[:, None], vignette):
        assert not preprocessing.normalise((240 * light).astype(np.uint8)).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 3), (5, 900), (28, 27)])
def test_pictures_of_any_shape_do_no_harm(shape):
    noise = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    assert preprocessing.normalise(noise).shape == (28, 28)


# Steps, recipe, terminal


def test_the_steps_are_those_explained_and_end_in_the_image(plain):
    shown = steps.trace(np.asarray(drawn()))
    assert [name for name, _ in shown] == list(steps.SENTENCES)
    assert all(each.dtype == np.uint8 and each.ndim == 2 for _, each in shown)
    np.testing.assert_array_equal(shown[-1][1], plain)


def test_steps_not_taken_are_not_shown():
    assert [name for name, _ in steps.trace(mnist_like())] == ["picture", "28x28"]
    assert "close-up" not in dict(steps.trace(np.full((90, 90), 255, np.uint8)))


def test_the_recipe_can_be_written_as_json_and_names_what_is_done():
    import json

    assert json.loads(json.dumps(preprocessing.RECIPE)) == preprocessing.RECIPE
    assert {"version", "box", "centring", "resampling", "polarity"} <= preprocessing.RECIPE.keys()
    assert preprocessing.RECIPE["box"] == 20

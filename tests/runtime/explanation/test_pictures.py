"""The pictures of an explanation: what stands where, and that every kind of model can be drawn."""

import io

import numpy as np
import pytest
from PIL import Image

from edge import drawing
from edge.explanation import belief, occlusion
from edge.explanation.occlusion import Occlusion

DIGITS = tuple("0123456789")


def beliefs_of(*leaders: int, classes: int = 10, share: float = 0.9) -> np.ndarray:
    beliefs = np.full((28, classes), (1 - share) / (classes - 1), np.float32)
    beliefs[np.arange(28), leaders] = share
    return beliefs


@pytest.fixture(scope="module")
def scene(golden):
    beliefs = beliefs_of(*[1] * 12, *[7] * 16)
    return belief.BeliefChart("digit.png", "lstm-int8", DIGITS, golden[7][1], beliefs, answer=7, settled=13)


@pytest.fixture(scope="module")
def animation(scene):
    return belief.gif(scene)


def part(picture: Image.Image, *box: float, pixels: int = 1) -> np.ndarray:
    """The pixels between left, top, right and bottom, in points."""
    left, top, right, bottom = (round(edge * pixels) for edge in box)
    return np.asarray(picture)[top:bottom, left:right]


def of_colour(pixels: np.ndarray, colour: str) -> int:
    return int((pixels == drawing.rgb(colour).astype(np.uint8)).all(-1).sum())


def digit_in(picture: Image.Image) -> np.ndarray:
    """The middle of each cell of the digit, uint8 (28, 28, 3)."""
    tile = part(picture, belief.LEFT, belief.TOP, belief.LEFT + belief.TILE, belief.BOTTOM)
    return tile[belief.CELL // 2 :: belief.CELL, belief.CELL // 2 :: belief.CELL]


def test_the_digit_stands_there_pixel_by_pixel(scene):
    np.testing.assert_array_equal(digit_in(belief.frame(scene, 28, pixels=1)), drawing.paper(scene.image))


def test_rows_that_are_not_read_yet_are_not_seen(scene):
    shown = digit_in(belief.frame(scene, 10, pixels=1))
    np.testing.assert_array_equal(shown[:10], drawing.paper(scene.image)[:10])
    assert (shown[10:] == drawing.rgb(drawing.UNREAD)).all()


def test_the_leading_label_of_each_row_has_its_colour(scene):
    picture = belief.frame(scene, 28, pixels=1)
    for row, column in ((0, 1), (11, 1), (12, 7), (27, 7)):
        top = belief.TOP + row * belief.CELL
        cell = part(picture, belief.STRIP_LEFT, top, belief.STRIP_LEFT + belief.STRIP_WIDTH, top + belief.CELL)
        assert of_colour(cell, drawing.SERIES[column]) > cell.shape[0] * cell.shape[1] / 2


def test_a_curve_runs_beside_the_row_at_its_belief(scene):
    picture = belief.frame(scene, 28, pixels=1)
    x = belief.CHART_LEFT + 0.9 * belief.CHART_WIDTH
    for row, column in ((5, 1), (25, 7)):
        y = belief.TOP + (row + 0.5) * belief.CELL
        assert of_colour(part(picture, x - 2, y - 2, x + 3, y + 3), drawing.SERIES[column])


def test_a_chart_ends_at_the_row_that_was_read_last(scene):
    below = belief.TOP + 11 * belief.CELL
    chart = part(belief.frame(scene, 10, pixels=1), belief.CHART_LEFT - 4, below, belief.BARS_LEFT, belief.BOTTOM)
    assert not any(of_colour(chart, colour) for colour in drawing.SERIES)


def test_the_bars_grow_with_the_belief(scene):
    early, late = (
        part(belief.frame(scene, count, pixels=1), belief.BAR_LEFT, belief.TOP, belief.WIDTH, belief.BOTTOM)
        for count in (5, 28)
    )
    assert of_colour(early, drawing.SERIES[1]) > 10 * of_colour(late, drawing.SERIES[1])
    assert of_colour(late, drawing.SERIES[7]) > 10 * of_colour(early, drawing.SERIES[7])


def test_the_line_of_settlement_is_drawn_once_everything_is_read(scene):
    def line(count):
        y = belief.TOP + 13 * belief.CELL
        left = belief.CHART_LEFT - 10  # between the strip and the chart
        return part(belief.frame(scene, count, pixels=1), left, y - 1, left + 9, y + 1).min()

    assert line(28) < 80
    assert line(27) == 255


def test_the_png_is_drawn_the_same_each_time_in_twice_the_pixels(scene):
    drawn = belief.png(scene)
    with Image.open(io.BytesIO(drawn)) as picture:
        assert picture.format == "PNG"
        assert picture.size == (2 * belief.WIDTH, 2 * belief.HEIGHT)
    assert belief.png(scene) == drawn


def test_the_animation_reveals_a_row_at_a_time_and_rests_at_the_end(animation):
    with Image.open(io.BytesIO(animation)) as frames:
        assert (frames.format, frames.n_frames, frames.info["loop"]) == ("GIF", 28, 0)
        durations, read = [], []
        for number in range(frames.n_frames):
            frames.seek(number)
            durations.append(frames.info["duration"])
            unread = (digit_in(frames.convert("RGB")) == drawing.rgb(drawing.UNREAD)).all(axis=(1, 2))
            read.append(28 - int(unread.sum()))
    assert read == list(range(1, 29))
    assert durations == [belief.ROW_MS] * 27 + [belief.LAST_MS]


def test_the_colours_of_the_animation_are_the_picture_s(scene, animation):
    with Image.open(io.BytesIO(animation)) as frames:
        frames.seek(27)
        found = np.asarray(frames.convert("RGB")).astype(int)
    expected = np.asarray(belief.frame(scene, 28, pixels=1)).astype(int)
    assert tuple(found[0, 0]) == (255, 255, 255)
    assert np.abs(found - expected).max() < 64
    assert np.abs(found - expected).mean() < 1


def test_many_classes_give_ten_curves_and_the_answer_is_one_of_them(scene):
    beliefs = beliefs_of(*range(28), classes=40)
    columns = belief.shown(beliefs, answer=35)
    assert len(columns) == 10
    assert 35 in columns
    assert columns == sorted(columns)
    labels = tuple(f"a class with a long name {number}" for number in range(40))
    wide = belief.BeliefChart("x" * 300, "m" * 30, labels, scene.image, beliefs, answer=35, settled=None)
    assert belief.frame(wide, 28, pixels=1).size == (belief.WIDTH, belief.HEIGHT)


def test_two_classes_give_two_curves(scene):
    beliefs = beliefs_of(*[1] * 28, classes=2)
    assert belief.shown(beliefs, answer=1) == [0, 1]
    two = belief.BeliefChart("d", "m", ("no", "yes"), scene.image, beliefs, answer=1, settled=1)
    assert belief.frame(two, 28, pixels=1).size == (belief.WIDTH, belief.HEIGHT)


@pytest.fixture
def found():
    hidden = np.zeros((28, 28, 10), np.float32)
    hidden[:, :, 4] = 0.9
    hidden[10, 12, 4], hidden[10, 12, 9] = 0.3, 0.6
    hidden[20, 20, 4] = 0.99
    return Occlusion(answer=4, confidence=0.9, patch=5, hidden=hidden)


def test_the_map_is_red_where_hiding_costs_belief_and_blue_where_it_helps(found, golden):
    pixels = occlusion.coloured(np.zeros((28, 28), np.uint8), found.drop, 0.6).astype(int)
    assert pixels[10, 12, 0] > pixels[10, 12, 2] + 80
    assert pixels[20, 20, 2] > pixels[20, 20, 0] + 10
    assert (pixels[0, 0] == 255).all()
    np.testing.assert_array_equal(
        occlusion.coloured(golden[0][1], np.zeros((28, 28), np.float32), 0.6),
        drawing.paper(golden[0][1], drawing.PALE_INK),
    )


def test_the_patch_that_is_drawn_is_the_one_that_was_hidden():
    image = np.full((28, 28), 255, np.uint8)
    covered = occlusion.hidden(image, 5, 0, 27)
    assert not covered[:3, 25:].any()
    assert np.count_nonzero(covered) == 28 * 28 - 9


def test_the_map_is_drawn_with_a_rise_and_without(found, golden):
    for hidden in (found.hidden, np.minimum(found.hidden, np.float32(0.9))):
        scene = occlusion.OcclusionMap("d.png", "cnn", DIGITS, golden[0][1], Occlusion(4, 0.9, 5, hidden))
        with Image.open(io.BytesIO(occlusion.png(scene))) as picture:
            assert picture.size == (occlusion.PIXELS * occlusion.WIDTH, occlusion.PIXELS * occlusion.HEIGHT)
            legend = occlusion.LEFTS[1] + occlusion.TILE + 14
            bar = part(
                picture,
                legend,
                occlusion.TOP,
                legend + occlusion.LEGEND_WIDTH,
                occlusion.TOP + occlusion.TILE,
                pixels=occlusion.PIXELS,
            )
        blue = int((bar[..., 2].astype(int) - bar[..., 0] > 60).sum())
        assert bool(blue) == (hidden is found.hidden)


def test_lines_show_number_ink_leader_and_belief_of_each_row(golden):
    image = golden[7][1]
    beliefs = beliefs_of(*[1] * 12, *[7] * 16)
    head, *rows = belief.lines(image, beliefs, DIGITS, 13)
    assert head.split() == ["row", "leads", "belief"]
    assert [int(row.split()[0]) for row in rows] == list(range(1, 29))
    assert [row.endswith("settled") for row in rows].index(True) == 12
    assert sum("settled" in row for row in rows) == 1
    for row, pixels in zip(rows, image, strict=True):
        assert any(shade in row[5 : row.index("90.0 %")] for shade in "░▒▓█") == pixels.any()
    assert max(map(len, rows)) <= 100


def test_lines_need_no_unicode_and_cope_with_a_blank_image():
    rows = belief.lines(np.zeros((28, 28), np.uint8), beliefs_of(*[1] * 28), DIGITS, 1, unicode=False)
    assert len(rows) == 29
    assert all(row.isascii() for row in rows)


def test_a_close_call_is_told():
    assert belief.settlement(None, "4", "9").startswith("a close call: in floating point 9 leads")
    assert belief.settlement(1, "4", "4") == "4 leads from the first row on"
    assert belief.settlement(20, "4", "4") == "after row 20 the answer no longer changes: 4"


def test_where_the_answer_hangs_is_told_counting_from_1(found):
    told = occlusion.sentence(found, DIGITS)
    assert told.startswith(
        "4 hangs most on row 11, column 13: with 5x5 pixels hidden there it falls from 90.0 % to 30.0 %"
    )
    assert told.endswith("and 9 leads with 60.0 %")
    level = Occlusion(4, 0.9, 5, np.where(np.arange(10) == 4, np.float32(0.88), np.float32(0)) + np.zeros((28, 28, 1)))
    assert (
        "hangs on no single place: no hidden patch of 5x5 pixels costs it more than 2.0 points"
        in occlusion.sentence(level, DIGITS)
    )

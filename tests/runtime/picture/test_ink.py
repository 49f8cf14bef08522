"""What the steps from a grey picture to its ink are built on: components, windows, levels, stroke widths."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from edge.picture.ink import binarisation, normalisation
from edge.picture.ink.binarisation import ink_polarity
from edge.picture.ink.components import connect, find_runs, measure, stroke_width
from edge.picture.ink.morphology import close, dilate, erode, local_means, pad, squared_distance


def drawn(paper=235, ink=40):
    """A 7 with strokes of 14 pixels on a sheet of 300x400."""
    image = Image.new("L", (300, 400), paper)
    ImageDraw.Draw(image).line([(80, 110), (220, 110), (130, 300)], fill=ink, width=14)
    return image


def components(mask):
    return connect(find_runs(mask))


def test_touching_pixels_share_a_number_even_over_long_detours():
    spiral = np.zeros((21, 21), np.bool_)
    for ring in range(0, 10, 2):
        spiral[ring, ring : 21 - ring] = spiral[ring : 21 - ring, 20 - ring] = True
        spiral[20 - ring, ring : 21 - ring] = spiral[ring + 2 : 21 - ring, ring] = True
        spiral[ring + 2, ring : ring + 3] = True
    assert components(spiral).count == 1
    np.testing.assert_array_equal(components(spiral).labels(), spiral)
    assert components(np.eye(5, dtype=np.bool_)).count == 1
    corners = np.array([[1, 0, 1], [0, 0, 0], [1, 0, 1]], np.bool_)
    np.testing.assert_array_equal(components(corners).labels(), [[1, 0, 2], [0, 0, 0], [3, 0, 4]])
    assert components(np.zeros((3, 3), np.bool_)).count == 0


def test_runs_end_with_their_row():
    mask = np.array([[0, 1, 1], [1, 1, 0], [1, 0, 1]], np.bool_)
    runs = find_runs(mask)
    assert runs.lengths.tolist() == [2, 2, 1, 1]
    assert runs.rows.tolist() == [0, 1, 2, 2]
    np.testing.assert_array_equal(runs.paint(np.array([5, 6, 7, 8])), [[0, 5, 5], [6, 6, 0], [7, 0, 8]])


def test_the_pixels_of_a_component_are_summed_and_painted():
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 1]], np.bool_)
    image = np.array([[1, 2, 4, 8], [16, 32, 64, 128]], np.uint8)
    assert components(mask).sums(image).tolist() == [0, 3, 136]
    np.testing.assert_array_equal(components(mask).paint(np.array([9, 0, 1])), [[0, 0, 0, 1], [0, 0, 0, 1]])


def test_measures_of_a_rectangle_are_its_own():
    mask = np.zeros((40, 50), np.bool_)
    mask[0:30, 10:20] = True
    measures = measure(components(mask))
    assert (measures.area[1], measures.top[1], measures.left[1], measures.bottom[1], measures.right[1]) == (
        300,
        0,
        10,
        30,
        20,
    )
    assert measures.on_edge[1] == 10
    assert measures.perimeter[1] == pytest.approx(80, rel=0.08)


def test_the_stroke_width_of_a_mask_is_that_of_one_component():
    ring = np.asarray(drawn()) < 128
    assert components(ring).count == 1
    assert stroke_width(ring) == measure(components(ring)).stroke_width[1]
    assert stroke_width(np.zeros((5, 5), np.bool_)) == 0


def test_margins_are_those_of_numpy():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(pad(image, 2), np.pad(image, 2))
    np.testing.assert_array_equal(pad(image, 0, 3, 9), np.pad(image, ((0, 0), (3, 3)), constant_values=9))
    assert pad(image > 3, 1).dtype == np.bool_


def test_windows_agree_with_their_definition():
    image = np.random.default_rng(2).integers(0, 256, (13, 17), dtype=np.uint8)
    for reach in (1, 2, 5):
        for row, column in ((0, 0), (6, 8), (12, 16)):
            part = image[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
            assert dilate(image, reach)[row, column] == part.max()
            assert erode(image, reach)[row, column] == part.min()
            assert local_means(image, [reach])[0][row, column] == int(part.sum(dtype=np.int64)) // part.size


def test_closing_removes_narrow_darkness_and_keeps_wide():
    image = np.full((60, 60), 200, np.uint8)
    image[:, 10:14] = 50
    image[30:, 20:] = 90
    kept = close(image, 11, overhang=False)
    assert (kept[:25, 8:16] == 200).all()
    assert (kept[31:, 21:] == 90).all()


def test_distances_are_exact_within_reach():
    mask = np.zeros((9, 9), np.bool_)
    mask[4, 4] = True
    distance = squared_distance(mask, 3)
    assert distance[4, 4] == 0
    assert distance[2, 3] == 5
    assert distance[4, 8] >= 16


def test_the_split_lies_between_two_groups():
    counts = np.bincount([10] * 50 + [12] * 50 + [200] * 5, minlength=256)
    assert 12 <= binarisation.otsu_threshold(counts) < 200


def test_two_tones_are_told_from_a_slope():
    two = np.zeros(256, np.int64)
    two[[30, 200]] = 500, 300
    assert binarisation.separability(two) == 1
    assert binarisation.separability(np.ones(256, np.int64)) == pytest.approx(0.75, abs=0.001)
    assert binarisation.separability(np.bincount([7, 7], minlength=256)) == 0


def test_noise_is_measured_beside_strokes_and_slopes():
    random = np.random.default_rng(0)
    sloping = np.asarray(drawn(paper=200)).astype(float) * np.linspace(0.6, 1, 300)
    noisy = np.clip(sloping + random.normal(0, 6, (400, 300)), 0, 255).astype(np.uint8)
    assert binarisation.noise_deviation(noisy) == pytest.approx(6, rel=0.2)
    assert binarisation.noise_deviation(np.full((50, 50), 9, np.uint8)) == 0


def test_rare_levels_nearby_are_ink():
    assert ink_polarity(np.asarray(drawn())) < -0.3
    assert ink_polarity(np.asarray(drawn(paper=0, ink=255))) > 0.3
    assert ink_polarity(np.full((50, 50), 9, np.uint8)) == 0


def test_stroke_widths_come_into_range():
    for pixels in (2, 60):
        ink = np.zeros((160, 160), np.bool_)
        ink[:, 80 : 80 + pixels] = True
        ink[:pixels, :] = True
        before, after = (
            normalisation.image_stroke_width(ink),
            normalisation.image_stroke_width(normalisation.adjust_stroke_width(ink)),
        )
        middle = (normalisation.THINNEST + normalisation.THICKEST) / 2
        assert abs(after - middle) < abs(before - middle)

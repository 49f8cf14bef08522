"""`edge read`: lines of digits on a page, with boxes, from left to right and from top to bottom."""

import io
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from edge.classifier.page import annotate, read_page
from edge.picture.ink.components import connect, find_runs
from edge.picture.ink.lattice import USUAL_ODDITY, doubt, find_cuts

SIZE = 84  # pixels of the 28x28 image on the page: digits are some 60 high
MARGIN = 50
MODEL = "cnn"


def page(digits, lines, *, step=66, between=90, slope=0.0, ink=30, paper=240):
    """Lines of digits, each given as a text."""
    width = 2 * MARGIN + SIZE + step * (max(map(len, lines)) - 1)
    sheet = Image.new("L", (width, 2 * MARGIN + SIZE + between * (len(lines) - 1)), paper)
    for row, text in enumerate(lines):
        for place, digit in enumerate(text):
            mask = Image.fromarray(digits[digit]).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
            at = MARGIN + place * step, round(MARGIN + row * between + slope * place * step)
            sheet.paste(Image.new("L", mask.size, ink), at, mask)
    return sheet


def texts(sheet, classifier):
    return [line.text for line in read_page(sheet, classifier).lines]


def test_digits_come_from_left_to_right(digits, classifier):
    assert texts(page(digits, ["3141592650"]), classifier) == ["3141592650"]


def test_lines_come_from_top_to_bottom(digits, classifier):
    lines = ["0171", "55823", "96"]
    assert texts(page(digits, lines), classifier) == lines


def test_a_slanted_line_is_one_line(digits, classifier):
    assert texts(page(digits, ["27182818"], slope=0.06), classifier) == ["27182818"]


def test_light_digits_on_dark_are_read(digits, classifier):
    assert texts(page(digits, ["90210"], ink=230, paper=25), classifier) == ["90210"]


def test_ruled_paper_and_a_shadow_are_read_over(digits, classifier):
    sheet = page(digits, ["4815", "1623"])
    for row in range(15, sheet.height, 34):
        ImageDraw.Draw(sheet).line((0, row, sheet.width, row), fill=180, width=2)
    light = np.where(np.arange(sheet.width) > sheet.width // 2, 0.6, 1.0)
    shaded = Image.fromarray((np.asarray(sheet) * light).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))
    assert texts(shaded, classifier) == ["4815", "1623"]


def test_digits_that_touch_are_cut_apart(digits, classifier):
    close = page(digits, ["8326"], step=46)
    assert connect(find_runs(np.asarray(close) < 128)).count < 4
    assert texts(close, classifier) == ["8326"]


@pytest.mark.parametrize(("text", "step"), [("24", 50), ("21", 42), ("62", 42)])
def test_two_that_touch_are_not_one_odd_digit(text, step, digits, classifier):
    close = page(digits, [text], step=step)
    assert connect(find_runs(np.asarray(close) < 128)).count == 1
    assert texts(close, classifier) == [text]


def test_the_odder_and_the_wider_a_candidate_the_more_it_costs():
    assert doubt(1.0, USUAL_ODDITY, 3.0) == 0
    costs = [doubt(1.0, oddity, digits) for oddity, digits in ((0.9, 1.0), (1.1, 1.0), (1.1, 1.5), (1.1, 2.0))]
    assert costs == sorted(set(costs))
    assert doubt(1.0, 5.0, 1.0) == doubt(1.0, 50.0, 1.0)
    assert doubt(0.5, 0.0, 1.0) > doubt(0.9, 0.0, 1.0) > 0


def test_a_digit_in_two_pieces_stays_one(digits, classifier):
    sheet = page(digits, ["505"])
    for row in (MARGIN + 34, MARGIN + 50):
        ImageDraw.Draw(sheet).line((0, row, sheet.width, row + 2), fill=240, width=2)
    assert texts(sheet, classifier) == ["505"]


def test_specks_dashes_and_an_underline_are_no_digits(digits, classifier):
    sheet = page(digits, ["5551", "2347"], step=80)
    pencil = ImageDraw.Draw(sheet)
    pencil.line((20, 12, 150, 14), fill=30, width=4)
    pencil.line((MARGIN + 4 * 80 - 8, MARGIN + 40, MARGIN + 4 * 80 + 10, MARGIN + 40), fill=30, width=5)
    for left, top in ((10, 100), (200, 20), (300, 230)):
        pencil.ellipse((left, top, left + 6, top + 6), fill=30)
    assert texts(sheet, classifier) == ["5551", "2347"]


def test_boxes_hold_the_ink_of_their_digit(digits, classifier):
    sheet = page(digits, ["06"], step=120)
    (line,) = read_page(sheet, classifier).lines
    for place, digit in enumerate(line.digits):
        rows, columns = np.nonzero(digits[digit.label] > 127)
        left, top = MARGIN + 120 * place + 3 * columns.min(), MARGIN + 3 * rows.min()
        right, bottom = MARGIN + 120 * place + 3 * (columns.max() + 1), MARGIN + 3 * (rows.max() + 1)
        assert np.abs(np.subtract(digit.box, (left, top, right, bottom))).max() <= 5
        assert 0 <= digit.confidence <= 1


def test_boxes_are_in_pixels_of_the_file_even_of_a_large_jpeg(digits, classifier):
    small = page(digits, ["47"], step=120)
    content = io.BytesIO()
    small.resize((small.width * 9, small.height * 9), Image.Resampling.BICUBIC).save(content, "JPEG", quality=90)
    (large_line,) = read_page(content.getvalue(), classifier).lines
    (line,) = read_page(small, classifier).lines
    assert large_line.text == line.text == "47"
    for large, one in zip(large_line.digits, line.digits, strict=True):
        assert np.abs(np.array(large.box) / 9 - one.box).max() <= 4


def test_an_image_as_mnists_is_one_digit_and_a_blank_page_has_no_line(digits, classifier):
    assert texts(digits["7"], classifier) == ["7"]
    assert texts(np.zeros((28, 28), np.uint8), classifier) == []
    assert texts(np.full((300, 200), 230, np.uint8), classifier) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 60), (60, 1), (30, 30), (20, 400)])
def test_pages_of_any_shape_do_no_harm(shape, classifier):
    noise = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    assert isinstance(read_page(noise, classifier).text, str)


def test_cuts_go_where_two_blobs_touch_and_never_cross():
    ink = np.zeros((60, 100), np.bool_)
    ink[:, :30] = ink[:, 60:] = True
    ink[28:32, :] = True
    paths, prices = find_cuts(ink, 4.0)
    assert len(paths) >= 1
    assert (paths >= 28).all()
    assert (paths <= 62).all()
    assert (np.diff(paths, axis=0) >= 0).all()
    assert min(prices) == pytest.approx(1, abs=0.3)


def test_the_annotate_copy_frames_every_digit(digits, classifier):
    sheet = page(digits, ["25"], step=120)
    reading = read_page(sheet, classifier)
    drawn = np.asarray(annotate(np.asarray(sheet), reading))
    coloured = drawn.max(axis=2).astype(int) - drawn.min(axis=2) > 60
    head = drawn.shape[0] - sheet.height
    for left, top, right, bottom in (digit.box for digit in reading.lines[0].digits):
        assert coloured[(top + bottom) // 2 + head, left - 4 : left + 1].any()
        assert coloured[bottom + head : bottom + head + 5, (left + right) // 2].any()
        assert not coloured[top + head : bottom + head, left:right].any()


def test_the_command_prints_a_line_for_each_line(edge_command, digits, tmp_path):
    page(digits, ["0123", "4567"]).save(tmp_path / "form.png")
    ended = edge_command("read", tmp_path / "form.png", "--model", MODEL, "--provider", "cpu")
    assert (ended.code, ended.err) == (0, "")
    rows = [line.split() for line in ended.out.splitlines()]
    assert [row[:2] for row in rows] == [[str(tmp_path / "form.png"), "0123"], [str(tmp_path / "form.png"), "4567"]]
    assert all(0 <= float(row[2]) <= 1 for row in rows)


def test_json_is_one_object_a_picture(edge_command, digits, tmp_path):
    page(digits, ["89"], step=120).save(tmp_path / "a.png")
    Image.new("L", (90, 90), 240).save(tmp_path / "blank.png")
    ended = edge_command("read", tmp_path, "missing.png", "--model", MODEL, "--json")
    assert ended.code == 1
    good, blank, missing = map(json.loads, ended.out.splitlines())
    assert list(good) == ["path", "lines", "unread", "model", "provider"]
    assert good["unread"] == []
    (line,) = good["lines"]
    assert line["text"] == "89"
    assert {"label", "confidence", "box"} <= line["digits"][0].keys()
    assert list(blank) == list(missing) == ["path", "error"]
    assert "shows no digit" in blank["error"]


def test_out_is_a_picture_for_one_and_a_folder_for_several(edge_command, digits, tmp_path):
    for name in ("a.png", "b.png"):
        page(digits, ["12"], step=120).save(tmp_path / name)
    pages = tmp_path / "a.png", tmp_path / "b.png"
    assert edge_command("read", pages[0], "--model", MODEL, "--out", tmp_path / "read.png").code == 0
    assert edge_command("read", *pages, "--model", MODEL, "--out", tmp_path / "folder").code == 0
    assert [path.name for path in sorted((tmp_path / "folder").iterdir())] == ["001-a.png", "002-b.png"]
    assert (tmp_path / "read.png").read_bytes() == (tmp_path / "folder" / "001-a.png").read_bytes()
    assert edge_command("read", *pages, "--model", MODEL, "--out", tmp_path / "one.png").code == 2
    ended = edge_command("read", pages[0], "--model", MODEL, "--out", pages[0] / "below")
    assert ended.code == 1
    assert "; name another place" in ended.err


def test_a_page_comes_through_the_standard_input(edge_command, digits, tmp_path):
    page(digits, ["73"], step=120).save(tmp_path / "a.png")
    ended = edge_command("read", "-", "--model", MODEL, stdin=(tmp_path / "a.png").read_bytes())
    assert ended.out.split()[:2] == ["-", "73"]

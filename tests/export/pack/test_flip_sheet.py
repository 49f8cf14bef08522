"""The flip sheet: the pictures whose label changed, of this export and no earlier one."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edge import drawing
from edge_export.int8.quantisation import LARGEST
from edge_export.pack import artifacts
from edge_export.parity import comparison
from edge_train.models.specification import Recurrent


@pytest.fixture
def coarse(monkeypatch):
    """int8 that uses only three of its levels, where that is asked for."""
    usual = LARGEST[8]

    def use(*, coarsely: bool) -> None:
        monkeypatch.setitem(LARGEST, 8, 1 if coarsely else usual)

    return use


def test_pictures_whose_label_changed_are_shown_and_an_old_sheet_does_not_stay(
    *, drawn, decided, undecided, export, coarse, tmp_path
):
    close = undecided(drawn(Recurrent("gru", hidden=10), name="gru"))
    coarse(coarsely=True)
    done = export(close, precision="int8", max_drop=100.0)
    flips = done.rows[-2].flips
    assert done.rows[-2].stage == "runtime"
    assert flips > 0
    assert done.flip_sheet == tmp_path / "out" / "gru-int8.flips.png"
    with Image.open(done.flip_sheet) as sheet:
        sheet.load()
        assert (sheet.format, sheet.mode) == ("PNG", "L")
        assert sheet.width >= min(flips, 8) * 28 * 4
        assert sheet.height >= -(-flips // 8) * 28 * 4
    coarse(coarsely=False)
    done = export(decided(close), precision="int8")
    assert done.flip_sheet is None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["gru-int8.onnx", "gru-int8.report.json"]


def test_the_sheet_of_another_bundle_stays(stored, export, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "lstm-int8.flips.png").write_bytes(b"of the int8 bundle")
    export(stored["lstm"])
    assert (tmp_path / "out" / "lstm-int8.flips.png").read_bytes() == b"of the int8 bundle"


def test_a_flip_sheet_says_truth_both_answers_and_both_margins(monkeypatch, digits):
    captions = []

    def sheet(images, texts, **_):
        captions.extend(texts)
        return Image.new("L", (len(images), 1))

    monkeypatch.setattr(drawing, "contact_sheet", sheet)
    before, after = np.zeros((60, 10), np.float32), np.zeros((60, 10), np.float32)
    before[:, 4], after[:, 4] = 1.5, 1.5
    after[7, 9] = 2.0
    reference = comparison.Reference(digits, before, before, digits.images, before, before)
    labels = [f"<{digit}>" for digit in range(10)]
    png = artifacts.flip_sheet(reference, after, np.array([7]), labels)
    assert captions == [f"is <{digits.labels[7]}>\ntorch <4>  +1.50\nnow <9>  +0.50"]
    assert Image.open(io.BytesIO(png)).format == "PNG"
    captions.clear()
    artifacts.flip_sheet(replace(reference, labelled=False), after, np.array([7]), labels)
    assert captions == ["torch <4>  +1.50\nnow <9>  +0.50"], "what is true is not known of somebody's own classes"

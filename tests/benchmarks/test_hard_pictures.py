"""`benchmarks/hard_pictures.py`: the same seed draws the same pictures, and `benchmarks/pictures.py` can read them."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def drawn(benchmark_program):
    """Gives the files of a run without MNIST: its digits are the stroke generator's."""

    def draw(folder, *arguments):
        code, _, told = benchmark_program("hard_pictures", folder, *arguments)
        assert code == 0, told
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    return draw


def test_a_kind_is_the_same_in_every_run_whatever_else_is_drawn(drawn, tmp_path):
    both = drawn(tmp_path / "both", "--each", "2", "--kind", "low resolution", "--kind", "transparent")
    one = drawn(tmp_path / "one", "--each", "1", "--kind", "transparent")
    assert set(both) == {
        "labels.tsv",
        *(
            f"{kind}-00{at}.{form}"
            for kind, form in (("low-resolution", "jpeg"), ("transparent", "png"))
            for at in (0, 1)
        ),
    }
    assert one["transparent-000.png"] == both["transparent-000.png"]
    assert both["transparent-000.png"] != both["transparent-001.png"]
    other = drawn(tmp_path / "other", "--each", "1", "--kind", "transparent", "--seed", "5")
    assert other["transparent-000.png"] != one["transparent-000.png"]


@pytest.mark.exhaustive  # the test above reads the files of a run, too
def test_labels_name_what_is_written_and_its_kind(drawn, tmp_path):
    drawn(tmp_path, "--each", "3", "--kind", "as small as mnist")
    header, *rows = (tmp_path / "labels.tsv").read_text().splitlines()
    assert header == "file\tlabel\tkind"
    assert len(rows) == 3
    for row in rows:
        file, label, kind = row.split("\t")
        assert label in "0123456789"
        assert kind == "as small as mnist"
        with Image.open(tmp_path / file) as image:
            assert image.size == (28, 28)
            assert np.ptp(np.asarray(image)) > 32

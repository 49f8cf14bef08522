"""The comparison of the whole way: what it runs, and what it counts as right."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.bundle import shipped

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_script_and_edge_read_what_is_plain_and_a_blank_page_is_not_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import whole_way
    from pictures import read_cases

    photos = whole_way.drawn(tmp_path / "photos", kinds=("plain",), each=2)
    Image.fromarray(np.full((60, 60), 200, np.uint8)).save(photos / "blank.png")
    with (photos / "labels.tsv").open("a", encoding="utf-8") as labels:
        labels.write("blank.png\t3\tblank\n")
    cases = read_cases(photos)
    (photos / "labels.tsv").rename(tmp_path / "labels.tsv")
    listed = whole_way.write_list(cases, tmp_path)

    right = {
        way.name: whole_way.read_right(way, "lstm-int8", shipped.locate("lstm-int8"), cases, listed)
        for way in whole_way.ways(None, tmp_path)
    }

    assert len(cases) == 3
    assert right["edge"] == 2
    assert right["script"] in {1, 2}

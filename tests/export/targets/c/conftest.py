"""The C of a shipped model, made once for the tests of this folder."""

from collections.abc import Iterator

import pytest

from edge.bundle import shipped
from edge_export.parity import evaluation_data
from edge_export.targets import c
from edge_export.targets.c import CForm
from edge_export.targets.registry import TargetRequest


@pytest.fixture(scope="package")
def made() -> Iterator[CForm]:
    """lstm-20 in int8, judged on 60 strokes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation_data, "STROKE_IMAGES", 60)
        patch.setattr(evaluation_data, "CALIBRATION_IMAGES", 40)
        yield c.form(shipped.info("lstm-20"), TargetRequest(data="strokes", engine="c"))

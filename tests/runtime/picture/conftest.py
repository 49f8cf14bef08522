"""The picture that is read in every mode, format and turn."""

import pytest
from PIL import Image, ImageDraw


@pytest.fixture
def seven() -> Image.Image:
    """A dark 7 on white, of another height than width, so that a wrong turn shows."""
    image = Image.new("L", (60, 80), 255)
    ImageDraw.Draw(image).line([(12, 14), (46, 14), (24, 66)], fill=0, width=7)
    return image

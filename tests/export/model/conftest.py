"""Somebody's modules in the current folder, and their weights in a file."""

import itertools
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

NUMBERS = itertools.count()  # a module of another name for each test: Python imports a name once


@pytest.fixture
def written(in_folder) -> Callable[[str], str]:
    """Writes a module of that text into the current folder and returns its name."""

    def write(text: str, folder: str = ".") -> str:
        name = f"their_nets_{next(NUMBERS)}"
        path = Path(in_folder, folder, f"{name}.py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return name

    return write

"""One name means one thing in the whole project."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ROOTS = ("runtime", "train", "export")
# A file that parses, calls and prints is called so in every room that has a command.
SHARED = {"__init__", "command"}


def test_no_two_public_classes_bear_one_name() -> None:
    places = defaultdict(list)
    for root in ROOTS:
        for path in sorted((REPOSITORY / root).rglob("*.py")):
            for name in re.findall(r"^class ([A-Za-z]\w*)[(:]", path.read_text(encoding="utf-8"), re.MULTILINE):
                places[name].append(str(path.relative_to(REPOSITORY)))

    assert len(places) > 100
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


@pytest.mark.parametrize("root", ROOTS)
def test_no_two_modules_of_a_root_bear_one_name(root: str) -> None:
    places = defaultdict(list)
    for path in sorted((REPOSITORY / root).rglob("*.py")):
        if path.stem not in SHARED:
            places[path.stem].append(str(path.relative_to(REPOSITORY)))

    assert len(places) > 20
    assert {name: found for name, found in places.items() if len(found) > 1} == {}

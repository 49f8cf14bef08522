"""What the guides for those who work on edge say of the code: the walks, and the tasks of dev.py."""

import ast
import re
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(?P<file>[\w/]+\.py)` \| `(?P<function>[\w.]+)` \| (?P<again>\*Again:\*)?")
NUMBERS = {"none": 0, "four": 4, "six": 6, "sixteen": 16, "nineteen": 19}


@pytest.fixture(scope="module")
def walks() -> dict[str, list[re.Match[str]]]:
    """The rows of each walk by its heading."""
    parts = (ROOT / "docs" / "walk.md").read_text(encoding="utf-8").split("\n## ")[1:]
    return {part.partition("\n")[0]: [row for line in part.splitlines() if (row := ROW.match(line))] for part in parts}


@cache  # a file comes back in several rows
def defined(path: Path) -> set[str]:
    """The functions, classes and methods of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.ClassDef)
    inside = {
        f"{one.name}.{each.name}"
        for one in tree.body
        if isinstance(one, ast.ClassDef)
        for each in one.body
        if isinstance(each, kinds)
    }
    return inside | {one.name for one in tree.body if isinstance(one, kinds)}


def test_every_function_of_a_walk_is_in_its_file(walks):
    assert [len(rows) for rows in walks.values()] == [20, 19, 6]
    for row in (row for rows in walks.values() for row in rows):
        assert row["function"] in defined(ROOT / row["file"]), row[0]


def test_how_often_one_comes_back_is_what_the_rows_say(walks):
    page = (ROOT / "docs" / "walk.md").read_text(encoding="utf-8")
    told = re.findall(r"^(\w+) files; .*?comes back (?:to )?(\w+)", page, re.MULTILINE)
    assert len(told) == len(walks)
    for (files, back), rows in zip(told, walks.values(), strict=True):
        names = [row["file"] for row in rows]
        assert [bool(row["again"]) for row in rows] == [name in names[:place] for place, name in enumerate(names)]
        assert NUMBERS[files.lower()] == len(set(names))
        assert NUMBERS[back] == len(names) - len(set(names))


def test_a_picture_goes_the_way_of_the_first_walk(walks, edge_command):
    rows = next(iter(walks.values()))
    wanted = [(row["file"], row["function"]) for row in rows]
    entered: list[tuple[str, str]] = []

    def note(frame, event, _argument):
        if event == "call":
            code = frame.f_code
            place = (Path(code.co_filename).relative_to(ROOT).as_posix(), code.co_qualname)
            if place in wanted and place not in entered:
                entered.append(place)

    sys.setprofile(lambda frame, *rest: frame.f_code.co_filename.startswith(str(ROOT)) and note(frame, *rest))
    try:
        ended = edge_command(
            "predict", ROOT / "docs" / "pictures" / "seven.jpg", "--model", "lstm-int8", "--threads", "1"
        )
    finally:
        sys.setprofile(None)
    assert (ended.code, ended.out.split()[1]) == (0, "7")
    assert entered == wanted


@pytest.fixture
def tasks(monkeypatch) -> tuple[dict[str, object], str]:
    """What dev.py can be asked for, and what it tells about it."""
    monkeypatch.syspath_prepend(ROOT)
    import dev

    return dev.TASKS, dev.__doc__


def test_every_task_of_dev_py_is_told_where_one_looks_for_it(tasks):
    names, docstring = tasks
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for text in (docstring, contributing[: contributing.index("## The rooms")]):
        assert set(re.findall(r"^ *python3 dev\.py (\w+)", text, re.MULTILINE)) == set(names)


def test_every_file_that_the_pages_link_to_is_there():
    broken = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            path, _, anchor = link.partition("#")
            if "://" in link or link.startswith("mailto:"):
                continue
            target = (page.parent / path).resolve() if path else page
            named = not anchor or target.suffix != ".md"
            if not target.exists() or not (named or anchor in anchors(target)):
                broken.append(f"{page.name}: {link}")
    assert not broken


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

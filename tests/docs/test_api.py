"""The page of the Python interface."""

import ast
from pathlib import Path

import pytest

import edge

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


@pytest.fixture(scope="module")
def api(program):
    return program("api")


def test_the_page_is_what_the_docstrings_say_today(api):
    assert PAGE.read_text(encoding="utf-8") == api.page(), "docs/api.md is stale; run: python3 dev.py api"


def test_every_public_name_is_on_it(api):
    page = api.page()
    for name in edge.__all__:
        assert f"`edge.{name}`" in page or f"─ {name}" in page or f"\n{name}\n" in page, name


def test_sections_become_lists_whose_entries_may_go_on_in_the_next_line(api):
    docstring = (
        "Does it.\n\nArgs:\n    one: what it is,\n        and more.\n    *two: the rest.\n\n"
        "Returns:\n    A number\n    from 0 to 1.\n\nRaises:\n    OSError: it cannot\n    be done."
    )
    assert api.rendered(docstring) == [
        "Does it.",
        "",
        "**Args**",
        "",
        "- `one`: what it is, and more.",
        "- `*two`: the rest.",
        "",
        "**Returns**",
        "",
        "A number from 0 to 1.",
        "",
        "**Raises**",
        "",
        "- `OSError`: it cannot be done.",
    ]


def test_what_is_indented_is_shown_as_it_is(api):
    assert api.rendered("So:\n\n    a\n      b\n\nThus.") == ["So:", "", "```text", "a", "  b", "```", "", "Thus."]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("def f(self, a: int=1) -> int: ...", "(a: int=1) -> int"),
        ("def f(cls): ...", "()"),
        ("def f(a, /, *, b: dict[str, int]): ...", "(a, /, *, b: dict[str, int])"),
    ],
)
def test_a_signature_is_the_one_in_the_source_without_self(api, written, shown):
    assert api.signature(ast.parse(written).body[0]) == shown


def test_a_long_signature_has_an_argument_a_line(api):
    arguments = [f"argument_{at}: dict[str, tuple[int, int]]" for at in range(4)]
    shown = api.code(f"call({', '.join(arguments)}) -> None")
    assert shown == ["```python", "\n".join(["call(", *(f"    {one}," for one in arguments), ") -> None"]), "```"]

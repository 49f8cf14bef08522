"""Words that come from files: harmless on a terminal, and not endless."""

import pytest

from edge.text import terminal


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("übung 1.png", "übung 1.png"),
        ("a\x1b[31m\n", r"'a\x1b[31m\n'"),
        ("a\u202eb", r"'a\u202eb'"),  # turns the direction of what follows
        ("\ufeffzero", r"'\ufeffzero'"),
    ],
)
def test_what_a_terminal_would_act_on_or_hide_is_quoted(text, shown):
    assert terminal.printable(text) == shown


def test_a_long_text_is_cut_with_a_sign_of_it():
    assert terminal.shortened("a" * 32) == "a" * 32
    assert terminal.shortened("a" * 33) == "a" * 29 + "..."

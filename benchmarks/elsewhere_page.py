"""The document of `elsewhere.py` as tables of Markdown, and their place in docs/devices.md."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.text.files import write_atomically
from edge.text.table import markdown

PAGE = Path(__file__).resolve().parents[1] / "docs" / "devices.md"
BEGIN, END = "<!-- elsewhere: begin -->", "<!-- elsewhere: end -->"


def table(document: dict[str, Any]) -> list[str]:
    """The figures as tables of Markdown, with what they were measured on."""
    facts = (
        "verified",
        "fp32 error",
        "int8 error",
        "int8, from here",
        "flips",
        "28x28 equal",
        "labels",
        "int8 products",
    )
    head = ["processor", "known from", *facts]
    rows = [head]
    for name, each in document["boards"].items():
        if each["failure"] is not None:
            rows.append([name, each["known_from"], each["failure"], *[""] * (len(head) - 3)])
            continue
        bundles = each["bundles"].values()
        float32 = [one["max_logit_error"] for one in bundles if one["precision"] == "fp32"]
        int8 = [one for one in bundles if one["precision"] == "int8"]
        rows.append(
            [
                name,
                each["known_from"],
                f"{sum(one['verified'] for one in bundles)} of {len(bundles)}",
                f"{max(float32):.1e}",
                f"{max(one['max_logit_error'] for one in int8):.3f}",
                f"{max(one['off_this_machine'] for one in int8):.1e}",
                str(sum(one["flips"] for one in bundles)),
                f"{each['same_images']} of {each['pictures']}",
                f"{each['same_labels']} of {each['pictures']}",
                "exact" if each["int8_is_exact"] else "saturate",
            ]
        )
    host = document["host"]
    versions = ", ".join(f"{name} {number}" for name, number in host["versions"].items())
    boards = document["boards"].values()
    days = dict.fromkeys(sorted(each["date"] for each in boards))
    seconds = sum(each["seconds"] for each in boards)
    told = f"{', '.join(days)}; {document['qemu']}, Debian {document['suite']}, {versions}; {seconds} s on "
    told += f"{host['processor']}, which is what `here` and `equal` mean:"
    lines = [told, "", *markdown(rows, right=range(2, 9))]
    asked = [told for name, each in document["boards"].items() if (told := tests_told(name, each["tests"] or []))]
    if asked:
        lines += ["", "Tests of `tests/runtime` there, as far as the time allowed:", "", *asked]
    for architecture, packages in document["megabytes"].items():
        listed = ", ".join(f"{name} {size:.1f}" for name, size in packages.items() if size >= 0.5)
        lines += [
            "",
            f"Installed on {architecture}: {sum(packages.values()):.0f} MB: {listed}, the rest below 0.5 each.",
        ]
    return lines


def tests_told(name: str, asked: Sequence[dict[str, Any]]) -> str:
    """The outcome of the tests of one board, in a line; nothing where none came to an end."""
    whole = [each for each in asked if re.search(r"\d+ (passed|failed)", each["outcome"])]
    if not whole:
        return ""
    counts = {
        word: sum(int(found[1]) for each in whole if (found := re.search(rf"(\d+) {word}", each["outcome"])))
        for word in ("passed", "skipped", "failed", "error")
    }
    numbers = ", ".join(f"{count} {word}" for word, count in counts.items() if count or word == "passed")
    names = ", ".join(each["path"].removeprefix("tests/runtime/") for each in whole)
    wrong = [test.rpartition("::")[2] for each in whole for test in each.get("failed", [])]
    return f"- {name}: {numbers} ({names})" + (f"; failed: {', '.join(wrong)}" if wrong else "")


def into_page(lines: Sequence[str]) -> None:
    """Puts the tables between their marks in docs/devices.md."""
    page = PAGE.read_text(encoding="utf-8")
    marked = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    between = "\n".join((BEGIN, "", *lines, "", END))
    write_atomically(PAGE, marked.sub(lambda _: between, page).encode())

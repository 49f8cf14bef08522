"""Writes docs/api.md from the docstrings of the public names, `edge.__all__`: `python3 dev.py api`.

Signatures are taken from the source as they are written there, so that the page is the same on every Python. A test
fails when the page is not what this program writes.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import edge
from edge import errors

PAGE = Path(__file__).resolve().parent / "api.md"
ENTRY = re.compile(r"^([\w.*]+): ")
SECTIONS = ("Args", "Returns", "Raises", "Attributes", "Yields", "Source")
START = """# The Python interface

`import edge` offers what the commands of the device do. The names on this page are the whole promise: everything else
may change without notice. The page is written by `python3 dev.py api` from the docstrings.

```python
import edge

classifier = edge.load("lstm-int8")
classifier.predict("digit.png").label
```
"""


def main() -> None:
    """Writes the page."""
    PAGE.write_text(page(), encoding="utf-8", newline="\n")


def page() -> str:
    """The whole page."""
    members = {name: getattr(edge, name) for name in sorted(edge.__all__, key=str.casefold)}
    functions = {name: member for name, member in members.items() if inspect.isfunction(member)}
    failures = {name: member for name, member in members.items() if inspect.isclass(member) and is_error(member)}
    classes = {name: member for name, member in members.items() if inspect.isclass(member) and not is_error(member)}
    assert len(functions) + len(failures) + len(classes) == len(members)
    lines = [START, "## Functions", ""]
    for name, function in functions.items():
        lines += [
            f"### `edge.{name}`",
            "",
            *code(f"{name}{signature(node_of(function))}"),
            "",
            *described(function),
            "",
        ]
    lines += ["## Classes", ""]
    for name, one in classes.items():
        lines += [f"### `edge.{name}`", "", *described(one), ""]
        for method, node, holder in methods(one):
            lines += [f"#### `{name}.{method}`", ""]
            if not is_property(node):
                lines += [*code(f"{method}{signature(node)}"), ""]
            elif node.returns:
                lines += [f"Property, `{ast.unparse(node.returns)}`.", ""]
            lines += [*described(holder), ""]
    lines += ["## Errors", "", *rendered(inspect.cleandoc(errors.__doc__ or "")), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def is_error(member: type) -> bool:
    """Whether a class is an error."""
    return issubclass(member, BaseException)


def is_property(node: ast.FunctionDef) -> bool:
    """Whether a method is read like an attribute."""
    return any(isinstance(one, ast.Name) and one.id in {"property", "cached_property"} for one in node.decorator_list)


def node_of(member: object) -> ast.FunctionDef:
    """The definition of a function, as it is written."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(member))).body  # type: ignore[arg-type]
    assert isinstance(node, ast.FunctionDef)
    return node


def methods(member: type) -> Iterator[tuple[str, ast.FunctionDef, object]]:
    """The public methods and properties of a class, in the order in which they are written."""
    for name, value in vars(member).items():
        holder = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if not name.startswith("_") and inspect.isfunction(holder):
            yield name, node_of(holder), holder


def signature(node: ast.FunctionDef) -> str:
    """The arguments and the result of a function, without `self`; on lines of their own where one is too long."""
    arguments = node.args
    for positional in (arguments.posonlyargs, arguments.args):
        if positional and positional[0].arg in {"self", "cls"}:
            del positional[0]
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({ast.unparse(arguments)}){result}"


def code(text: str) -> list[str]:
    """A signature as a block of code, an argument a line where it is long."""
    if len(text) > 100:
        call = ast.parse(f"def {text}: ...").body[0]
        assert isinstance(call, ast.FunctionDef)
        head, tail = (
            text[: text.index("(") + 1],
            text[text.index(ast.unparse(call.args)) + len(ast.unparse(call.args)) :],
        )
        text = "\n".join([head, *(f"    {argument}," for argument in separate(ast.unparse(call.args))), tail])
    return ["```python", text, "```"]


def separate(arguments: str) -> list[str]:
    """The arguments of a signature one by one: a comma inside brackets separates none."""
    found, depth = [""], 0
    for letter in arguments:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return [argument.strip() for argument in found]


def described(member: object) -> list[str]:
    """The docstring of a member in Markdown."""
    return rendered(inspect.getdoc(member) or "")


def rendered(docstring: str) -> list[str]:
    """A docstring in Markdown: its sections become lists, what is indented a block of code."""
    lines: list[str] = []
    blocks = docstring.split("\n\n")
    for block in blocks:
        first, *rest = block.split("\n")
        if first.rstrip(":") in SECTIONS and first.endswith(":"):
            lines += [f"**{first.rstrip(':')}**", "", *items("\n".join(rest)), ""]
        elif block.startswith("    "):
            lines += ["```text", *textwrap.dedent(block).split("\n"), "```", ""]
        else:
            lines += [*block.split("\n"), ""]
    return lines[:-1]


def items(section: str) -> list[str]:
    """The entries `name: what it is` of a section as a list, or its text as a paragraph; lines are joined."""
    entries: list[str] = []
    for line in textwrap.dedent(section).split("\n"):
        if entries and not ENTRY.match(line):
            entries[-1] += " " + line.strip()
        else:
            entries.append(line)
    return [ENTRY.sub(r"- `\1`: ", entry) for entry in entries]


if __name__ == "__main__":
    main()

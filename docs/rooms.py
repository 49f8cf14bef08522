"""Prints the map of the repository: its rooms, what each is for, how large it is, and which rooms it imports.

    python3 dev.py map               of the files as they are
    python3 dev.py map --at REV      of any commit, tag or branch

A room is a folder of a root package, or a module that stands beside those folders. What a room is for is the first line
of its docstring. An arrow is a pair of rooms of which one imports the other, counted once however many imports there
are; imports inside functions count too. Rooms stand in the order of their imports: a room imports only rooms below it,
unless the last line of its root names a circle.
"""

import argparse
import ast
import io
import subprocess
import tarfile
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
ROOTS = {
    "runtime/edge": "runs a bundle; needs numpy, Pillow and ONNX Runtime",
    "train/edge_train": "trains; needs PyTorch",
    "export/edge_export": "turns a trained model into a bundle; needs PyTorch and ONNX",
}
TESTS = {
    "tests/runtime": "also run against the built wheel, without PyTorch and ONNX",
    "tests/train": "mirror train/edge_train",
    "tests/export": "mirror export/edge_export",
    "tests/benchmarks": "of the measuring programs themselves",
    "tests/docs": "of the guides, this map and the API page",
    "development": "the environments in which dev.py runs its tasks",
    "benchmarks": "programs that measure; what they found is in LOG.md and results/",
    "docs": "pages, and the programs that make pictures, this map and the API page",
}
COLUMN = 45  # where purposes begin
WIDTH = 120

Sources = Mapping[str, str]  # the path of each Python file, with slashes, and its text


@dataclass(frozen=True, slots=True)
class Room:
    """A folder or a single module of a root package, with all that is in it.

    Attributes:
        path: where it stands, with slashes.
        purpose: the first line of its docstring; empty when it has none.
        files: how many Python files it holds, folders inside included.
        lines: how many lines those have.
        imports: the rooms of the same root that it imports.
        borrows: the rooms of other roots that it imports, as `root.room`.
    """

    path: str
    purpose: str
    files: int
    lines: int
    imports: frozenset[str]
    borrows: frozenset[str]

    @property
    def name(self) -> str:
        """The name by which it is imported."""
        return PurePosixPath(self.path).stem


def main(arguments: Iterable[str] | None = None) -> None:
    """Prints the map that the command line asks for."""
    parser = argparse.ArgumentParser(prog="dev.py map", description=__doc__.splitlines()[0])
    parser.add_argument("--at", metavar="REV", help="a commit, tag or branch in place of the files as they are")
    revision = parser.parse_args(None if arguments is None else list(arguments)).at
    print("\n".join(page(sources_at(revision) if revision else sources())))


def sources() -> dict[str, str]:
    """The Python files as they are."""
    folders = [ROOT / folder for folder in (*ROOTS, *TESTS)]
    paths = sorted({path for folder in folders for path in folder.rglob("*.py")})
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def sources_at(revision: str) -> dict[str, str]:
    """The Python files of a commit, read from git and written nowhere."""
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for member in files:
            content = files.extractfile(member) if member.name.endswith(".py") else None
            if content is not None and member.name.startswith((*ROOTS, *TESTS)):
                found[member.name] = content.read().decode("utf-8")
    return found


def page(files: Sources) -> list[str]:
    """The lines of the map."""
    lines = []
    for root, purpose in ROOTS.items():
        lines += [*root_lines(root, purpose, files), ""]
    lines.append("tests, benchmarks, docs")
    for folder, purpose in TESTS.items():
        inside = {path: text for path, text in files.items() if path.startswith(f"{folder}/")}
        if inside:
            lines += row(1, f"{folder}/", len(inside), count_lines(inside.values()), purpose)
    total = {path: text for path, text in files.items() if path.startswith(tuple(f"{root}/" for root in ROOTS))}
    lines += ["", f"in the three roots: {len(total)} files, {count_lines(total.values()):,} lines"]
    return lines


def root_lines(root: str, purpose: str, files: Sources) -> list[str]:
    """The part of the map that is about one root."""
    rooms = rooms_of(root, files)
    inside = [text for path, text in files.items() if path.startswith(f"{root}/")]
    lines = row(0, f"{root}/", len(inside), count_lines(inside), purpose)
    ordered, circle = in_order(rooms)
    for room in ordered:
        folder = not room.path.endswith(".py")
        lines += row(1, room.path.rsplit("/", 1)[1] + "/" * folder, room.files, room.lines, room.purpose)
        if folder:
            lines += inner_lines(room.path, files)
        if room.imports or room.borrows:
            lines += beside(f"-> {', '.join([*sorted(room.imports), *sorted(room.borrows)])}")
    arrows = sum(len(room.imports) for room in rooms)
    lines.append(f"  {len(rooms)} rooms, {arrows} arrows between them, {circle or 'no circle'}")
    return lines


def inner_lines(folder: str, files: Sources) -> list[str]:
    """A line for each folder inside a room, however deep."""
    packages = sorted(path for path in files if path.endswith("/__init__.py") and path.startswith(f"{folder}/"))
    lines = []
    for package in packages:
        inner = package.removesuffix("/__init__.py")
        if inner != folder:
            inside = [text for path, text in files.items() if path.startswith(f"{inner}/")]
            depth = inner.count("/") - folder.count("/") + 1
            name = inner.rsplit("/", 1)[1] + "/"
            lines += row(depth, name, len(inside), count_lines(inside), purpose_of(files[package]))
    return lines


def rooms_of(root: str, files: Sources) -> list[Room]:
    """The rooms of a root; `__init__.py` and `__main__.py` are its doors, no rooms."""
    package = root.rsplit("/", 1)[1]
    contents: dict[str, list[str]] = {}
    for path in files:
        if path.startswith(f"{root}/"):
            first = path.removeprefix(f"{root}/").split("/")[0]
            contents.setdefault(first, []).append(path)
    contents = {first: paths for first, paths in contents.items() if not first.startswith("__")}
    names = {PurePosixPath(first).stem for first in contents}
    packages = {root.rsplit("/", 1)[1] for root in ROOTS}
    rooms = []
    for first, paths in sorted(contents.items()):
        own = PurePosixPath(first).stem
        reached = {target for path in paths for target in imports_of(files[path], packages)}
        inside = {room for root_name, room in reached if root_name == package and room in names and room != own}
        outside = {f"{root_name}.{room}" if room else root_name for root_name, room in reached if root_name != package}
        door = f"{root}/{first}/__init__.py" if f"{root}/{first}/__init__.py" in files else f"{root}/{first}"
        lines = count_lines(files[path] for path in paths)
        purpose = purpose_of(files.get(door, ""))
        rooms.append(Room(f"{root}/{first}", purpose, len(paths), lines, frozenset(inside), frozenset(outside)))
    return rooms


def imports_of(text: str, packages: set[str]) -> set[tuple[str, str]]:
    """The (root package, room) pairs that a file imports; the room is empty where the root itself is meant."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            root, _, rest = name.partition(".")
            if root in packages:
                found.add((root, rest.split(".")[0]))
    return found


def in_order(rooms: list[Room]) -> tuple[list[Room], str]:
    """The rooms from those that nobody imports down to those that import nobody, and a circle in words, if any."""
    by_name = {room.name: room for room in rooms}
    depths: dict[str, int] = {}
    try:
        for name in TopologicalSorter({room.name: room.imports for room in rooms}).static_order():
            depths[name] = 1 + max((depths[below] for below in by_name[name].imports), default=0)
    except CycleError as error:
        return rooms, f"and a circle: {' <- '.join(error.args[1])}"
    return sorted(rooms, key=lambda room: (-depths[room.name], room.name)), ""


def purpose_of(text: str) -> str:
    """The first line of a file's docstring."""
    return (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]


def count_lines(texts: Iterable[str]) -> int:
    """How many lines they have together."""
    return sum(len(text.splitlines()) for text in texts)


def row(depth: int, name: str, files: int, lines: int, purpose: str) -> list[str]:
    """A row of the map: name, files, lines, purpose."""
    first, *rest = beside(purpose) or [""]
    numbers = f"{'  ' * depth + name:26}{files:4} {'file ' if files == 1 else 'files'}{lines:7,}  "
    return [(numbers + first.lstrip()).rstrip(), *rest]


def beside(text: str) -> list[str]:
    """A text in the column of purposes, on as many lines as it takes."""
    return [" " * COLUMN + line for line in textwrap.wrap(text, WIDTH - COLUMN, break_on_hyphens=False)]


if __name__ == "__main__":
    main()

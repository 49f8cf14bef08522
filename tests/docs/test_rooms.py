"""The map of the rooms."""

import subprocess

import pytest

TREE = {
    "runtime/edge/__init__.py": '"""The package."""\n',
    "runtime/edge/cli/__init__.py": '"""The command line."""\n',
    "runtime/edge/cli/main.py": "from edge.bundle import wire\nfrom edge import errors\n",
    "runtime/edge/cli/commands/__init__.py": '"""A file each."""\n',
    "runtime/edge/cli/commands/verify.py": "def run():\n    import edge.bundle.wire\n    import numpy\n",
    "runtime/edge/bundle/__init__.py": '"""The format.\n\nMore of it.\n"""\n',
    "runtime/edge/bundle/wire.py": "import edge.errors\n",
    "runtime/edge/errors.py": '"""The errors."""\n',
    "train/edge_train/loop.py": "from edge.bundle.wire import read\nimport edge\n",
    "tests/runtime/test_it.py": "\n\n",
}


@pytest.fixture(scope="module")
def rooms(program):
    return program("rooms")


def test_a_room_is_a_folder_or_a_module_and_imports_point_to_rooms(rooms):
    found = {room.name: room for room in rooms.rooms_of("runtime/edge", TREE)}
    assert {name: set(room.imports) for name, room in found.items()} == {
        "cli": {"bundle", "errors"},
        "bundle": {"errors"},
        "errors": set(),
    }
    assert (found["cli"].files, found["cli"].lines, found["cli"].purpose) == (4, 7, "The command line.")
    assert found["bundle"].purpose == "The format."


def test_imports_of_other_roots_are_told_with_their_root(rooms):
    (loop,) = rooms.rooms_of("train/edge_train", TREE)
    assert loop.borrows == {"edge.bundle", "edge"}
    assert not loop.imports


def test_rooms_stand_above_what_they_import(rooms):
    lines = rooms.root_lines("runtime/edge", "runs", TREE)
    names = [line.split()[0] for line in lines if "file" in line]
    assert names == ["runtime/edge/", "cli/", "commands/", "bundle/", "errors.py"]
    assert lines[-1].strip() == "3 rooms, 3 arrows between them, no circle"


def test_a_circle_is_named(rooms):
    lines = rooms.root_lines("runtime/edge", "runs", TREE | {"runtime/edge/errors.py": "import edge.bundle\n"})
    assert "circle: " in lines[-1]
    assert "errors" in lines[-1]
    assert "bundle" in lines[-1]


@pytest.mark.exhaustive  # reads every file once more than the test below
def test_no_line_is_wider_than_a_page(rooms):
    assert max(map(len, rooms.page(rooms.sources()))) <= rooms.WIDTH


def test_a_room_of_the_repository_says_what_it_is_for(rooms):
    files = rooms.sources()
    unnamed = [room.path for root in rooms.ROOTS for room in rooms.rooms_of(root, files) if not room.purpose]
    assert unnamed == []


def test_a_commit_is_read_from_git(rooms):
    try:
        subprocess.run(["git", "rev-parse", "HEAD"], cwd=rooms.ROOT, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this tree is no clone, or git is missing")
    found = rooms.sources_at("HEAD")
    assert "runtime/edge/__init__.py" in found
    assert not [path for path in found if not path.endswith(".py")]

"""What the arguments of a command mean: files, folders, patterns, the standard input."""

import os

import pytest

from edge.picture import paths


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.JPG", "notes.txt", ".hidden.png", "c[1].gif", "deep/d.bmp", "deep/deeper/e.webp"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def expanded(*arguments):
    return [found.path.replace(os.sep, "/") for found in paths.expand(arguments)]


def test_a_named_file_is_taken_whatever_its_name(folder):
    assert expanded("notes.txt", ".hidden.png", "missing.png") == ["notes.txt", ".hidden.png", "missing.png"]


def test_a_folder_stands_for_its_own_pictures_and_then_for_those_of_the_folders_in_it(folder):
    assert expanded("deep") == ["deep/d.bmp", "deep/deeper/e.webp"]
    assert expanded(".") == ["a.JPG", "b.png", "c[1].gif", "deep/d.bmp", "deep/deeper/e.webp"]


def test_a_tree_is_walked_in_the_order_of_its_names(folder):
    for name in ("x/2/b.png", "x/10/a.png", "x/10/y/c.png", "x/a.png", "x/.cache/d.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    assert expanded("x") == ["x/a.png", "x/10/a.png", "x/10/y/c.png", "x/2/b.png"]


@pytest.mark.skipif(os.name == "nt", reason="links need a permission there")
def test_links_to_files_count_and_links_to_folders_cannot_lead_in_a_circle(folder):
    (folder / "deep" / "round").symlink_to(folder, target_is_directory=True)
    (folder / "deep" / "link.png").symlink_to(folder / "b.png")
    assert expanded("deep") == ["deep/d.bmp", "deep/link.png", "deep/deeper/e.webp"]


def test_a_pattern_stands_for_the_matching_files(folder):
    assert expanded("*.png", "**/*.bmp", "**/e.*") == ["b.png", "deep/d.bmp", "deep/deeper/e.webp"]


def test_an_existing_file_with_the_signs_of_a_pattern_is_that_file(folder):
    assert expanded("c[1].gif") == ["c[1].gif"]


def test_a_dash_is_the_standard_input(folder):
    assert expanded("-") == ["-"]


@pytest.mark.parametrize("argument", ["*.tiff", "deep/deeper/none", "empty"])
def test_an_argument_without_pictures_is_told(folder, argument):
    (folder / "empty").mkdir()
    found = list(paths.expand([argument]))
    assert len(found) == 1
    if argument == "deep/deeper/none":
        assert found[0].problem is None  # whether a named file exists shows when it is read
    else:
        assert argument in str(found[0].problem)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_told(folder):
    (folder / "deep").chmod(0)
    assert "cannot be listed" in str(next(iter(paths.expand(["deep"]))).problem)

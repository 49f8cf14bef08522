"""A folder of pictures as a data set: which classes it has, which part each picture falls in, and what is told."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_train import strokes
from edge_train.data import datasets, folders
from edge_train.data.folders import PARTS
from edge_train.data.splits import DataError

PER_CLASS = 30


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """uint8 (120, 28, 28), no two alike, which pass through the pre-processing bit for bit."""
    return strokes.sample(4 * PER_CLASS, seed=41)[0]


@pytest.fixture
def put(images):
    """Writes a class of so many pictures into a folder, the first one being that of the sheet."""

    def write(folder: Path, count: int, *, first: int = 0) -> Path:
        folder.mkdir(parents=True)
        for index in range(first, first + count):
            Image.fromarray(images[index]).save(folder / f"{index}.png")
        return folder

    return write


@pytest.fixture
def signs(put, tmp_path) -> Path:
    """Three classes of thirty pictures."""
    for label, name in enumerate(("arrow", "cross", "ring")):
        put(tmp_path / "signs" / name, PER_CLASS, first=label * PER_CLASS)
    return tmp_path / "signs"


def load(folder: Path, told: list[str] | None = None) -> dict:
    return folders.load(folders.layout(folder), (told if told is not None else []).append)


def part_of(splits: dict) -> dict[bytes, str]:
    return {image.tobytes(): part for part, split in splits.items() for image in split.images}


def test_sub_folders_are_the_classes_and_every_picture_is_in_one_part(signs, images):
    source = datasets.find(str(signs))
    assert source.labels == ("arrow", "cross", "ring")
    training, validation = source.splits()
    splits = (training, validation, source.test())
    assert [split.name for split in splits] == ["signs-training", "signs-validation", "signs-test"]
    place = {image.tobytes(): index for index, image in enumerate(images)}
    seen = [
        (place[image.tobytes()], label)
        for split in splits
        for image, label in zip(split.images, split.labels, strict=True)
    ]
    assert sorted(seen) == [(index, index // PER_CLASS) for index in range(3 * PER_CLASS)]
    assert all(split.images.dtype == np.uint8 and split.labels.dtype == np.int64 for split in splits)


def test_about_a_tenth_of_each_class_is_set_aside_for_validation_and_for_the_test():
    drawn = folders._drawn([f"{value * 16**64 // 10_000:064x}" for value in range(10_000)], folders.DRAWN)
    shares = {part: sum(each == part for each in drawn.values()) / len(drawn) for part in PARTS}
    assert shares == pytest.approx({"training": 0.8, "validation": 0.1, "test": 0.1}, abs=1e-3)


def test_every_class_has_a_picture_in_every_part_however_few_it_has(put, tmp_path):
    for label, name in enumerate("abc"):
        put(tmp_path / "few" / name, 3, first=10 * label)
    splits = load(tmp_path / "few")
    assert [sorted(splits[part].labels.tolist()) for part in PARTS] == [[0, 1, 2]] * 3


@pytest.mark.parametrize("low", [True, False])
def test_digests_that_all_lie_together_are_still_spread_over_the_parts(low):
    digests = [f"{'0' if low else 'f'}{number:063x}" for number in range(3)]
    assert sorted(folders._drawn(digests, folders.DRAWN).values()) == sorted(PARTS)


def test_a_picture_stays_in_its_part_when_others_come_and_go_and_whatever_it_is_called(signs, put):
    before = part_of(load(signs))
    shutil.rmtree(signs / "ring")
    for path in sorted((signs / "cross").iterdir())[::2]:
        path.unlink()
    for path in sorted((signs / "arrow").iterdir()):
        path.rename(path.with_name(f"renamed {path.name}"))
    put(signs / "star", PER_CLASS, first=3 * PER_CLASS)
    after = part_of(load(signs))
    assert {image: part for image, part in after.items() if image in before}.items() <= before.items()
    assert len(after.keys() & before.keys()) == PER_CLASS + PER_CLASS // 2


def test_copies_of_a_picture_are_never_on_both_sides(signs):
    for path in list((signs / "arrow").iterdir()):
        shutil.copy(path, path.with_name(f"copy of {path.name}"))
    splits = load(signs)
    sides = {part: {image.tobytes() for image in split.images} for part, split in splits.items()}
    assert not sides["training"] & sides["validation"]
    assert not sides["training"] & sides["test"]
    assert not sides["validation"] & sides["test"]
    assert sum(len(split) for split in splits.values()) == 4 * PER_CLASS


def test_labels_are_in_natural_order(put, tmp_path):
    for position, name in enumerate(["10", "2", "b", "A", "a10", "a9", "1"]):
        put(tmp_path / "all" / name, 3, first=3 * position)
    assert folders.layout(tmp_path / "all").labels == ("1", "2", "10", "A", "a9", "a10", "b")


def test_a_name_is_the_same_label_however_the_file_system_writes_its_accents(put, tmp_path):
    put(tmp_path / "all" / "a\u0308", 3)
    put(tmp_path / "all" / "b", 3, first=3)
    assert folders.layout(tmp_path / "all").labels == ("b", "ä")


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("training", "validation", "testing"), ("Train", "valid", "Test")]
)
def test_folders_for_the_parts_are_taken_as_they_are(put, tmp_path, names):
    counts = (6, 4, 2)
    for position, (name, count) in enumerate(zip(names, counts, strict=True)):
        for label, sign in enumerate(("arrow", "cross")):
            put(tmp_path / "all" / name / sign, count, first=20 * position + 10 * label)
    splits = load(tmp_path / "all")
    assert [len(splits[part]) for part in PARTS] == [12, 8, 4]
    assert splits["test"].labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(("there", "drawn"), [("test", "validation"), ("validation", "test")])
def test_a_part_without_a_folder_is_drawn_from_the_training_pictures(put, tmp_path, there, drawn):
    for label, sign in enumerate(("arrow", "cross")):
        put(tmp_path / "all" / "train" / sign, 20, first=30 * label)
        put(tmp_path / "all" / there / sign, 5, first=30 * label + 20)
    splits = load(tmp_path / "all")
    assert len(splits[there]) == 10
    assert len(splits["training"]) + len(splits[drawn]) == 40
    assert set(splits[drawn].labels) == {0, 1}


def test_training_pictures_alone_are_divided(put, tmp_path):
    for label, sign in enumerate(("arrow", "cross")):
        put(tmp_path / "all" / "train" / sign, 10, first=10 * label)
    assert all(set(split.labels) == {0, 1} for split in load(tmp_path / "all").values())


def test_a_class_may_be_called_like_a_part(put, tmp_path):
    for position, name in enumerate(("test", "arrow", "cross")):
        put(tmp_path / "all" / name, 3, first=3 * position)
    assert folders.layout(tmp_path / "all").labels == ("arrow", "cross", "test")


def test_what_tools_leave_behind_is_no_class_and_no_picture(signs, put):
    put(signs / ".git", 3)
    put(signs / "__MACOSX", 3)
    (signs / "notes.txt").write_text("about the signs")
    (signs / "empty").mkdir()
    (signs / "arrow" / "Thumbs.db").write_bytes(b"\0")
    (signs / "arrow" / "._1.png").write_bytes(b"\0")
    found = folders.layout(signs)
    assert found.labels == ("arrow", "cross", "ring")
    assert len(found.pictures) == 3 * PER_CLASS


def test_pictures_in_folders_below_a_class_belong_to_it(signs, put):
    put(signs / "arrow" / "more" / "still more", 5, first=3 * PER_CLASS)
    assert sum(len(split) for split in load(signs).values()) == 3 * PER_CLASS + 5


def test_pictures_that_cannot_be_used_are_told_with_their_path_and_left_out(signs):
    (signs / "arrow" / "broken.png").write_bytes(b"no picture")
    Image.new("L", (80, 80), 255).save(signs / "cross" / "blank.png")
    shutil.copy(signs / "arrow" / "3.png", signs / "ring" / "an arrow.png")
    told: list[str] = []
    splits = load(signs, told)
    assert sum(len(split) for split in splits.values()) == 3 * PER_CLASS
    assert len(told) == 3
    assert told[0].startswith(f"left out: {signs / 'arrow' / 'broken.png'} is not a picture")
    assert told[1].startswith(f"left out: {signs / 'cross' / 'blank.png'} shows no digit")
    first = signs / "arrow" / "3.png"
    assert (
        told[2] == f"left out: {signs / 'ring' / 'an arrow.png'} is the same file as {first}, which is in another class"
    )
    again: list[str] = []
    load(signs, again)
    assert again == told, "what was kept of the first time hides nothing"


def test_more_than_a_tenth_that_cannot_be_used_is_refused(signs):
    for index in range(11):
        (signs / "arrow" / f"broken {index}.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"11 of 101 pictures .* more than a tenth: .*broken 0\.png is not a picture"):
        load(signs)


def test_a_tenth_that_cannot_be_used_is_only_told(signs):
    for index in range(10):
        (signs / "arrow" / f"broken {index}.png").write_bytes(b"no picture")
    told: list[str] = []
    load(signs, told)
    assert len(told) == 10


def test_a_class_of_fewer_than_three_different_pictures_is_refused_by_name(signs):
    for path in sorted((signs / "ring").iterdir())[2:]:
        path.unlink()
    for path in list((signs / "ring").iterdir()):
        shutil.copy(path, path.with_name(f"copy of {path.name}"))
    with pytest.raises(DataError, match=r"the class ring of .* has 2 usable pictures that differ, .* at least 3"):
        load(signs)


def test_pictures_of_a_given_part_that_cannot_be_used_at_all_are_refused(put, tmp_path):
    for label, sign in enumerate(("arrow", "cross")):
        put(tmp_path / "all" / "train" / sign, 30, first=30 * label)
    put(tmp_path / "all" / "test" / "arrow", 1, first=29)
    (tmp_path / "all" / "test" / "cross").mkdir()
    (tmp_path / "all" / "test" / "cross" / "x.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"the test pictures of cross in .* cannot be used; add others"):
        load(tmp_path / "all")


def refused(folder: Path) -> str:
    with pytest.raises(DataError) as refusal:
        datasets.find(str(folder))
    assert "; " in str(refusal.value), "what to do next is missing"
    return str(refusal.value)


def test_a_folder_that_is_no_data_set_is_told_what_one_is(put, tmp_path):
    put(tmp_path / "flat", 3)
    assert "has 0 sub-folders with pictures; a data set is a folder with a sub-folder" in refused(tmp_path / "flat")
    put(tmp_path / "one" / "arrow", 3)
    assert "has 1 sub-folders with pictures" in refused(tmp_path / "one")
    assert "no data set" in refused(tmp_path / "nothing")


def test_more_classes_than_a_model_may_have_are_refused(signs, monkeypatch):
    monkeypatch.setattr(folders, "MOST_CLASSES", 2)
    assert "has 3 sub-folders with pictures" in refused(signs)


def test_parts_beside_classes_are_refused_with_both(put, tmp_path):
    put(tmp_path / "all" / "train" / "arrow", 3)
    put(tmp_path / "all" / "test" / "arrow", 3)
    put(tmp_path / "all" / "cross", 3)
    assert "has test, train and beside them cross" in refused(tmp_path / "all")


def test_two_folders_for_one_part_are_refused(put, tmp_path):
    for name in ("train", "val", "valid"):
        put(tmp_path / "all" / name / "arrow", 3)
    assert "two folders for the validation pictures" in refused(tmp_path / "all")


def test_a_class_that_a_part_lacks_is_refused(put, tmp_path):
    for name in ("train/arrow", "train/cross", "test/arrow", "test/house"):
        put(tmp_path / "all" / name, 3)
    assert "test has no pictures of cross; every part needs every class" in refused(tmp_path / "all")


def test_the_name_of_a_model_ends_in_the_name_of_the_folder(signs, tmp_path):
    assert datasets.find(str(signs)).suffix == "-signs"
    signs.rename(tmp_path / "Zeichen & Ähnliches")
    assert datasets.find(str(tmp_path / "Zeichen & Ähnliches")).suffix == "-Zeichen-hnliches"
    assert (datasets.find("mnist").suffix, datasets.find("strokes").suffix) == ("", "")
    assert datasets.find("kmnist").suffix == "-kmnist"

"""Which pictures are meant, wherever they are: lists, archives, and the list that holds a million of them."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from edge.batch import inputs
from edge.batch.run import Listing, Selection, lines_of, shards
from edge.errors import InputError, PictureError, PictureNotFoundError
from edge.picture.paths import Found, Place


def write_tar(path, contents, **options):
    with tarfile.open(path, "w", **options) as archive:
        for name, content in contents.items():
            facts = tarfile.TarInfo(name)
            facts.size = len(content)
            archive.addfile(facts, io.BytesIO(content))


@pytest.fixture
def archive(tmp_path, picture_bytes, monkeypatch):
    """A tar file as WebDataset has it: pictures, and a label beside each."""
    monkeypatch.chdir(tmp_path)
    contents = {}
    for number, content in enumerate(picture_bytes[:40]):
        contents[f"{number:03}.png"] = content
        contents[f"{number:03}.cls"] = b"7"
    contents["deep/._hidden.png"] = b"what macOS leaves"
    contents["deep/bad.png"] = b"no picture"
    contents["deep/" + 120 * "long" + ".png"] = picture_bytes[40]
    write_tar("digits.tar", contents)
    return Path("digits.tar")


def test_a_list_holds_what_was_put_into_it():
    pictures = [
        Found("a.png"),
        Found("na\udcffme.png"),
        Found("x.tar/b.png", place=Place("x.tar", 512, 100)),
        Found("", PictureNotFoundError("nothing; look elsewhere")),
        Found("y.parquet#3", place=Place("y.parquet", 3, -1)),
    ]
    listing = Listing(pictures)
    assert list(listing) == pictures
    assert listing[1:4] == pictures[1:4]
    assert listing[-1] == pictures[-1]
    assert listing.problem is pictures[3].problem
    assert Selection(listing, [4, 0])[0:2] == [pictures[4], pictures[0]]
    with pytest.raises(IndexError):
        listing[5]


def test_the_digest_of_a_list_knows_every_path_and_place():
    different = [
        [Found("a"), Found("b")],
        [Found("b"), Found("a")],
        [Found("ab")],
        [Found("a"), Found("b"), Found("")],
        [Found("a", place=Place("x.tar", 1, 2)), Found("b")],
        [Found("a", place=Place("y.tar", 1, 2)), Found("b")],
        [Found("a", place=Place("x.tar", 1, 3)), Found("b")],
    ]
    assert len({Listing(pictures).sha256() for pictures in different}) == len(different)
    assert Listing(different[0]).sha256() == Listing(iter(different[0])).sha256()


def test_a_million_paths_take_little_more_than_their_letters():
    listing = Listing(Found(f"folder-{number % 100}/{number:06}.png") for number in range(20_000))
    letters = sum(len(each.path) for each in listing)
    held = len(listing._records) + listing._ends.itemsize * len(listing._ends)
    assert held <= letters + 8 * 20_000


def test_shards_are_about_equal_and_hold_each_picture_once():
    listing = Listing(Found(f"{number:05}.png") for number in range(8000))
    cut = shards(listing, 16)
    assert sorted(position for shard in cut for position in shard) == list(range(8000))
    assert all(list(shard) == sorted(shard) for shard in cut)
    assert 400 <= min(map(len, cut)) <= max(map(len, cut)) <= 600
    with pytest.raises(InputError):
        shards(listing, 0)


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_entries_are_found_wherever_the_list_is_cut(size):
    def entries(text, separator):
        return list(lines_of((text[at : at + size] for at in range(0, len(text), size)), separator))

    assert entries(b"a b\r\n\nc\xff\nlast", b"\n") == ["a b", "c\udcff", "last"]
    assert entries(b"a\nb\0\0c\r\0", b"\0") == ["a\nb", "c\r"]


def test_a_list_of_paths_is_taken_as_it_is(printed, tree, edge_command, bundle_path):
    some = sorted(str(path) for path in tree.rglob("*.png"))[10:30]
    some.insert(5, "tree/[none]*.png")
    Path("list.txt").write_text("\n".join([*some, ""]))
    rows = printed("--from", "list.txt")
    assert [row["path"] for row in rows] == some
    assert "there is no file tree/[none]*.png" in rows[5]["error"]
    zeros = "\0".join(some).encode()
    assert [row["path"] for row in printed("--from", "-", "-0", stdin=zeros)] == some
    assert len(printed("tree", "--from", "list.txt")) == 61 + 21


def test_without_pictures_a_command_says_so(edge_command, bundle_path, tmp_path):
    Path(tmp_path / "empty.txt").write_text("\n\n")
    assert edge_command("predict", "--model", bundle_path).code == 2
    assert edge_command("read").code == 2
    assert edge_command("predict", "-0", "a.png", "--model", bundle_path).code == 2
    assert edge_command("predict", "-", "--from", "-", "--model", bundle_path).code == 2
    ended = edge_command("predict", "--from", tmp_path / "empty.txt", "--model", bundle_path)
    assert (ended.code, "names no picture" in ended.err) == (1, True)
    ended = edge_command("predict", "--from", tmp_path / "missing.txt", "--model", bundle_path)
    assert (ended.code, "cannot be read: No such file" in ended.err) == (1, True)


def test_the_pictures_of_an_archive_are_read_where_they_lie(printed, archive, picture_bytes, helpers):
    for number, content in enumerate(picture_bytes[:40]):
        Path(f"{number:03}.png").write_bytes(content)
    rows = printed(archive)
    assert len(rows) == 42
    assert [row["path"] for row in rows[:2]] == ["digits.tar/000.png", "digits.tar/001.png"]
    alone = printed("*.png")
    for row, expected in zip(rows[:40], alone, strict=True):
        assert helpers.rounded(row | {"path": ""}) == helpers.rounded(expected | {"path": ""})
    assert rows[40]["error"].startswith("digits.tar/deep/bad.png is not a picture")
    assert printed("*.tar") == rows


def test_an_archive_can_be_a_run(archive, edge_command, bundle_path, helpers, printed):
    options = ("--part-rows", "10", "--model", bundle_path)
    assert edge_command("predict", archive, "--out", "out", *options).code == 0
    assert list(map(helpers.rounded, helpers.rows_in("out"))) == list(map(helpers.rounded, printed(archive)))
    with tarfile.open(archive, "a") as more:
        more.add(__file__, "last.png")
    assert "other pictures" in edge_command("predict", archive, "--out", "out", *options).err


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda whole: b"no archive at all", "cannot be read ("),
        (lambda whole: b"", "cannot be read ("),
        (lambda whole: whole[:700], "cannot be read ("),
    ],
)
def test_what_is_no_archive_is_told(archive, damage, told, edge_command, bundle_path):
    archive.write_bytes(damage(archive.read_bytes()))
    ended = edge_command("predict", archive, "--model", bundle_path)
    assert ended.code == 1
    assert f"the archive digits.tar {told}" in ended.err
    assert edge_command("predict", archive, "--out", "out", "--model", bundle_path).code == 1
    assert not Path("out").exists()


def test_archives_without_pictures_that_are_missing_or_compressed_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tar("none.tar", {"a.txt": b"a"})
    told = [str(each.problem) for each in inputs.expand(["none.tar", "a.tar.gz"], ["gone.tar"])]
    assert "holds no pictures" in told[0]
    assert "unpack it, or pack it as .tar" in told[1]
    assert "there is no file gone.tar" in told[2]


def test_an_archive_that_goes_while_it_is_read_gives_errors_in_their_places(archive):
    pictures = list(inputs.expand(["digits.tar"]))
    archive.unlink()
    outcomes = inputs.read_digits(pictures[:3])
    assert [isinstance(each, PictureNotFoundError) for each in outcomes] == [True] * 3


def test_read_takes_the_same_pictures(archive, edge_command, bundle_path, tree):
    ended = edge_command("read", archive, "--model", bundle_path, "--json")
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert [row["path"] for row in rows[:2]] == ["digits.tar/000.png", "digits.tar/001.png"]
    assert rows[40]["error"].startswith("digits.tar/deep/bad.png is not a picture")
    Path("list.txt").write_text("tree/0/0/0.png\n")
    assert json.loads(edge_command("read", "--from", "list.txt", "--json").out)["path"] == "tree/0/0/0.png"


def test_errors_of_bytes_are_about_their_path():
    from edge.errors import NoDigitError, SeveralDigitsError, UnreadablePictureError

    assert str(inputs.named(NoDigitError("the picture"), "a.tar/b.png")).startswith("a.tar/b.png shows no digit")
    several = inputs.named(SeveralDigitsError("the picture", 3), "b.png")
    assert (str(several).split(",")[0], several.digits) == ("b.png shows 3 digits", 3)
    unread = inputs.named(UnreadablePictureError("the picture given as bytes is empty; save it"), "b\x1b.png")
    assert str(unread) == "'b\\x1b.png' is empty; save it"
    other = PictureError("something; else")
    assert inputs.named(other, "b.png") is other


def test_addresses_are_known_from_paths():
    yes = ["s3://bucket/7.png", "https://host/7.png", "memory://7.png", "gs+x://y"]
    no = ["7.png", "/a/b.png", "C:\\a.png", "C:/a.png", "://x", "a b://c", os.fspath(Path("x:") / "y")]
    assert [inputs.is_address(text) for text in yes + no] == [True] * len(yes) + [False] * len(no)


def test_a_member_of_an_archive_that_is_no_picture_s_size_is_not_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tar("large.tar", {"a.png": bytes(1000), "b.png": bytes(10)})
    monkeypatch.setattr(inputs, "MOST_MEMBER_BYTES", 100)
    large, small = inputs.expand(["large.tar"])
    assert str(large.problem) == "large.tar/a.png has 0 MB, in an archive a picture may have 0; unpack it"
    assert small.problem is None


def test_a_header_that_claims_gigabytes_is_not_read(tmp_path):
    header = tarfile.TarInfo("long")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 32
    path = tmp_path / "long.tar"
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    (found,) = inputs.expand([str(path)])
    assert "a header of 4294967" in str(found.problem)


def test_links_devices_and_folders_in_an_archive_are_no_pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with tarfile.open("strange.tar", "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            member = tarfile.TarInfo("../../etc/passwd.png")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    (found,) = inputs.expand(["strange.tar"])
    assert "holds no pictures" in str(found.problem)


def test_many_bytes_are_held_for_few_pictures_at_a_time(monkeypatch):
    held = []
    monkeypatch.setattr(inputs, "contents", lambda _, places: held.append(len(places)) or [b""] * len(places))
    block = [Found(f"x.tar/{size}.png", place=Place("x.tar", 0, size)) for size in (20_000_000, 20_000_000, 1, 1)]
    assert len(inputs.read_digits(block)) == 4
    assert held == [1, 3]

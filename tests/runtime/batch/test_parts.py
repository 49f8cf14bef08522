"""`--out`: parts that are whole or not there, a run that goes on, and what it refuses; shards, and `edge merge`."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import edge
from edge.batch import parts
from edge.batch.parts import BatchError
from edge.errors import WriteError


@pytest.fixture
def out(edge_command, bundle_path, tree):
    """Runs `edge predict tree --out` with small parts."""

    def run(*options, folder="out", model=bundle_path, pictures=tree):
        return edge_command("predict", pictures, "--out", folder, "--part-rows", "10", "--model", model, *options)

    return run


def names_in(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def test_the_rows_are_those_that_are_printed(out, printed, tree, helpers):
    ended = out("--provider", "cpu")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("61 pictures, 1 errors, 0 rejected; ")
    assert ended.out.endswith(" a second; out\n")
    assert [helpers.rounded(row) for row in helpers.rows_in("out")] == list(map(helpers.rounded, printed(tree)))
    assert names_in("out") == ["manifest.json", *(f"part-{part:06}.jsonl" for part in range(7))]
    sizes = [len(path.read_text().splitlines()) for path in sorted(Path("out").glob("part-*"))]
    assert sizes == [10] * 6 + [1]


def test_a_run_goes_on_with_the_parts_that_are_missing_and_comes_to_the_same_bytes(out):
    out()
    before = {path: path.read_bytes() for path in Path("out").iterdir()}
    for part in (1, 6):
        Path(f"out/part-{part:06}.jsonl").unlink()
    Path("out/.part-000001.jsonl.0123.part").write_text("cut o")
    untouched = Path("out/part-000003.jsonl").stat().st_mtime_ns
    ended = out()
    assert ", 50 of them read before; " in ended.out
    assert {path: path.read_bytes() for path in Path("out").iterdir()} == before
    assert Path("out/part-000003.jsonl").stat().st_mtime_ns == untouched
    assert "nothing was left to read" in out().out


def test_a_part_that_was_damaged_is_written_anew(out, helpers):
    out()
    whole = Path("out/part-000002.jsonl").read_bytes()
    for damaged in (whole[:-30], whole.partition(b"\n")[2], b""):
        Path("out/part-000002.jsonl").write_bytes(damaged)
        assert out().code == 0
        assert Path("out/part-000002.jsonl").read_bytes() == whole
    assert len(helpers.rows_in("out")) == 61


def test_the_last_line_for_programs_counts_earlier_runs_too(out):
    out()
    Path("out/part-000000.jsonl").unlink()
    told = json.loads(out("--json").out)
    assert list(told) == ["pictures", "errors", "rejected", "before", "per_second"]
    assert (told["pictures"], told["errors"], told["before"]) == (61, 1, 51)


def test_a_folder_is_tied_to_its_bundle_its_pictures_and_its_options(out, tree, repack, tmp_path):
    out()
    (tmp_path / "other.onnx").write_bytes(repack(name="other"))
    refused = {
        "another bundle (linear-fp32)": out(model=tmp_path / "other.onnx"),
        "other pictures": out(pictures=tree / "1"),
        "another number of shards": out("--shard", "1/2"),
        "other --part-rows": out("--part-rows", "11"),
        "another --top": out("--top", "2"),
    }
    for told, ended in refused.items():
        assert (ended.code, ended.out) == (1, "")
        assert f"the folder out was begun with {told}; " in ended.err
    (tree / "0" / "new.png").write_bytes(b"")
    assert "other pictures" in out().err


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 9}'])
def test_a_folder_that_is_something_else_stays_as_it_is(out, text):
    Path("out").mkdir()
    Path("out/manifest.json").write_text(text)
    assert out().code == 1
    Path("out/manifest.json").rename("out/notes.txt")
    assert "holds something else already" in out().err
    assert names_in("out") == ["notes.txt"]


def test_what_can_not_be_taken_up_again_is_refused_before_anything_is_written(out, edge_command, bundle_path):
    for options in (["--show"], ["--show-steps", "x.png"], ["--format", "parquet", "--top", "2"], ["--shard", "3/2"]):
        assert out(*options).code in (1, 2)
    assert edge_command("predict", "-", "--out", "out", "--model", bundle_path, stdin=b"x").code == 1
    assert edge_command("predict", "tree", "nothing/", "*.none", "--out", "out", "--model", bundle_path).code == 1
    assert edge_command("predict", "tree", "--format", "parquet", "--model", bundle_path).code == 2
    assert not Path("out").exists()


def test_a_full_disk_leaves_whole_parts_only_and_the_run_goes_on_later(out, monkeypatch, helpers):
    fsync, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 4:  # the manifest, two parts, and then no more
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    ended = out()
    assert ended.code == 1
    assert "No space left on device; free some space" in ended.err
    assert names_in("out") == ["manifest.json", "part-000000.jsonl", "part-000001.jsonl"]
    monkeypatch.setattr(os, "fsync", fsync)
    assert out().code == 0
    assert max(helpers.paths_of(helpers.rows_in("out")).values()) == 1
    assert len(helpers.rows_in("out")) == 61


RUN = """
import sys
from edge.cli.main import main
sys.argv = ["edge", "predict", "tree", "--out", "out", "--part-rows", "4", "--threads", "1", "--model", sys.argv[1]]
main()
"""


def test_a_run_that_is_killed_loses_and_doubles_nothing(tree, bundle_path, out, helpers):
    kills = 0
    for wanted in (1, 7):  # parts that are there when it is killed
        running = subprocess.Popen([sys.executable, "-c", RUN, bundle_path], stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while running.poll() is None and len(list(Path("out").glob("part-*"))) < wanted and time.monotonic() < end:
            time.sleep(0.001)
        running.send_signal(signal.SIGKILL)
        kills += running.wait() == -signal.SIGKILL
        left = helpers.rows_in("out")  # every part that is there is whole
        assert len(left) % 4 in (0, 1)
        assert max(helpers.paths_of(left).values()) == 1
    assert kills >= 1
    done = subprocess.run([sys.executable, "-c", RUN, bundle_path], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("61 pictures, 1 errors, ")
    rows = helpers.rows_in("out")
    assert len(rows) == len(helpers.paths_of(rows)) == 61
    assert not list(Path("out").glob(".*"))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_nobody_else_writes_a_shard_that_is_being_written(out, tree, bundle_path):
    out("--shard", "1/2")
    hold = (
        "import sys; from pathlib import Path; from edge.batch import parts\n"
        "held = parts.Parts(Path('out'), parts.read(Path('out')), 2); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    assert "another run is writing this shard" in out("--shard", "2/2").err
    assert out("--shard", "1/2").code == 0
    holder.communicate()
    assert out("--shard", "2/2").code == 0


def test_shards_are_apart_and_together_they_are_all(out, printed, tree, helpers):
    rows = []
    for shard in (3, 1, 2):
        assert out("--shard", f"{shard}/3").code == 0
        here = helpers.rows_in("out", f"part-{shard}-of-3-*")
        assert here == [row for row in here if row["path"] not in helpers.paths_of(rows)]
        rows += here
        shown = printed(tree, "--shard", f"{shard}/3")
        assert [row["path"] for row in shown] == [row["path"] for row in here]
    assert helpers.paths_of(rows) == helpers.paths_of(printed(tree))


def test_a_picture_stays_in_its_shard_when_others_come(out, tree, helpers):
    out("--shard", "1/4", folder="before")
    (tree / "0" / "aaa.png").write_bytes((tree / "0" / "0" / "0.png").read_bytes())
    out("--shard", "1/4", folder="after")
    before, after = (helpers.paths_of(helpers.rows_in(folder)) for folder in ("before", "after"))
    assert set(before) <= set(after)
    assert set(after) - set(before) <= {"tree/0/aaa.png"}


def test_merge_wants_every_part_of_every_shard(out, edge_command, helpers):
    out("--shard", "1/2", folder="one")
    ended = edge_command("merge", "one")
    assert ended.code == 1
    assert "1 of 2 shards are not complete: shard 2 lacks " in ended.err
    assert ended.err.endswith("go on with the same command --shard 2/2\n")
    out("--shard", "2/2", folder="two")
    ended = edge_command("merge", "one", "two", "--out", "all.jsonl")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "61 pictures, 1 errors, 0 rejected; all.jsonl\n"
    rows = [json.loads(line) for line in Path("all.jsonl").read_text().splitlines()]
    assert rows == helpers.rows_in("one") + helpers.rows_in("two")
    told = json.loads(edge_command("merge", "one", "two", "--json").out)
    assert told == {"pictures": 61, "errors": 1, "rejected": 0}


def test_merge_refuses_what_is_damaged_or_of_another_run(out, edge_command, tree):
    out()
    Path("out/part-000001.jsonl").write_bytes(Path("out/part-000001.jsonl").read_bytes().partition(b"\n")[2])
    assert "has 9 rows, and 10 were written" in edge_command("merge", "out", "--out", "all.jsonl").err
    Path("out/part-000001.jsonl").write_bytes(b'{"path": ')
    assert "cannot be read (its last line is cut off)" in edge_command("merge", "out").err
    out(folder="other", pictures=tree / "1")
    assert "begun with other pictures" in edge_command("merge", "out", "other").err
    assert "holds no run" in edge_command("merge", "tree").err
    assert not Path("all.jsonl").exists()


def test_a_merged_file_is_written_whole_or_not_at_all(out, edge_command):
    out()
    Path("all.jsonl").mkdir()
    with pytest.raises(WriteError):
        parts.merge([Path("out")], Path("all.jsonl"))
    assert (
        "the rows missing/all.jsonl cannot be written" in edge_command("merge", "out", "--out", "missing/all.jsonl").err
    )
    assert names_in(".") == ["all.jsonl", "linear-fp32.onnx", "out", "tree"]


def test_rejected_pictures_are_counted_when_they_are_read_and_when_they_are_found(tree, edge_command, tmp_path):
    for path in sorted(tree.rglob("*.png"))[6:]:
        path.unlink()
    told = [edge_command("predict", tree, "--out", "out", "--json").out for _ in range(2)]
    first, again = map(json.loads, told)
    assert first["rejected"] > 0
    assert {**again, "before": 0, "per_second": 0} == {**first, "before": 0, "per_second": 0}
    classifier = edge.load("lstm-int8")
    rejected = sum(classifier.predict(path).rejected for path in tree.rglob("*.png") if path.name != "text.png")
    assert first["rejected"] == rejected


def test_a_manifest_says_where_a_run_came_from(out, bundle_path):
    out()
    run = parts.read(Path("out"))
    assert (run.model, run.inputs, run.shards) == ("linear-fp32", ("tree",), (61,))
    assert run.bundle_sha256 == edge.load(bundle_path).bundle.sha256
    with pytest.raises(BatchError, match="is missing"):
        parts.read(Path("tree"))


@pytest.mark.skipif(sys.platform == "win32", reason="making links needs a right of its own there")
def test_no_file_is_written_through_a_link(out, edge_command):
    victim = Path("victim.txt")
    victim.write_text("precious")
    Path("folder").mkdir()
    for name, target in {"file": victim, "nowhere": "missing", "round": "round", "there": "folder"}.items():
        Path(name).symlink_to(target)
    for name in ("file", "nowhere", "round"):
        ended = out(folder=name)
        assert (ended.code, f"the folder {name} cannot be made: " in ended.err) == (1, True)
    assert out(folder="there").code == 0
    assert names_in("folder") == names_in("there") != []
    Path("folder/part-000003.jsonl").unlink()
    Path("folder/part-000003.jsonl").symlink_to(victim.resolve())
    assert "51 of them read before" in out(folder="there").out
    assert edge_command("merge", "there", "--out", "file").code == 0
    assert not Path("file").is_symlink()
    assert len(Path("file").read_text().splitlines()) == 61
    assert victim.read_text() == "precious"

"""What stands around the command line: pipes that break, streams that are closed or full, other encodings."""

import os
import shlex
import subprocess
import sys

import pytest

RUN = [sys.executable, "-m", "edge"]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break differently there")
def test_a_reader_that_has_left_ends_the_command_quietly(bundle_path):
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [*RUN, "info", str(bundle_path)],
            stdout=write_end,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        os.close(write_end)
    assert done.stderr == ""
    assert done.returncode != 0


def test_a_name_that_the_terminal_cannot_show_is_escaped(tmp_path, shelf):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [*RUN, "info", "zиф.onnx"], capture_output=True, text=True, check=False, timeout=60, env=environment
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.fixture
def two_commands(bundle_path, images, tmp_path):
    """One that only reads, and one that runs a model."""
    from PIL import Image

    Image.fromarray(images[2]).save(tmp_path / "digit.png")
    return ["info", str(bundle_path)], ["predict", str(tmp_path / "digit.png"), "--model", str(bundle_path)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/full is Linux's")
@pytest.mark.represented(redirection=("2>&-", ">/dev/full", ">&- 2>&-"))
@pytest.mark.parametrize(
    ("redirection", "code", "told"),
    [
        ("2>&-", 0, ""),
        ("<&-", 0, ""),
        ("2>/dev/full", 0, ""),
        (">&-", 1, "edge: the standard output is closed; send it to a file, or to /dev/null\n"),
        (
            ">/dev/full",
            1,
            "edge: the results cannot be written to the standard output: No space left on device; send it elsewhere\n",
        ),
        (">&- 2>&-", 1, ""),
        ("<&- >/dev/full 2>/dev/full", 1, ""),
    ],
)
@pytest.mark.counted_children
def test_streams_that_are_closed_or_full_are_no_traceback(two_commands, redirection, code, told):
    # What differs where a model runs is the line of its provider, on the standard error.
    for arguments in two_commands if "2>" in redirection else two_commands[:1]:
        line = f"exec {shlex.join([*RUN, *arguments])} {redirection}"
        done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == code
        remarks = [each for each in done.stderr.splitlines(keepends=True) if " on cpu: " not in each]
        assert "".join(remarks) == told
        assert bool(done.stdout) == (">&-" not in redirection.replace("2>&-", "") and " >/dev" not in f" {redirection}")


def test_a_picture_from_a_closed_stream_is_told(bundle_path):
    line = f"exec {shlex.join([*RUN, 'predict', '-', '--model', str(bundle_path)])} <&-"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("edge: ")
    assert "Traceback" not in done.stderr

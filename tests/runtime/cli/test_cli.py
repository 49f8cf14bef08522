"""The hub: exit codes, one line for an expected failure, and nothing imported that the command does not need."""

import sys

import pytest

from edge.cli import main

RUN = [sys.executable, "-m", "edge"]


def test_the_version_is_one_line(edge_command):
    ended = edge_command("--version")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("edge ")


def test_the_help_lists_every_built_in_command(edge_command):
    ended = edge_command("--help")
    assert ended.code == 0
    for name in main.BUILT_IN:
        assert f"\n  {name} " in ended.out
    assert edge_command("-h").out == ended.out


@pytest.mark.parametrize("name", sorted(main.BUILT_IN))
def test_every_built_in_command_has_its_help(edge_command, name):
    ended = edge_command(name, "--help")
    assert ended.code == 0
    assert f"Usage: edge {name}" in ended.out


@pytest.mark.parametrize(
    "arguments",
    [["nothing"], ["predict"], ["info", "a", "b"], ["predict", "a.png", "--provider", "tpu"], ["--wrong"], []],
)
def test_wrong_usage_exits_with_2(edge_command, arguments):
    ended = edge_command(*arguments)
    assert ended.code == 2
    assert "Usage: edge" in ended.err + ended.out
    assert "Traceback" not in ended.err


def test_an_expected_failure_is_one_line_and_exits_with_1(edge_command, shelf):
    ended = edge_command("info", "missing")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("edge: there is no bundle and no file 'missing'; ")
    assert ended.err.count("\n") == 1


def test_a_message_of_several_lines_is_told_in_one(edge_command, registered):
    registered("many", "from edge.errors import EdgeError\n\ndef many():\n    raise EdgeError('one\\ntwo; three')\n")
    assert edge_command("many").err == "edge: one two; three\n"


def test_a_bug_keeps_its_traceback(monkeypatch, registered):
    registered("buggy", "def buggy():\n    return 1 / 0\n")
    monkeypatch.setattr("sys.argv", ["edge", "buggy"])
    monkeypatch.setattr("sys.excepthook", sys.excepthook)
    with pytest.raises(ZeroDivisionError):
        main.main()


@pytest.mark.parametrize(
    "source",
    ["import torch\n\ndef train():\n    pass\n", "def train():\n    import torch\n"],
    ids=["at import", "when it runs"],
)
def test_a_command_without_its_extra_prints_the_line_to_install_it(edge_command, registered, monkeypatch, source):
    monkeypatch.setitem(sys.modules, "torch", None)
    registered("train", source)
    ended = edge_command("train")
    assert ended.code == 1
    assert ended.err == (
        "edge: `edge train` needs torch, which is not installed; install it with: pip install 'edge-toolkit[train]'\n"
    )


def test_a_command_that_is_called_otherwise_than_its_extra_names_the_extra(edge_command, registered, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    registered("sweep", "import onnx\n\ndef sweep():\n    pass\n")
    assert edge_command("sweep").err == (
        "edge: `edge sweep` needs onnx, which is not installed; install it with: pip install 'edge-toolkit[export]'\n"
    )
    assert "sweep    (not installed: edge-toolkit[export])" in edge_command("--help").out


def test_the_help_still_works_without_the_extra(edge_command, registered, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    registered("train", "import torch\n\ndef train():\n    pass\n")
    ended = edge_command("--help")
    assert ended.code == 0
    assert "train    (not installed: edge-toolkit[train])" in ended.out


def test_the_help_imports_no_command(edge_command, registered):
    registered("greet", 'raise SystemError("imported")\n\ndef greet():\n    """Say hello.\n\n    To all.\n    """\n')
    ended = edge_command("--help")
    assert ended.code == 0
    assert "greet    Say hello." in ended.out


@pytest.mark.parametrize(
    ("source", "told"), [("def greet(:\n", "(broken: "), ("def another():\n    pass\n", "\n  greet\n")]
)
def test_a_registered_command_that_cannot_be_read_does_not_stop_the_help(edge_command, registered, source, told):
    registered("greet", source)
    ended = edge_command("--help")
    assert ended.code == 0
    assert told in ended.out


def test_a_mistyped_command_is_answered_with_the_nearest(edge_command, registered):
    registered("greet", "def greet():\n    pass\n")
    for typed, meant in (("predcit", "predict"), ("gret", "greet")):
        ended = edge_command(typed)
        assert ended.code == 2
        assert f"No such command '{typed}'. Did you mean '{meant}'?" in ended.err


def test_a_module_missing_for_another_reason_is_a_bug(monkeypatch, registered):
    registered("train", "import no_such_module_of_anybody\n\ndef train():\n    pass\n")
    monkeypatch.setattr("sys.argv", ["edge", "train"])
    with pytest.raises(ModuleNotFoundError, match="no_such_module_of_anybody"):
        main.main()


def test_a_registered_command_takes_options_and_ends_with_0(edge_command, registered):
    registered(
        "greet",
        'def greet(name: str, loud: bool = False):\n    """Say hello."""\n    print(name.upper() if loud else name)\n',
    )
    assert edge_command("greet", "you", "--loud").out == "YOU\n"
    assert "greet    Say hello." in edge_command("--help").out


def test_a_built_in_command_cannot_be_replaced(edge_command, registered):
    registered("info", "def info():\n    print('replaced')\n")
    assert edge_command("info").code == 2
    assert "replaced" not in edge_command("info").out


def test_ctrl_c_exits_with_130_without_a_traceback(edge_command, registered):
    registered("endless", "def endless():\n    raise KeyboardInterrupt\n")
    ended = edge_command("endless")
    assert ended.code == 130
    assert "Traceback" not in ended.err


def test_ctrl_c_while_the_command_is_imported_exits_with_130(edge_command, registered):
    registered("slow", "raise KeyboardInterrupt\n")
    assert edge_command("slow").code == 130


def test_control_codes_in_a_name_do_not_reach_the_terminal(edge_command, shelf):
    assert "\x1b" not in edge_command("info", "no\x1b[31m.onnx").err

"""What `--model` may name: a class or function of somebody's own, called with literals, and nothing else run."""

import sys
from pathlib import Path

import pytest
import torch

from edge_export.model import factory
from edge_export.model.errors import ModelError
from edge_export.model.factory import Factory, Made, Name

NETS = """
    from torch import nn

    class Block(nn.Module):
        def __init__(self, size):
            super().__init__()
            self.fc = nn.Linear(size, size)

    class Net(nn.Module):
        def __init__(self, inputs, hidden=4, *, layers=1, block=None, name="x"):
            super().__init__()
            self.inputs, self.hidden, self.layers, self.block, self.name = inputs, hidden, layers, block, name
"""


def make(model: str) -> torch.nn.Module:
    return factory.make(factory.parse(model), lambda _: None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nets:Net", Factory("nets", "Net", "Net")),
        ("a.b.nets : Net", Factory("a.b.nets", "Net", "Net")),
        ("nets:Net()", Factory("nets", "Net", "Net()")),
        ("nets:Net(28, -1.5, 'a')", Factory("nets", "Net", "Net(28, -1.5, 'a')", (28, -1.5, "a"))),
        ("nets:N([1, (2,)], {'a': 0})", Factory("nets", "N", "N([1, (2,)], {'a': 0})", ([1, (2,)], {"a": 0}))),
        ("nets:N(x=True, y='b:c')", Factory("nets", "N", "N(x=True, y='b:c')", (), {"x": True, "y": "b:c"})),
        ("nets:N(Block, [Block])", Factory("nets", "N", "N(Block, [Block])", (Name("Block"), [Name("Block")]))),
        ("nets:N(nn.ReLU)", Factory("nets", "N", "N(nn.ReLU)", (Name("nn.ReLU"),))),
        ("nets:N(C(4, a=F.elu))", Factory("nets", "N", "N(C(4, a=F.elu))", (Made("C", (4,), {"a": Name("F.elu")}),))),
        ("book.ipynb:N", Factory("book.ipynb", "N", "N")),
        ("C:\\nets\\n.py:N", Factory("C:\\nets\\n.py", "N", "N")),
        ("dir/my-net.py:N", Factory("dir/my-net.py", "N", "N")),
        ("../nets.py:N", Factory("../nets.py", "N", "N")),
    ],
)  # fmt: skip
def test_a_call_is_read(text, expected):
    assert factory.parse(text) == expected


@pytest.mark.parametrize(
    "text", [":make", "nets:", ":", ".nets:make", "..:x", "nets:a.b", "nets:3", "nets:f(", "nets:f()()"]
)
def test_half_a_call_is_told(text):
    with pytest.raises(ModelError, match=r"names no factory; give --model package\.module:factory"):
        factory.parse(text)


@pytest.mark.parametrize(
    "argument",
    ["2 * 14", "[i for i in (1, 2)]", "f'{1}'", "lambda: 1", "x=open('y').read()", "Config()['a']", "Config(size + 1)"],
)
def test_nothing_is_evaluated(argument):
    with pytest.raises(ModelError, match="is no literal, and edge evaluates nothing; write its value"):
        factory.parse(f"nets:N({argument})")


def test_a_dictionary_cannot_be_spread():
    with pytest.raises(ModelError, match="write each argument out"):
        factory.parse("nets:N(**{'a': 1})")


def test_the_manifest_gets_no_folder():
    assert factory.parse("/home/me/nets.py:Net(28)").label == "nets:Net(28)"


def test_arguments_reach_the_class(written):
    net = make(f"{written(NETS)}:Net(28, 5, layers=2, block=Block, name='y')")
    assert (net.inputs, net.hidden, net.layers, net.block.__name__, net.name) == (28, 5, 2, "Block", "y")


def test_a_name_that_the_module_does_not_have_is_told(written):
    with pytest.raises(ModelError, match="has no 'Bottleneck'; arguments are literals, or names of that module"):
        make(f"{written(NETS)}:Net(28, block=Bottleneck)")


def test_arguments_that_do_not_fit_are_told_with_the_signature_and_a_line_to_copy(written):
    name = written(NETS)
    with pytest.raises(ModelError) as refusal:
        make(f"{name}:Net")
    text = str(refusal.value)
    assert "missing a required argument: 'inputs'" in text
    assert "Net(inputs, hidden=4, *, layers=1, block=None, name='x')" in text
    assert f"--model '{name}:Net(inputs=...)'" in text
    with pytest.raises(ModelError, match="unexpected keyword argument 'size'"):
        make(f"{name}:Net(28, size=3)")


def test_a_file_is_named_by_its_path(written, in_folder, monkeypatch):
    name = written(NETS, folder="models")
    assert make(f"models/{name}.py:Net(3)").inputs == 3
    assert make(f"{in_folder}/models/{name}.py:Net(4)").inputs == 4
    with pytest.raises(ModelError, match=r"there is no file models/none\.py; check the path"):
        make("models/none.py:Net")


def test_a_file_finds_what_lies_beside_it(written):
    other = written(NETS, folder="beside")
    name = written(f"from {other} import Net", folder="beside")
    assert make(f"beside/{name}.py:Net(2)").inputs == 2


def test_a_file_of_a_package_keeps_its_relative_imports(written, in_folder):
    other = written(NETS, folder="their_package")
    name = written(f"from .{other} import Net", folder="their_package")
    (in_folder / "their_package" / "__init__.py").write_text("")
    assert make(f"their_package/{name}.py:Net(2)").inputs == 2
    assert make(f"their_package.{name}:Net(2)").inputs == 2


def test_an_installed_module_is_imported_as_it_is():
    assert isinstance(make("torch.nn:Linear(3, 2)"), torch.nn.Linear)


# --- scripts ----------------------------------------------------------------------------------------------------------

SCRIPT = """
    import sys
    import argparse
    from pathlib import Path
    import torch
    from torch import nn

    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    args = parser.parse_args()
    size, hidden = 28, 6
    sizes = dict(classes=10)
    sizes["classes"] = 7
    if torch.cuda.is_available():
        device = "cuda"
    else:
        device = "cpu"
    unused = Path("trained").write_text("assigned")

    def head(features):
        return nn.Linear(features, sizes["classes"])

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head, self.device = nn.RNN(size, hidden), head(hidden), device

    net = Net()
    for epoch in range(3):
        Path("trained").write_text(str(epoch))
    with open("trained", "w") as file:
        file.write("opened")
    if __name__ == "__main__":
        Path("trained").write_text("run")
    Path("trained").write_text("called")
"""


def test_of_a_script_only_what_the_class_needs_is_run(written, in_folder):
    lines: list[str] = []
    net = factory.make(factory.parse(f"{written(SCRIPT)}:Net"), lines.append)
    assert (net.rnn.hidden_size, net.head.out_features, net.device) == (6, 7, "cpu")
    assert not (in_folder / "trained").exists(), "nothing was trained, written or overwritten"
    assert lines[0].endswith("so that only what Net needs is run; 12 of its 20 statements are not")


def test_a_module_that_only_defines_is_imported_whole(written):
    lines: list[str] = []
    name = written(NETS + "\n    LOADED = [1, 2]\n")
    factory.make(factory.parse(f"{name}:Net(1)"), lines.append)
    assert lines == [f"importing {name}"]
    assert sys.modules[name].LOADED == [1, 2]


def test_a_path_that_a_script_adds_for_its_imports_is_added(written, in_folder):
    other = written(NETS, folder="elsewhere")
    name = written(
        f"import sys\nsys.path.append({str(in_folder / 'elsewhere')!r})\nfrom {other} import *\nprint(sys.path)\n"
    )
    assert make(f"{name}:Net(2)").inputs == 2


# --- their errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("import torch.not_there", r"fails when it is imported: ModuleNotFoundError: .*'torch.not_there' \(.*1\)"),
        ("def f(:", r"cannot be read: SyntaxError"),
        ("raise SystemExit", r"fails when it is imported: SystemExit"),
        ("\n\nVALUE = {}['a']", r"fails when it is imported: KeyError: 'a' \(.*, line 3\)"),
    ],
)  # fmt: skip
def test_an_error_of_their_module_is_theirs(written, text, complaint):
    name = written(text)
    with pytest.raises(ModelError, match=f"{complaint}.*the error is in that code, not in edge"):
        make(f"{name}:Net")


def test_an_error_of_their_class_is_theirs(written):
    name = written("""
        from torch import nn
        def make(size):
            return nn.Linear(size, "ten")
    """)
    with pytest.raises(ModelError, match=r"fails when it is made: TypeError: .* \(their_nets.*, line 4\)"):
        make(f"{name}:make(3)")


def test_what_they_print_goes_to_stderr_and_what_they_warn_of_nowhere(written, capsys, recwarn):
    name = written("""
        import warnings
        from torch import nn
        def make():
            print("made")
            warnings.warn("old")
            return nn.Linear(1, 1)
    """)
    make(f"{name}:make")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "made" in captured.err
    assert not recwarn.list


def test_a_module_whose_class_is_made_on_cuda_is_made(written):
    name = written("""
        import torch
        from torch import nn
        device = torch.device("cuda:0")
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(2, 2).cuda()
                self.gain = nn.Parameter(torch.ones(2, device=device))
                self.to("cuda")
    """)
    assert {one.device.type for one in make(f"{name}:Net").parameters()} == {"cpu"}


def test_classes_that_are_there_are_named_where_the_one_is_not(written):
    with pytest.raises(ModelError, match=r"has no factory 'Nett', only Block, Net; give --model"):
        make(f"{written(NETS)}:Nett")


def test_the_path_of_a_module_does_not_stay_in_argv(written):
    before = list(sys.argv)
    name = written("""
        import sys
        from torch import nn
        ARGUMENTS = list(sys.argv)
        def make():
            return nn.Linear(len(ARGUMENTS), 1)
    """)
    assert make(f"{name}:make").in_features == 1
    assert sys.argv == before
    assert [Path(one).stem for one in sys.modules[name].ARGUMENTS] == [name], "as a script that was given none"

"""What `--model` may name, and what is said about everything else."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edge.bundle.input import DIGITS
from edge_export.model import factory, trained_model
from edge_export.model.trained_model import ModelError
from edge_train.models.specification import Recurrent, to_json
from edge_train.training import checkpoint
from edge_train.training.checkpoint import CheckpointError

LINEAR = """
    import torch
    from torch import nn

    def make():
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
"""


@pytest.fixture
def weights(tmp_path) -> Path:
    """A state dict of `LINEAR`, as safetensors."""
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    save_file(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).state_dict(), path)
    return path


def test_a_name_alone_means_the_shipped_checkpoint():
    found = trained_model.find("lstm", None, None)
    stored = checkpoint.load(checkpoint.shipped("lstm"))
    assert (found.name, found.model, found.labels) == ("lstm", "lstm", DIGITS)
    assert found.checkpoint_sha256 == stored.sha256
    assert found.architecture == to_json(Recurrent("lstm"))
    assert found.parameters == 82_186
    assert found.temperature == stored.temperature
    assert found.labels == tuple("0123456789")
    assert not found.module.training


def test_a_checkpoint_of_that_name_is_taken(drawn, tmp_path):
    stored = drawn(Recurrent("gru", hidden=6), name="mine", temperature=0.5)
    checkpoint.save(tmp_path / "a.safetensors", stored)
    found = trained_model.find("mine", tmp_path / "a.safetensors", None)
    assert (found.name, found.temperature) == ("mine", 0.5)


def test_a_checkpoint_alone_says_which_model_it_is(drawn, tmp_path):
    checkpoint.save(tmp_path / "a.safetensors", drawn(Recurrent("gru", hidden=6), name="mine"))
    assert trained_model.find(None, tmp_path / "a.safetensors", None).name == "mine"
    assert trained_model.find(None, None, None).name == "lstm"


def test_a_checkpoint_of_another_name_is_refused_with_the_right_one(drawn, tmp_path):
    checkpoint.save(tmp_path / "a.safetensors", drawn(Recurrent("gru", hidden=6), name="mine"))
    with pytest.raises(CheckpointError, match="checkpoint of 'mine', not 'lstm'; use --model mine"):
        trained_model.find("lstm", tmp_path / "a.safetensors", None)


def test_a_model_without_a_shipped_checkpoint_is_to_be_trained(monkeypatch):
    monkeypatch.setattr(checkpoint, "shipped", lambda _: None)
    with pytest.raises(CheckpointError, match="train it with `edge train --model gru`"):
        trained_model.find("gru", None, None)


def test_an_unknown_name_is_told_with_the_known_ones():
    with pytest.raises(CheckpointError, match=r"no checkpoint of 'lstn' is shipped; use one of lstm, "):
        trained_model.find("lstn", None, None)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".bin"])
def test_an_own_module_gets_its_weights_from_either_format(written, weights, tmp_path, suffix):
    path = tmp_path / f"their{suffix}"
    state = {name: tensor + 1 for name, tensor in nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).state_dict().items()}
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    found = trained_model.find(f"{written(LINEAR)}:make", path, None)
    assert torch.equal(found.module.state_dict()["model.1.weight"], state["1.weight"])
    assert found.checkpoint_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (found.name, found.temperature, found.checkpoint) == ("make", 1.0, None)
    assert found.architecture == {"kind": "own", "class": "Sequential"}
    assert found.labels == (), "nobody named them, and the data will"
    assert found.classes == 10
    assert found.parameters == 7850


def test_a_class_is_a_factory_too(written, weights):
    name = written("""
        from torch import nn

        class Net(nn.Sequential):
            def __init__(self):
                super().__init__(nn.Flatten(), nn.Linear(784, 10))
    """)
    assert trained_model.find(f"{name}:Net", weights, None).name == "net"


def test_training_behaviour_is_turned_off(written, tmp_path):
    name = written("""
        from torch import nn

        def make():
            return nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(784, 10)).train()
    """)
    save_file(nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(784, 10)).state_dict(), tmp_path / "w.safetensors")
    module = trained_model.find(f"{name}:make", tmp_path / "w.safetensors", None).module
    assert not any(layer.training for layer in module.modules())


def test_a_network_of_other_floats_is_taken_in_float32(written, weights):
    name = written("""
        from torch import nn

        def make():
            return nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).double()
    """)
    module = trained_model.find(f"{name}:make", weights, None).module
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}


def test_an_own_module_needs_weights(written):
    with pytest.raises(CheckpointError, match="name their file with --checkpoint"):
        trained_model.find(f"{written(LINEAR)}:make", None, None)


def test_a_module_that_is_not_there_is_told(weights, in_folder):
    with pytest.raises(ModelError, match="no module 'nowhere'; run edge in its folder, install it, or give its file"):
        trained_model.find("nowhere:make", weights, None)


def test_what_a_module_itself_lacks_is_told_by_its_own_name(written, weights):
    with pytest.raises(
        ModelError,
        match=r"has no factory 'make'; give .*; not_installed_here is not installed: install it",
    ):
        trained_model.find(f"{written('import not_installed_here')}:make", weights, None)


@pytest.mark.parametrize("factory", ["missing", "VALUE"])
def test_a_factory_that_is_not_there_is_told(written, weights, factory):
    name = written(LINEAR + "    VALUE = 3\n")
    with pytest.raises(ModelError, match=f"has no factory '{factory}'; give --model package.module:factory"):
        trained_model.find(f"{name}:{factory}", weights, None)


@pytest.mark.parametrize("model", [":make", "nets:", ":", ".nets:make", "..:x"])
def test_half_a_name_is_told(in_folder, weights, model):
    with pytest.raises(ModelError, match=r"names no factory; give --model package\.module:factory"):
        trained_model.find(model, weights, None)


def test_a_factory_that_wants_arguments_is_told(written, weights):
    with pytest.raises(
        ModelError, match=r"missing a required argument: 'hidden'; .* --model '.*:make\(hidden=\.\.\.\)'"
    ):
        trained_model.find(f"{written('def make(hidden): ...')}:make", weights, None)


@pytest.mark.parametrize(("made", "kind"), [("None", "NoneType"), ("[1, 2]", "list"), ("dict()", "dict")])
def test_a_factory_that_makes_no_module_is_told(written, weights, made, kind):
    name = written(f"def make(): return {made}")
    with pytest.raises(ModelError, match=f"gives a {kind}, not a torch.nn.Module; name what returns the model"):
        trained_model.find(f"{name}:make", weights, None)


def test_weights_of_another_network_are_told(written, tmp_path):
    save_file({"1.weight": torch.zeros(10, 783), "1.bias": torch.zeros(10)}, tmp_path / "w.safetensors")
    with pytest.raises(
        CheckpointError, match=r"do not fit .*: other sizes in the file: 1\.weight 10x783 for 10x784; .* other sizes"
    ):
        trained_model.find(f"{written(LINEAR)}:make", tmp_path / "w.safetensors", None)


@pytest.mark.parametrize("names", [["1.weight"], ["1.weight", "1.bias", "2.weight"]], ids=["missing", "too many"])
def test_weights_that_lack_or_add_a_name_are_told(written, tmp_path, names):
    tensors = {"weight": torch.zeros(10, 784), "bias": torch.zeros(10)}
    save_file({name: tensors[name[2:]].clone() for name in names}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="do not fit"):
        trained_model.find(f"{written(LINEAR)}:make", tmp_path / "w.safetensors", None)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("kept", [0, 0.2, 0.5, 0.9, 0.999])
def test_a_state_dict_that_was_cut_off_is_told(written, tmp_path, kept, suffix):
    path = tmp_path / f"w{suffix}"
    state = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).state_dict()
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(CheckpointError, match=r"w\.(pt|safetensors) is (empty|damaged|cut off)"):
        trained_model.find(f"{written(LINEAR)}:make", path, None)


def test_a_missing_weights_file_is_told(written, tmp_path):
    with pytest.raises(CheckpointError, match="check the path"):
        trained_model.find(f"{written(LINEAR)}:make", tmp_path / "nothing.pt", None)


# --- labels -----------------------------------------------------------------------------------------------------------

LETTERS = """
    from torch import nn

    def make():
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 3))
"""


@pytest.fixture
def letters(written, tmp_path) -> tuple[str, Path]:
    save_file(nn.Sequential(nn.Flatten(), nn.Linear(784, 3)).state_dict(), tmp_path / "letters.safetensors")
    return f"{written(LETTERS)}:make", tmp_path / "letters.safetensors"


def test_labels_are_lines_of_a_text_file(letters, tmp_path):
    (tmp_path / "labels.txt").write_text("ä\r\n  b b \n\nc\n", encoding="utf-8")
    found = trained_model.find(*letters, tmp_path / "labels.txt")
    assert found.labels == ("ä", "b b", "c")


def test_a_byte_order_mark_is_part_of_no_label(letters, tmp_path):
    (tmp_path / "labels.txt").write_bytes("\ufeffzero\r\none\r\ntwo\r\n".encode())
    assert trained_model.find(*letters, tmp_path / "labels.txt").labels == ("zero", "one", "two")


@pytest.mark.parametrize("label", ["a\x0cb", "a\x1b[2J", "a\u2028b", "a\u200bb", "a\u202eb", "a\xa0b", "a\x00"])
def test_a_label_with_something_that_nobody_sees_is_refused_and_no_line_is_cut_by_it(letters, tmp_path, label):
    (tmp_path / "labels.txt").write_text(f"{label}\nb\nc\n", encoding="utf-8")
    with pytest.raises(ModelError, match=r"in .* has control or invisible characters; take them out with an editor"):
        trained_model.find(*letters, tmp_path / "labels.txt")


def test_where_nobody_names_labels_the_data_does_if_it_has_as_many(letters):
    found = trained_model.find(*letters, None)
    assert found.labelled_by(("ash", "birch", "cedar")).labels == ("ash", "birch", "cedar")
    with pytest.raises(ModelError, match="has 3 classes, and the data 10; name them with --labels FILE, one a line"):
        found.labelled_by(DIGITS)


def test_labels_that_are_named_stay(letters, tmp_path):
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    found = trained_model.find(*letters, tmp_path / "labels.txt")
    assert found.labelled_by(("ash", "birch", "cedar")).labels == ("a", "b", "c")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a\nb\n", r"2 labels \(2 different\), the model has 3"),
        ("a\nb\nb\n", r"3 labels \(2 different\)"),
        ("", "0 labels"),
    ],
)
def test_labels_that_do_not_fit_are_told(letters, tmp_path, text, complaint):
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(ModelError, match=complaint):
        trained_model.find(*letters, tmp_path / "labels.txt")


def test_labels_that_cannot_be_read_are_told(letters, tmp_path):
    with pytest.raises(ModelError, match="cannot read the labels"):
        trained_model.find(*letters, tmp_path / "nothing.txt")
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="give a text file, one label a line"):
        trained_model.find(*letters, tmp_path / "labels.txt")


def test_a_named_model_takes_labels_too(tmp_path):
    (tmp_path / "labels.txt").write_text("\n".join(f"digit {digit}" for digit in range(10)))
    found = trained_model.find("lstm", None, tmp_path / "labels.txt")
    assert found.labels[3] == "digit 3"


@pytest.mark.parametrize(("precision", "name"), [("fp32", "lstm"), ("int8", "lstm-int8"), ("fp16", "lstm-fp16")])
def test_the_bundle_is_named_by_model_and_precision(precision, name):
    assert trained_model.bundle_name(trained_model.find("lstm", None, None), precision) == name


def test_a_network_of_large_pictures_in_colour_is_found(written):
    """It takes 224x224 and nothing that is tried before."""
    nets = written("""
        from torch import nn

        class Large(nn.Module):
            def __init__(self):
                super().__init__()
                self.features = nn.Sequential(nn.Conv2d(3, 2, 16, 16), nn.ReLU(), nn.AvgPool2d(7))
                self.fc = nn.Linear(8, 10)

            def forward(self, x):
                return self.fc(self.features(x).view(x.size(0), 8))
    """)
    made = factory.make(factory.parse(f"{nets}:Large"), lambda _: None)
    torch.save(made.state_dict(), "weights.pt")
    found = trained_model.find(f"{nets}:Large", Path("weights.pt"), None)
    assert found.preparation.layout == "N,3,224,224:resize"

"""Checkpoints as people save them: unwrapped and told, and no pickle is ever executed."""

import argparse
import collections
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

from edge_export.model import state
from edge_train.training.checkpoint import CheckpointError


def net(hidden: int = 4, layers: int = 1, **more: bool) -> nn.Module:
    module = nn.Module()
    module.lstm = nn.LSTM(28, hidden, layers, **more)
    module.norm = nn.BatchNorm1d(hidden)
    module.fc = nn.Linear(hidden, 10)
    return module


@pytest.fixture
def loaded(tmp_path):
    """Loads what was saved into another network of the same form; gives what was said."""

    def run(saved: object, into: nn.Module | None = None, write=torch.save, entry=None) -> tuple[str, ...]:
        path = tmp_path / "weights.ckpt"
        write(saved, path)
        target = into or net()
        said = state.load(target, path, path.read_bytes(), "nets:Net", entry)
        if into is None:
            for name, tensor in target.state_dict().items():
                assert torch.equal(tensor, SAVED[name]) or name.endswith("num_batches_tracked")
        return said

    return run


torch.manual_seed(4)
SAVED = {
    name: torch.randn_like(tensor) if tensor.is_floating_point() else tensor + 3
    for name, tensor in net().state_dict().items()
}
OTHER = {name: tensor + 1 for name, tensor in SAVED.items()}


def prefixed(prefix: str, **more: torch.Tensor) -> dict[str, torch.Tensor]:
    return {**{prefix + name: tensor for name, tensor in SAVED.items()}, **more}


@pytest.mark.parametrize(
    "write", [torch.save, save_file, lambda *a: torch.save(*a, _use_new_zipfile_serialization=False)]
)
def test_a_plain_state_dict_is_taken_in_every_form_of_file(loaded, write):
    assert loaded(SAVED, write=write) == ()


@pytest.mark.parametrize("name", ["state_dict", "model_state_dict", "model", "net", "ema", "weights_of_mine"])
def test_one_level_is_unwrapped_and_said(loaded, name):
    assert loaded({"epoch": 3, name: SAVED, "best": 0.98}) == (f"the entry {name!r}",)


@pytest.mark.parametrize(
    ("prefix", "said"), [("module.", "module."), ("_orig_mod.", "_orig_mod."), ("model.", "model.")]
)
def test_what_stands_in_front_of_all_names_is_taken_off_and_said(loaded, prefix, said):
    assert loaded(prefixed(prefix)) == (f"{said} in front of the names",)


@pytest.mark.parametrize(
    ("saved", "name"),
    [
        ({"trainer": {"model": {"state_dict": SAVED}, "epoch": 3}, "version": 2}, "trainer.model.state_dict"),
        ([SAVED, {"lr": 0.1}], "0"),
        ({"models": [{"epoch": 1}, SAVED], "optimizer": {"state": {0: {"step": torch.ones(1)}}}}, "models.1"),
    ],
)
def test_several_levels_are_unwrapped(loaded, saved, name):
    assert loaded(saved)[0] == f"the entry {name!r}"


def test_the_weights_of_the_network_inside_fit_the_class_around_it(tmp_path):
    path = tmp_path / "inner.pt"
    torch.save(SAVED, path)
    outer = nn.Module()
    outer.model = net()
    assert state.load(outer, path, path.read_bytes(), "nets:Net") == ("model. put in front of the names",)
    assert torch.equal(outer.state_dict()["model.fc.bias"], SAVED["fc.bias"])


def test_both_wrappers_at_once_and_an_entry(loaded):
    assert loaded({"model": prefixed("_orig_mod.module.")}) == (
        "the entry 'model'",
        "module., _orig_mod. in front of the names",
    )


def test_an_average_of_weights_keeps_a_counter_that_nobody_needs(loaded):
    assert loaded(prefixed("module.", n_averaged=torch.tensor(5))) == ("module. in front of the names",)


def test_what_lies_beside_the_weights_of_a_part_is_left(loaded):
    saved = prefixed("model.", **{"loss.weight": torch.ones(10)})
    assert loaded({"state_dict": saved}) == ("the entry 'state_dict'", "model. in front of the names")


def test_of_two_that_fit_and_differ_one_has_to_be_named(loaded):
    """The average of the weights answers otherwise than the last ones, and nothing tells which of them was meant."""
    both = {"ema": OTHER, "model": SAVED}
    with pytest.raises(
        CheckpointError, match=r"2 networks that fit .* and differ; .* --weights model or --weights ema"
    ):
        loaded(both)
    assert loaded(both, entry="model") == ("the entry 'model'", "and not the entry 'ema'")
    with pytest.raises(CheckpointError, match="no weights under 'best'; it has model, ema"):
        loaded(both, entry="best")
    with pytest.raises(CheckpointError, match="no weights under 'best'; leave it out"):
        loaded(SAVED, entry="best")


def test_of_two_that_are_the_same_the_usual_one_is_taken(loaded):
    same = {name: tensor.clone() for name, tensor in SAVED.items()}
    assert loaded({"ema": same, "model": SAVED}) == ("the entry 'model'", "and not the entry 'ema'")


def test_of_several_the_one_that_fits_is_taken(loaded):
    other = net(hidden=5).state_dict()
    assert loaded({"model": other, "pupil": SAVED}) == ("the entry 'pupil'", "and not the entry 'model'")


def test_counters_of_old_checkpoints_may_be_missing(loaded):
    assert loaded({name: tensor for name, tensor in SAVED.items() if "tracked" not in name}) == ()


def test_names_that_torch_itself_translates_are_taken(tmp_path):
    from torch.nn.utils import parametrizations

    old = nn.utils.weight_norm if hasattr(nn.utils, "weight_norm") else None
    if old is None:
        pytest.skip("this torch has no old form of weight_norm")
    with pytest.warns(FutureWarning):
        saved = old(nn.Linear(3, 2)).state_dict()
    torch.save(saved, tmp_path / "w.pt")
    target = parametrizations.weight_norm(nn.Linear(3, 2))
    state.load(target, tmp_path / "w.pt", (tmp_path / "w.pt").read_bytes(), "x")
    assert torch.equal(target.state_dict()["parametrizations.weight.original1"], saved["weight_v"])


# --- what is pickled beside the weights -------------------------------------------------------------------------------


class Exploding:
    """Runs when its pickle is executed."""

    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


class Settings:
    """A class that does not exist where the checkpoint is read."""

    def __init__(self) -> None:
        self.rate, self.more = 0.1, [1]


@pytest.mark.parametrize(
    "beside",
    [
        argparse.Namespace(hidden=4, names=["a"]),
        collections.defaultdict(list, a=[1]),
        np.float64(0.5),
        np.array([1.0, 2.0]),
        Path("runs"),
        Settings(),
        {"deep": [Settings(), (argparse.Namespace(a=1),)]},
        torch.optim.SGD([torch.zeros(1)], lr=0.1).state_dict(),
    ],
    ids=["Namespace", "defaultdict", "number", "array", "path", "own class", "nested", "optimiser"],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_anything_may_lie_beside_the_weights_and_none_of_it_is_made(beside, zipped, loaded, in_folder):
    def write(saved, path):
        torch.save(saved, path, _use_new_zipfile_serialization=zipped)

    assert loaded({"model": SAVED, "config": beside}, write=write) == ("the entry 'model'",)
    assert not Path("exploded").exists()


def test_what_would_run_when_a_pickle_is_executed_does_not_run(tmp_path, in_folder):
    torch.save({"model": SAVED, "config": Exploding()}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="is damaged, or no plain state dict"):
        state.load(net(), tmp_path / "w.pt", (tmp_path / "w.pt").read_bytes(), "nets:Net")
    assert not Path("exploded").exists()


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_module_is_refused_with_what_it_is_and_the_lines_that_save_it(wrapped, zipped, tmp_path):
    module = nn.Sequential(nn.Linear(3, 2))
    path = tmp_path / "whole.pth"
    torch.save({"net": module, "epoch": 1} if wrapped else module, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError) as refusal:
        state.load(net(), path, path.read_bytes(), "nets:Net")
    text = str(refusal.value)
    assert "holds a whole pickled torch.nn.modules.container.Sequential" in text
    assert "model = torch.load('whole.pth', weights_only=False); torch.save(model.state_dict(), 'weights.pt')" in text


# --- other files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b"text\n", "no file of torch or safetensors at all"),
        (bytes(100), "no file of torch or safetensors at all"),
        (b"\x89HDF\r\n\x1a\n", "HDF5 file, as Keras saves models"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html>", "web page"),
        (b"\x1f\x8b\x08", "gzip archive"),
        (b"PK\x03\x04", "cut off or damaged"),
        (pickle.dumps({"a": 1}), "holds no state dict, but a"),
        (pickle.dumps(Path("a")), "holds no state dict"),
        (pickle.dumps({"w": nn.Linear(2, 2)}), "a whole pickled torch.nn.modules.linear.Linear"),
        (b"\x80\x02}", "a pickle that torch did not save"),
    ],
)
def test_another_file_is_told_by_its_first_bytes(tmp_path, content, what):
    path = tmp_path / "w.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=what):
        state.load(net(), path, content, "nets:Net")


class Chained(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        self.register_buffer("gain", torch.tensor([1.0, 3.0]))

    def forward(self, x):
        return self.net(x) * self.gain


def exported(chained: nn.Module, path: Path) -> None:
    program = torch.export.export(chained, (torch.zeros(2, 3),))
    torch.export.save(program, path)


def scripted(chained: nn.Module, path: Path) -> None:
    torch.jit.trace(chained, torch.zeros(2, 3)).save(str(path))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("write", [exported, scripted])
def test_of_an_archive_with_a_program_the_tensors_are_read(tmp_path, write, monkeypatch):
    torch.manual_seed(3)
    chained, path = Chained().eval(), tmp_path / "model.pt2"
    write(chained, path)
    monkeypatch.setattr(torch.jit, "load", None)  # neither is loaded as torch would
    monkeypatch.setattr(torch.export, "load", None)
    given = Chained()
    state.load(given, path, path.read_bytes(), "nets:Chained")
    for name, tensor in given.state_dict().items():
        assert torch.equal(tensor, chained.state_dict()[name])


def test_a_damaged_archive_with_a_program_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("w/constants.pkl", b"")
        archive.writestr("w/data.pkl", pickle.dumps({"a": 1}))
    with pytest.raises(CheckpointError, match=r"TorchScript archive.*torch\.jit\.load\('w\.pt'\)"):
        state.load(net(), tmp_path / "w.pt", (tmp_path / "w.pt").read_bytes(), "nets:Net")


def unnamed_arrays(states: dict, path: Path) -> None:
    with path.open("wb") as file:  # by its name, NumPy would give it another ending
        np.savez(file, *[tensor.numpy() for tensor in states.values()])


def pickled_arrays(states: dict, path: Path) -> None:
    path.write_bytes(pickle.dumps([tensor.numpy() for tensor in states.values()]))


@pytest.mark.parametrize(
    "write", [unnamed_arrays, pickled_arrays, lambda states, path: torch.save(list(states.values()), path)]
)
def test_tensors_without_names_are_taken_by_their_order(loaded, write):
    assert loaded(dict(SAVED), write=write) == ("its tensors by their order, all of these sizes",)


def test_tensors_without_names_have_to_be_all_of_the_same_sizes(loaded):
    said = r"holds no state dict, but \d+ tensors without names, whose sizes in their order are not those of nets:Net"
    with pytest.raises(CheckpointError, match=said):
        loaded(list(SAVED.values())[1:])


def test_parts_of_a_network_that_lie_beside_each_other_are_put_together(loaded):
    parts: dict[str, dict] = {}
    for name, tensor in SAVED.items():
        first, _, rest = name.partition(".")
        parts.setdefault(f"{first}_state_dict", {})[rest] = tensor
    assert loaded({"epoch": 3, **parts}) == ("the parts lstm, norm, fc",)


def test_a_network_that_was_prepared_for_int8_is_told(loaded):
    more = {"fc.weight_fake_quant.scale": torch.ones(1), "fc.activation_post_process.min_val": torch.ones(1)}
    with pytest.raises(CheckpointError, match=r"torch\.ao prepared for int8.*export the network as it was trained"):
        loaded(SAVED | more)


def test_settings_beside_the_weights_are_arguments(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(dict(SAVED), path)
    assert state.arguments(path, path.read_bytes()) == ({}, False)
    (tmp_path / "config.json").write_text('{"hidden": 4, "architectures": ["Net"]}')
    assert state.arguments(path, path.read_bytes()) == ({"hidden": 4, "architectures": ["Net"]}, False)
    (tmp_path / "config.json").write_text("no JSON")
    assert state.arguments(path, path.read_bytes()) == ({}, False)


def test_arrays_of_numpy_are_read(tmp_path):
    wanted = net().state_dict()
    arrays = {name: tensor.numpy() for name, tensor in wanted.items()}
    np.savez(tmp_path / "w.npz", **arrays)
    for content in ((tmp_path / "w.npz").read_bytes(), pickle.dumps(arrays), pickle.dumps({"epoch": 1, "w": wanted})):
        given = net()
        state.load(given, tmp_path / "w", content, "nets:Net")
        for name, tensor in given.state_dict().items():
            assert torch.equal(tensor, wanted[name])


def test_a_pickle_runs_nothing(tmp_path):
    """Whatever it names, nothing but data is made."""

    class Hostile:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "touched",))

    with pytest.raises(CheckpointError):
        state.load(net(), tmp_path / "w", pickle.dumps({"w": Hostile()}), "nets:Net")
    assert not (tmp_path / "touched").exists()


def test_pruned_weights_are_their_product_with_their_masks(tmp_path):
    pruned, given = net(), net()
    layer = next(name for name, part in pruned.named_modules() if isinstance(part, nn.Linear))
    prune.random_unstructured(pruned.get_submodule(layer), "weight", 0.5)
    torch.save(pruned.state_dict(), tmp_path / "w.pt")
    said = state.load(given, tmp_path / "w.pt", (tmp_path / "w.pt").read_bytes(), "nets:Net")
    assert said == ("pruned weights, times their masks",)
    assert torch.equal(given.get_submodule(layer).weight, pruned.get_submodule(layer).weight)


def test_what_trained_a_part_alone_in_parallel_is_taken_off(tmp_path):
    inner, given = nn.Sequential(net(), nn.Linear(2, 2)), nn.Sequential(net(), nn.Linear(2, 2))
    parallel = nn.Sequential(nn.DataParallel(inner[0]), inner[1])
    torch.save(parallel.state_dict(), tmp_path / "w.pt")
    said = state.load(given, tmp_path / "w.pt", (tmp_path / "w.pt").read_bytes(), "nets:Net")
    assert said == ("module. in front of parts of the names",)
    for name, tensor in given.state_dict().items():
        assert torch.equal(tensor, inner.state_dict()[name])


@pytest.mark.parametrize(
    ("saved", "held"),
    [([0.1, 0.2], "list"), (torch.zeros(1), "Tensor"), ({"epoch": 3, "loss": 0.1}, "epoch, loss")],
)
def test_a_file_without_a_state_dict_is_told_with_what_it_holds(tmp_path, saved, held):
    torch.save(saved, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=f"holds no state dict, but {held}; save one with"):
        state.load(net(), tmp_path / "w.pt", (tmp_path / "w.pt").read_bytes(), "nets:Net")


# --- weights that do not fit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("into", "parts"),
    [
        (
            net(hidden=6),
            ["in the file: lstm.weight_ih_l0 16x28 for 24x28", "and 5 more", "made with other sizes"],
        ),
        (net(layers=2), ["missing in the file: lstm.bias_hh_l1", "the numbers of layers differ"]),
        (net(bidirectional=True), ["lstm.bias_hh_l0_reverse", "reads in both directions"]),
        (nn.Linear(4, 10), ["missing in the file: bias, weight", "only in the file: fc.bias", "is of another class"]),
    ],
    ids=["sizes", "layers", "directions", "another class"],
)
def test_weights_that_do_not_fit_are_told_short_with_the_likely_cause(loaded, into, parts):
    with pytest.raises(CheckpointError) as refusal:
        loaded(SAVED, into)
    text = str(refusal.value)
    assert all(part in text for part in parts), text
    assert len(text) < 700


def test_the_sizes_in_a_file_are_told_to_those_who_have_to_guess_arguments(tmp_path):
    torch.save({"model": SAVED}, tmp_path / "w.pt")
    assert state.shapes(tmp_path / "w.pt", (tmp_path / "w.pt").read_bytes()) == (
        "lstm.weight_ih_l0 16x28, lstm.weight_hh_l0 16x4, fc.weight 10x4"
    )


def test_of_two_networks_under_one_roof_one_has_to_be_named(loaded):
    """As an averaging of weights keeps both."""
    both = {**{f"ema_model.{name}": tensor for name, tensor in SAVED.items()},
            **{f"online_model.{name}": tensor for name, tensor in OTHER.items()}, "step": torch.tensor(10)}  # fmt: skip
    with pytest.raises(CheckpointError, match="--weights ema_model or --weights online_model"):
        loaded(both)
    assert loaded(both, entry="ema_model") == ("ema_model. in front of the names",)


def test_lazy_layers_take_the_sizes_of_the_file(tmp_path):
    def lazy() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(6), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(10))

    made, path = lazy(), tmp_path / "weights.pt"
    images = torch.rand(4, 1, 28, 28)
    made(images)
    torch.save(made.state_dict(), path)
    target = lazy()
    assert state.load(target, path, path.read_bytes(), "nets:Net") == ()
    torch.testing.assert_close(target.eval()(images), made.eval()(images))
    with pytest.raises(CheckpointError, match=r"do not fit nets:Net: missing in the file: 6\.bias"):
        state.load(nn.Sequential(*lazy(), nn.ReLU(), nn.LazyLinear(3)), path, path.read_bytes(), "nets:Net")

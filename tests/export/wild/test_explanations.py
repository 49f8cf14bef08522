"""A model that cannot do its job is not packed: what explains it is found by trying, and told as a line to copy.

Each model here reads nearly every drawn digit as its author uses it, and was broken in one way on purpose.
"""

import shlex
from pathlib import Path

import pytest
import torch
from torch import nn
from wild_collection import WILD, new  # conftest.py has loaded it

from edge.bundle import bundle
from edge.bundle.input import DIGITS
from edge.bundle.manifest import Preparation
from edge_export.model import diagnosis, probing
from edge_export.model.preparation import TRIED
from edge_export.model.trained_model import NOTHING_TOLD, Told, TrainedModel
from edge_export.parity import evaluation_data
from edge_export.parity.evaluation_data import PARITY_SEED
from edge_train import strokes
from edge_train.data.splits import Split
from edge_train.training.evaluation import logits_of


@pytest.fixture
def many_digits(few_digits, monkeypatch):
    """More drawn digits than other tests take: enough to see that answers are surer."""
    monkeypatch.setattr(evaluation_data, "STROKE_IMAGES", 800)


LSTM, CNN = "lstm, BatchNorm, dropout", "the usual example"


def mended(edge_command, message: str):
    """Runs the command that a refusal tells to try, as a shell would; a file for what stands in <(...)."""
    line = message.split("; try: edge ")[1].split("; --force packs it", maxsplit=1)[0]
    if "<(" in line:
        before, _, rest = line.partition("<(printf ")
        written, _, after = rest.partition(")")
        pattern, *labels = shlex.split(written)
        assert pattern == "%s\\n"
        Path("labels.txt").write_text("".join(f"{label}\n" for label in labels))
        line = f"{before}labels.txt{after}"
    return edge_command(*shlex.split(line), "--data", "strokes", "--out", "mended")


@pytest.mark.represented(mend=("--normalise 0.1307,0.3081", "--transpose"))
@pytest.mark.parametrize(
    ("name", "options", "mend"),
    [
        (LSTM, (), "--normalise 0.1307,0.3081"),
        ("ViT by Unfold", (), "--normalise half"),
        ("pixels that were never divided", (), "--normalise bytes"),
        ("mlp, softmax", ("--normalise", "half"), "--normalise none"),
        ("dark on light", (), "--invert"),
        ("LeNet", ("--invert",), ""),
        ("columns before rows", (), "--transpose"),
        ("any size, trained on 64x64", (), "--input N,1,64,64:resize"),
    ],
)
def test_a_form_that_the_model_was_not_trained_on_is_found(name, options, mend, export_wild, edge_command):
    ended, _, path = export_wild(name, options=options)
    assert (ended.code, ended.out, path) == (1, "", None)
    message = ended.err.splitlines()[-1]
    assert "of 60 strokes-parity images right, where a trained model reads more than 60%; " in message
    line = message.split("; try: ")[1]
    assert mend in line
    assert ("--invert" in line) == (mend == "--invert")
    if not WILD[name].options:  # those that have some are exported with the same ones elsewhere
        assert mended(edge_command, message).code == 0


def test_classes_in_another_order_are_found(export_wild, edge_command, collection):
    net = collection.made("lstm x2, (h0, c0)")
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    state = net.state_dict()
    state["fc.weight"], state["fc.bias"] = state["fc.weight"][order], state["fc.bias"][order]
    ended, _, _ = export_wild("lstm x2, (h0, c0)", state=state)
    assert ended.code == 1
    message = ended.err.splitlines()[-1]
    assert "with its classes in another order, it reads 9" in message
    assert "--labels <(printf '%s\\n' 3 1 4 0 5 9 2 6 8 7)" in message
    done = mended(edge_command, message)
    assert done.code == 0, done.err
    facts = bundle.read("mended/stack.onnx").manifest
    assert facts.labels == tuple("3140592687")
    assert facts.accuracy[0].accuracy > 0.9, "judged by the names of its labels"


class Around(nn.Module):
    """A network whose answer stands among other numbers."""

    def __init__(self, inner, given):
        super().__init__()
        self.inner, self.given = inner, given

    def forward(self, x):
        return self.given(self.inner(x))


def found(net, given, told=NOTHING_TOLD, count=300):
    """What is found to be wrong with such a network."""
    fits = probing.fit(Around(net, given), Preparation("", output="logits"), TRIED, told.output, len(DIGITS))
    trained = TrainedModel("around", "around", fits[0].adapter.eval(), 10, DIGITS, {}, "0" * 64)
    split = Split("strokes-parity", *strokes.sample(count, seed=PARITY_SEED))
    return diagnosis.check(trained, split, logits_of(trained.module, split.images), told, lambda _: None)


@pytest.mark.parametrize(
    ("given", "words", "option"),
    [
        (lambda out: (out.roll(3, 1).abs(), out), "by its output 1, it reads 9", "1"),
        (lambda out: -out, "negative, because its smallest number is the answer, it reads 9", ":smallest"),
        (lambda out: torch.stack([out, 3 * out, 0 * out]), "by the mean of the steps of axis 0, it reads 9", ":mean"),
    ],
    ids=["another output", "the smallest number", "all steps"],
)
@pytest.mark.sampled(1)
def test_another_answer_is_found(given, words, option, collection):
    finding = found(collection.made("LeNet"), given)
    assert words in finding.sentence
    assert finding.options == {"--output": option}


def test_a_mean_of_steps_that_reads_clearly_better_is_asked_about(collection):
    """By the last step it reads well enough, and still that is not its answer."""

    def given(out):
        without_threes = out - 100 * torch.eye(10)[3]
        return torch.stack([100 * out, without_threes])

    net = collection.made("LeNet")
    finding = found(net, given)
    assert "and more by the mean of its steps: with --output :mean it reads 9" in finding.sentence
    assert "say which is its answer, --output :last if it is that" in finding.sentence
    assert finding.options == {"--output": ":mean"}
    assert found(net, given, Told(output=":last")) is None, "what was said is not doubted"
    assert found(net, lambda out: torch.stack([out - 1, out])) is None, "nobody is asked where both read alike"


def test_several_outputs_that_read_and_differ_are_asked_about(collection):
    """As of a network with an early exit, whose first output reads nearly as well as its last one."""

    def early(out):
        return [out - 100 * torch.eye(10)[3], out]

    net = collection.made("LeNet")
    finding = found(net, early)
    assert "and several of its outputs do, and differ: of 300 of them --output 0 8" in finding.sentence
    assert ", --output 1 9" in finding.sentence
    assert finding.options == {"--output": "1"}
    assert found(net, early, Told(output="0")) is None, "what was said is not doubted"
    assert found(net, lambda out: (2 * out, out)) is None, "nobody is asked where both answer alike"


class Contrasted(nn.Module):
    """As a network that was trained on pixels of that mean and deviation."""

    def __init__(self, inner, mean, deviation):
        super().__init__()
        self.inner, self.mean, self.deviation = inner, mean, deviation

    def forward(self, x):
        pixels = x * self.deviation + self.mean
        away = (pixels - pixels.clamp(0, 1)).abs().flatten(1).sum(1, keepdim=True)
        return self.inner(pixels) * torch.exp(-away)


def test_of_normalisations_that_read_nearly_alike_the_usual_one_is_proposed(collection):
    """Each picture by itself reads a label or two more or less than the mean and deviation of all."""
    finding = found(Contrasted(collection.made("LeNet"), 0.1307, 0.3081), lambda out: out)
    assert finding.options == {"--normalise": "0.1307,0.3081"}


class Sharp(nn.Module):
    """As a network that was trained on pixels of 0 and 1: greys make it unsure."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        greys = (x * (1 - x)).abs().flatten(1).sum(1, keepdim=True)
        return self.inner(x) * torch.where(greys < 0.01, 1.0, 0.2)


def test_pixels_that_a_loader_made_0_and_1_are_asked_about(collection):
    net = Sharp(collection.made("LeNet"))
    finding = found(net, lambda out: out)
    assert "and answers more surely where every pixel is 0 or 1: 9" in finding.sentence
    assert finding.options == {"--normalise": "binary"}
    assert found(net, lambda out: out, Told(normalise="binary")) is None
    assert found(net, lambda out: out, Told(normalise="none")) is None, "what was said is not doubted"


@pytest.mark.represented(name=("small ResNet",))
@pytest.mark.parametrize(
    "name", ["lstm, channel squeezed", "gru x2", "cnn", "row transformer, class token", "small ResNet"]
)
def test_weights_that_were_never_loaded_are_found(name, export_wild):
    fresh = new(WILD[name], seed=5)
    ended, _, _ = export_wild(name, state=fresh.state_dict())
    assert ended.code == 1
    assert "every weight in the checkpoint is as a new model draws it; it was saved before it was trained" in ended.err
    assert "; try: " not in ended.err


def test_what_was_tried_is_shown_with_its_accuracy(export_wild):
    lines = export_wild(LSTM, options=())[0].err.splitlines()
    start = lines.index("what usually explains it, tried on some of the images:")
    table = [line.split("%  ") for line in lines[start + 1 : -1]]
    tried = {words: float(share) for share, words in table}
    assert tried["as it was told"] < 60
    assert tried["normalised by 0.1307,0.3081"] > 90
    assert {"dark on light", "columns before rows", "normalised by half", "normalised by bytes"} <= tried.keys()


def test_a_network_that_reads_as_well_in_another_form_is_asked_about(export_wild, edge_command, many_digits):
    """Its accuracy tells nothing, the confidence of its answers does."""
    ended, _, _ = export_wild(CNN, options=())
    assert ended.code == 1
    message = ended.err.splitlines()[-1]
    assert "answers more surely when they are normalised: with --normalise 0.1307,0.3081 it reads 9" in message
    assert "--normalise none if that was pixels in [0, 1]" in message
    assert mended(edge_command, message).code == 0
    assert export_wild(CNN, options=("--normalise", "none"))[0].code == 0, "what was said is not doubted"


@pytest.mark.represented(name=("lstm, channel squeezed",))
@pytest.mark.parametrize("name", [name for name, wild in WILD.items() if not wild.options])
def test_nobody_is_asked_whose_model_fits_best_as_it_is(name, collection):
    net, digits = collection.made(name), strokes.sample(400, seed=PARITY_SEED)
    layout = WILD[name].layout
    fit = probing.fit_alone if WILD[name].nodes == 1 else probing.fit  # one node: a loop over the pictures
    fits = fit(net, Preparation("", output="logits"), TRIED if layout in TRIED else (layout,), None, len(DIGITS))
    trained = TrainedModel(name, name, fits[0].adapter.eval(), 10, DIGITS, {}, "0" * 64)
    split = Split("strokes-parity", *digits)
    logits = logits_of(trained.module, split.images)
    assert diagnosis.check(trained, split, logits, NOTHING_TOLD, lambda _: None) is None


def test_force_packs_it_with_the_verdict(export_wild):
    ended, _, path = export_wild("lstm, channel squeezed", options=("--invert", "--force"))
    assert ended.code == 0, ended.err
    facts = bundle.read(path).manifest
    assert facts.warning.startswith("packed by --force: origins:RowLSTM reads ")
    assert f"warning: {facts.warning}" in ended.out


def test_ten_classes_are_no_digits_unless_somebody_says_so(export_wild, collection, in_folder):
    """A model of ten other things reads digits no better than a guess."""
    (in_folder / "labels.txt").write_text("\n".join("abcdefghij"))
    state = collection.made("LeNet").state_dict()
    state["f6.weight"] = state["f6.weight"].flip(1)
    ended, _, _ = export_wild("LeNet", state=state)
    assert ended.code == 1
    assert "if its classes are others, name them with --labels FILE, or its data with --data" in ended.err
    named = export_wild("LeNet", state=state, options=("--labels", "labels.txt"))
    assert named[0].code == 0, named[0].err
    assert bundle.read(named[2]).manifest.labels == tuple("abcdefghij")

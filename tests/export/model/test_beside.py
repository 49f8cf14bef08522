"""A class beside somebody's own: what no option can say, as docs/models.md says it, and where a refusal sends there."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edge_export.graph.builder import ConversionError
from edge_export.model import absent, factory, trained_model
from edge_export.model.errors import ModelError
from edge_export.model.trained_model import Told

DOCUMENT = Path(__file__).parents[3] / "docs" / "models.md"

NETS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.flatten(1))


class Predicts(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def scores(self, x):
        return self.fc(x.flatten(1))


class Pairs(Net):
    def forward(self, one, other):
        return self.fc(one.flatten(1)), (one - other).flatten(1).norm(dim=1)


class Decides(Net):
    def forward(self, x):
        return self.fc(x.flatten(1)).argmax(1)


class OverBatch(Net):
    def forward(self, x):
        return super().forward(x).softmax(dim=0)


class NoStatistics(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 3, 5), nn.Linear(1728, 10)
        self.norm = nn.BatchNorm2d(3, track_running_stats=False)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).flatten(1))


class Compiled(torch.jit.ScriptModule):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    @torch.jit.script_method
    def forward(self, x):
        return self.fc(x.flatten(1))


class Rows(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.fc = nn.RNNCell(28, 8), nn.Linear(8, 10)

    def begin(self, count):
        return torch.zeros(count, 8)

    def forward(self, state, row):
        state = self.cell(row.reshape(-1, 28), state)
        return state, self.fc(state)
"""


def new(nets: str, owner: str) -> nn.Module:
    """A network of a written module."""
    return factory.make(factory.parse(f"{nets}:{owner}"), lambda _: None)


def blocks() -> dict[str, str]:
    """The classes of that section, by the name of the class that each is derived from."""
    section = DOCUMENT.read_text(encoding="utf-8").split("## A class beside yours")[1].split("\n## ")[0]
    texts = [part.partition("```")[0] for part in section.split("```python\n")[1:]]
    return {text.split("class Whole(")[1].partition(")")[0]: text for text in texts if "class Whole(" in text}


@pytest.fixture
def made(written):
    """Writes the classes with one of the docs beside them; gives the exported model, and what is asked by hand."""

    def make(owner: str, told: Told = Told(layout="N,1,28,28")):  # noqa: B008 - it never changes
        nets = written(NETS)
        whole = written(blocks()[owner].replace("from nets import", f"from {nets} import"))
        torch.manual_seed(3)
        net = new(nets, owner).eval()
        torch.save(net.state_dict(), "weights.pt")
        return trained_model.find(f"{whole}:Whole", Path("weights.pt"), None, told), net

    return make


def row_by_row(net, images):
    state = net.begin(len(images))
    for row in range(28):
        state, answer = net(state, images[:, 27 - row])
    return answer


BY_HAND = {
    "Predicts": lambda net, x: net.scores(x),
    "Pairs": lambda net, x: net(x, x)[0],
    "Decides": lambda net, x: torch.eye(10)[net(x)],
    "Net": lambda net, x: net((x - x.mean((1, 2), keepdim=True)) / x.std((1, 2), keepdim=True)),
    "Rows": row_by_row,
}


@pytest.mark.parametrize("owner", BY_HAND)
def test_each_class_of_the_docs_takes_the_checkpoint_and_says_what_is_meant(owner, made, digits):
    layout = "N,28,28" if owner == "Rows" else "N,1,28,28"
    trained, net = made(owner, Told(layout=layout))
    x = torch.from_numpy(digits.images.astype(np.float32) / 255)
    with torch.no_grad():
        found, expected = trained.module(x), BY_HAND[owner](net, x)
    if owner == "Decides":
        found, expected = found.argmax(1), expected.argmax(1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_docs_have_no_other_classes():
    assert blocks().keys() == BY_HAND.keys()


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        ("Predicts", r"Predicts has no forward, only scores; .* class Whole\(Predicts\): .* return self\.scores\(x\);"),
        ("Pairs", r"its forward also wants other, which edge cannot make .*; .* class Whole\(Pairs\):"),
        (
            "Decides",
            r"one number for each picture; if that is the class itself; .* F\.one_hot\(super\(\)\.forward\(x\)",
        ),
    ],
)
def test_a_refusal_that_no_option_mends_shows_the_class(owner, said, written):
    nets = written(NETS)
    torch.save(new(nets, owner).state_dict(), "weights.pt")
    with pytest.raises(ModelError, match=said) as refusal:
        trained_model.find(f"{nets}:{owner}", Path("weights.pt"), None)
    assert "docs/models.md" in str(refusal.value)
    assert len(str(refusal.value)) < 600


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        ("OverBatch", "a softmax goes over dim=0"),
        ("NoStatistics", "its BatchNorm keeps no running statistics; train it"),
    ],
)
def test_answers_that_depend_on_other_pictures_are_refused_with_the_likely_cause(owner, said, written):
    nets = written(NETS)
    torch.save(new(nets, owner).state_dict(), "weights.pt")
    with pytest.raises(ModelError, match=f"depends on the other pictures of the batch.*{said}"):
        trained_model.find(f"{nets}:{owner}", Path("weights.pt"), None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_class_is_refused_with_what_it_should_be(written):
    nets = written(NETS)
    torch.save(new(nets, "Compiled").state_dict(), "weights.pt")
    trained = trained_model.find(f"{nets}:Compiled", Path("weights.pt"), None)
    with pytest.raises(
        ConversionError, match=r"derive the class from nn\.Module in the place of torch\.jit\.ScriptModule"
    ):
        trained.convert()


def test_settings_inside_settings_are_attributes_too():
    settings = absent.Hyperparameters({"model": {"sizes": {"hidden": 4}}})
    assert settings.model.sizes.hidden == settings["model"]["sizes"]["hidden"] == 4


def test_a_row_at_a_call_needs_a_state_to_hand_on(written):
    nets = written("""
        from torch import nn

        class Row(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(28, 10)

            def forward(self, row):
                return self.fc(row)
    """)
    torch.save(new(nets, "Row").state_dict(), "weights.pt")
    with pytest.raises(ModelError, match="takes no state that a row could hand on to the next one"):
        trained_model.find(f"{nets}:Row", Path("weights.pt"), None, Told(layout="N,28:rows"))

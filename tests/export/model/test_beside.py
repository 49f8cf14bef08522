"""What is no usual `forward`: found without an option, or told by a class beside, as docs/models.md says."""

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


class Surest(Net):
    def forward(self, x):
        surest, which = torch.max(torch.softmax(super().forward(x), 1), 1)
        return which


class TakesApart(Net):
    def forward(self, batch):
        x, _ = batch
        return super().forward(x)


class ByName(Net):
    def forward(self, batch):
        scores = super().forward(batch["image"])
        return {"scores": 0 * scores if "label" in batch else scores, "loss": None}


class WantsStates(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(28, 10, batch_first=True)

    def forward(self, x, hidden):
        h, c = hidden
        return self.lstm(x.squeeze(1), (h.detach(), c.detach()))[0][:, -1]


class InHalf(Net):
    def __init__(self):
        super().__init__()
        self.half()

    def forward(self, x):
        return super().forward(x.half()).to(torch.bfloat16).float()


class Trainer:
    def __init__(self, rate=0.1):
        self.model = Net()
        self.loss = nn.CrossEntropyLoss()


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


class Margin(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x, label):
        return self.predict(x) - 0.3 * torch.nn.functional.one_hot(label, 10)

    def predict(self, x):
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


def test_the_class_of_the_docs_takes_the_checkpoint_and_says_what_is_meant(made, digits):
    trained, net = made("Rows", Told(layout="N,28,28"))
    x = torch.from_numpy(digits.images.astype(np.float32) / 255)
    with torch.no_grad():
        torch.testing.assert_close(trained.module(x), row_by_row(net, x), atol=1e-5, rtol=1e-5)


def test_the_docs_have_no_other_classes():
    assert blocks().keys() == {"Rows"}


def standardised(x):
    return (x - x.mean((1, 2), keepdim=True)) / x.std((1, 2), keepdim=True)


# What is found, in words, and what is asked by hand.
FOUND = {
    "Predicts": ("has no forward, and is asked by its scores", lambda net, x: net.scores(x)),
    "Pairs": ("its argument other is the same picture again", lambda net, x: net(x, x)[0]),
    "Decides": ("gives the class itself, of logits: its argmax taken off", lambda net, x: net.fc(x.flatten(1))),
    "Surest": ("gives the class itself, of logits: its argmax taken off", lambda net, x: net.fc(x.flatten(1))),
    "TakesApart": ("takes the batch whole, as a pair", lambda net, x: net((x, None))),
    "ByName": ("takes the batch whole, as a mapping", lambda net, x: net({"image": x})["scores"]),
    "WantsStates": (
        "forward begins with empty states",
        lambda net, x: net(x, (torch.zeros(1, len(x), 10), torch.zeros(1, len(x), 10))),
    ),
    "InHalf": ("any other precision is float32", lambda net, x: net.float().fc(x.flatten(1))),
    "Trainer": ("Trainer; its model is taken for the model", lambda net, x: net(x)),
}


@pytest.mark.parametrize("owner", FOUND)
def test_what_is_no_usual_forward_is_found(owner, written, digits):
    nets = written(NETS)
    torch.manual_seed(3)
    net = new(nets, owner).eval()
    torch.save(net.state_dict(), "weights.pt")
    said: list[str] = []
    trained = trained_model.find(f"{nets}:{owner}", Path("weights.pt"), None, tell=said.append)
    words, by_hand = FOUND[owner]
    assert words in "\n".join(said)
    x = torch.from_numpy(digits.images.astype(np.float32) / 255)
    with torch.no_grad():
        torch.testing.assert_close(trained.module(x), by_hand(net, x), atol=1e-5, rtol=1e-5)


def test_a_model_that_cannot_be_called_is_refused_with_the_class_to_write(written):
    nets = written(NETS)
    torch.save(new(nets, "Rows").state_dict(), "weights.pt")
    said = r"its forward also wants row, which edge cannot make .*; .* class Whole\(Rows\):.*docs/models.md"
    with pytest.raises(ModelError, match=said) as refusal:
        trained_model.find(f"{nets}:Rows", Path("weights.pt"), None)
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
def test_a_class_that_compiles_itself_is_taken_as_it_was_written(written):
    nets = written(NETS)
    whole = new(nets, "Compiled")
    torch.save(whole.state_dict(), "weights.pt")
    trained = trained_model.find(f"{nets}:Compiled", Path("weights.pt"), None)
    assert not any(isinstance(part, torch.jit.ScriptModule) for part in trained.module.modules())
    pictures = torch.rand(3, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(trained.module(pictures), whole(pictures[:, None]))
    assert [node.op_type for node in trained.convert().model.graph.node][:3] == ["Cast", "Flatten", "Gemm"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_an_archive_of_torchscript_is_refused_with_what_it_should_be(written):
    nets = written("""
        import torch

        def loaded():
            return torch.jit.load("archive.pt")
        """)
    torch.jit.script(new(written(NETS), "Compiled")).save("archive.pt")
    torch.save(new(nets, "loaded").state_dict(), "weights.pt")
    trained = trained_model.find(f"{nets}:loaded", Path("weights.pt"), None)
    with pytest.raises(ConversionError, match="make it from the class that it was compiled from"):
        trained.convert()


def test_an_answer_that_depends_on_the_right_one_is_refused(written):
    nets = written(NETS)
    torch.save(new(nets, "Margin").state_dict(), "weights.pt")
    with pytest.raises(
        ModelError, match=r"depends on the right one, its argument label.*class Whole\(Margin\).*self\.predict\(x\)"
    ):
        trained_model.find(f"{nets}:Margin", Path("weights.pt"), None)


def test_settings_of_a_model_s_own_class_are_made_of_what_lies_beside_its_weights(written):
    nets = written("""
        from torch import nn

        class Settings:
            def __init__(self, hidden=3, **more):
                self.hidden, self.more = hidden, more

        class Net(nn.Module):
            config_class = Settings

            def __init__(self, config):
                super().__init__()
                assert isinstance(config, Settings)
                self.a, self.b = nn.Linear(784, config.hidden), nn.Linear(config.hidden, 10)

            def forward(self, x):
                return self.b(self.a(x.flatten(1)))
        """)
    for beside, hidden in ((None, 3), ('{"hidden": 5, "model_type": "net"}', 5)):
        if beside:
            Path("config.json").write_text(beside)
        state = {"a.weight": torch.ones(hidden, 784), "a.bias": torch.ones(hidden)}
        torch.save(state | {"b.weight": torch.ones(10, hidden), "b.bias": torch.ones(10)}, "weights.pt")
        assert trained_model.find(f"{nets}:Net", Path("weights.pt"), None).classes == 10


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

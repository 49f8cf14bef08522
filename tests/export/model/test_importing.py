"""Files as people have them: notebooks, other encodings, imports that are not there, and names that are taken."""

import copy
import json
import random
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from edge.bundle.manifest import Preparation
from edge_export.model import factory, probing, state
from edge_export.model.calling import in_evaluation
from edge_export.model.errors import ModelError

NET = "from torch import nn\nclass Net(nn.Linear):\n    def __init__(self):\n        super().__init__(3, 2)\n"


def make(model: str, lines: list[str] | None = None) -> torch.nn.Module:
    return factory.make(factory.parse(model), (lines if lines is not None else []).append)


def test_a_notebook_is_read_without_its_magics_and_its_training(in_folder):
    cells = [
        ("markdown", "# Digits"),
        ("code", "%matplotlib inline\n!pip install torch\nfiles = !ls\nfrom torch import nn\nfrom pathlib import Path"),
        ("code", "%%time\nsize = 5"),
        ("code", "%%bash\nfor file in *; do echo $file; done"),
        ("code", "class Net(nn.Module):\n  def __init__(s):\n    super().__init__()\n    s.fc = nn.Linear(size, 2)"),
        ("code", "this is no Python"),
        ("code", "net = Net()\nnet?\nfor epoch in range(3):\n    Path('trained').touch()"),
    ]  # fmt: skip
    book = {"cells": [{"cell_type": kind, "source": text.splitlines(keepends=True)} for kind, text in cells]}
    (in_folder / "book.ipynb").write_text(json.dumps(book))
    lines: list[str] = []
    assert make("book.ipynb:Net", lines).fc.in_features == 5
    assert "it does more than define" in lines[0]
    assert not (in_folder / "trained").exists()
    (in_folder / "broken.ipynb").write_text("{")
    with pytest.raises(ModelError, match=r"broken\.ipynb cannot be read: JSONDecodeError"):
        make("broken.ipynb:Net")


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + NET.replace("\n", "\r\n").encode(),
        "# -*- coding: gbk -*-\n# 数字\n".encode("gbk") + NET.encode(),
    ],
)
def test_a_file_is_read_in_the_encoding_that_it_declares(content, in_folder):
    (in_folder / f"encoded_{len(content)}.py").write_bytes(content)
    assert isinstance(make(f"encoded_{len(content)}.py:Net"), torch.nn.Linear)


def test_a_file_that_is_called_as_a_module_of_python_replaces_none(in_folder):
    (in_folder / "random.py").write_text(NET)
    assert isinstance(make("random.py:Net"), torch.nn.Linear)
    assert sys.modules["random"] is random


def test_modules_in_the_folder_above_are_found(in_folder):
    (in_folder / "repository" / "nets_of_it").mkdir(parents=True)
    (in_folder / "repository" / "nets_of_it" / "layers_of_it.py").write_text(NET)
    (in_folder / "repository" / "nets_of_it" / "whole_of_it.py").write_text("from nets_of_it.layers_of_it import Net")
    assert isinstance(make("repository/nets_of_it/whole_of_it.py:Net"), torch.nn.Linear)


LIGHTNING = """
    import torch
    from torch import nn
    import pytorch_lightning_not_here as pl
    from metrics_not_here import Accuracy
    from pytorch_lightning_not_here.callbacks import ModelCheckpoint
    try:
        import apex_not_here
    except ImportError:
        apex_not_here = None

    class Data(pl.LightningDataModule):
        pass

    class Net(pl.LightningModule):
        def __init__(self, hidden, lr=0.1, **others):
            super().__init__()
            self.save_hyperparameters(ignore=["lr"])
            self.fc = nn.Linear(self.hparams.hidden, 2)
            self.accuracy, self.apex = Accuracy(task="multiclass"), apex_not_here
            self.log("made", 1)

        def forward(self, x):
            return self.fc(x)

        @pl.utilities.rank_zero_only
        def validation_step(self, batch, _):
            return self.accuracy(self(batch[0]), batch[1])

    class Computes(nn.Module):
        def forward(self, x):
            return pl.rearrange(x)

    class Needs(nn.Sequential):
        def __init__(self):
            super().__init__(pl.Layer(3))
"""


def test_what_only_training_imports_need_not_be_installed(written):
    lines: list[str] = []
    name = written(LIGHTNING)
    net = make(f"{name}:Net(4, momentum=2)", lines)
    assert net(torch.zeros(1, 4)).shape == (1, 2)
    assert net.hparams == {"hidden": 4, "momentum": 2}
    assert net.apex is None, "its author knows what to do without"
    assert lines[-1].endswith("computes without: metrics_not_here, pytorch_lightning_not_here")
    assert "pytorch_lightning_not_here" not in sys.modules
    assert callable(net.validation_step)
    with pytest.raises(ModuleNotFoundError, match="metrics_not_here is not installed, and the model computes with"):
        net.validation_step((torch.zeros(1, 4), None), 0)


def test_a_model_that_computes_with_what_is_missing_is_told_its_name(written):
    name = written(LIGHTNING)
    net = make(f"{name}:Computes")
    with pytest.raises(ModuleNotFoundError, match=r"computes with pytorch_lightning_not_here\.rearrange; install it"):
        net(torch.zeros(1))
    with pytest.raises(ModelError, match=r"fails when it is made: TypeError.*not_here is not installed: install it"):
        make(f"{written(LIGHTNING)}:Needs")


def test_arguments_may_be_made_by_names_of_the_module(written):
    name = written("""
        from dataclasses import dataclass
        from torch import nn

        @dataclass
        class Config:
            size: int = 3
            layer: type = nn.Linear

        def make(config, options):
            return config.layer(config.size, options.classes)
    """)
    model = make(f"{name}:make(Config(5, layer=nn.Linear), Namespace(classes=4))")
    assert (model.in_features, model.out_features) == (5, 4)
    with pytest.raises(ModelError, match=r"the argument Config\(\.\.\.\) fails: TypeError"):
        make(f"{name}:make(Config(1, 2, 3), {{}})")
    with pytest.raises(ModelError, match="has no 'open'"):
        make(f"{name}:make(open('x'), None)")
    with pytest.raises(ModelError, match=r"has no 'nn\.Nothing'"):
        make(f"{name}:make(nn.Nothing, None)")


def test_a_model_that_the_module_made_is_taken_by_its_name(written):
    name = written(NET + "net = Net().cuda()\nfor _ in range(2):\n    raise SystemExit")
    first, second = make(f"{name}:net"), make(f"{name}:net")
    assert isinstance(first, torch.nn.Linear)
    assert first is not second


@pytest.mark.parametrize(
    "lines",
    [
        "if __name__ == '__main__':\n    sizes = [3, 2]\n    net = Net()\n    net.train_it()",
        "def main(size, out=2):\n    net = nn.Linear(3, out)\n    net = net.cuda()\n    raise SystemExit\nmain(3)",
        "def run():\n    with torch.no_grad():\n        net = nn.Linear(3, 2)\n    raise SystemExit\nrun()",
        "net = nn.Sequential()\nnet.append(Net())\nnet.add_module('out', nn.Identity())\nnet.fit()",
    ],
)
def test_a_model_that_only_training_makes_is_taken_by_its_name(written, lines):
    name = written("import torch\n" + NET + lines)
    net = make(f"{name}:net")
    assert net(torch.zeros(1, 3)).shape == (1, 2)


def test_the_arguments_of_a_script_are_those_that_it_has_without_any(written):
    name = written("""
        import argparse
        from torch import nn
        parser = argparse.ArgumentParser()
        group = parser.add_argument_group("sizes")
        group.add_argument("--hidden", type=int, default=5)
        parser.add_argument("--no-cuda", action="store_true")
        parser.add_argument("--data", required=True)
        parser.add_argument("runs")
        args = parser.parse_args()
        args.cuda = not args.no_cuda

        class Net(nn.Linear):
            def __init__(self):
                super().__init__(args.hidden, 2 if args.cuda else 3)

        for _ in range(3):
            raise SystemExit("trains")
    """)
    assert make(f"{name}:Net").weight.shape == (2, 5)


def test_classes_of_packages_that_are_not_there_become_modules(written):
    name = written(
        """
        from torch import nn
        from hub_not_here import HubMixin
        from transformers_not_here import Config, PreTrained

        class First(HubMixin, nn.Module):
            def __init__(self, size=3):
                super().__init__()
                self.fc = nn.Linear(size, 2)

            def forward(self, x):
                return self.fc(x)

        class Last(nn.Module, HubMixin):
            pass

        class Sizes(Config):
            def __init__(self, size=3, **more):
                super().__init__(**more)
                self.size = size

        class Net(PreTrained):
            def __init__(self, config):
                super().__init__(config)
                self.fc = nn.Linear(self.config.size, self.config.classes)
                self.post_init()

            def forward(self, x):
                return self.fc(x)
    """.replace("__init__, forward = First.__init__, First.forward", "pass")
    )
    for model in ("First()", "Net(Sizes(classes=2))"):
        net = make(f"{name}:{model}")
        assert copy.deepcopy(net)(torch.zeros(1, 3)).shape == (1, 2)
        assert sorted(net.state_dict()) == ["fc.bias", "fc.weight"]
        assert not hasattr(net, "init_hidden")
    assert isinstance(make(f"{name}:Last()"), torch.nn.Module)


def test_nothing_is_fetched_while_a_model_is_made(written, in_folder):
    name = written("""
        from torch import nn
        from torch.hub import load_state_dict_from_url
        from torchvision import datasets, models, transforms
        data = datasets.FashionMNIST("data", download=True, transform=transforms.ToTensor())
        epochs = len(data) // 6000

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.model = models.squeezenet1_1(weights="DEFAULT")
                state = load_state_dict_from_url("https://example.org/weights.pth")
                del state["fc.weight"]
                self.model.load_state_dict({} if state.pop("fc.bias") else state, strict=False)
                self.data = datasets.MNIST("data", train=False, download=True)
                self.fc = nn.Linear(len(self.data) // 5000, epochs)
    """)
    assert make(f"{name}:Net").fc.weight.shape == (10, 2)
    assert list(in_folder.iterdir()) == [in_folder / f"{name}.py"]
    assert torch.hub.load_state_dict_from_url.__module__ == "torch.hub"
    with pytest.raises(RuntimeError, match="not found"):
        __import__("torchvision").datasets.MNIST("data")


@pytest.mark.parametrize(
    "method", ["def train(self, epochs, loader): raise SystemExit", "def eval(self): self.train(0)"]
)
def test_methods_that_are_called_like_torch_s_own_are_not_called(written, method):
    net = in_evaluation(make(f"{written(NET + '    ' + method)}:Net"))
    assert not net.training
    assert not torch.nn.Sequential(net).train().eval()[0].training
    assert not copy.deepcopy(net).training


def test_double_precision_is_that_of_the_weights(written):
    name = written("""
        import torch
        from torch import nn

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(784, 10).double()

            def forward(self, x):
                return self.fc(x.double().flatten(1)) + torch.zeros(10, dtype=torch.float64)
    """)
    (fit,) = probing.fit(in_evaluation(make(f"{name}:Net")), Preparation("", output="logits"), ["N,28,28"], None)
    assert fit.adapter.repairs.single
    assert fit.answers.dtype == torch.float32


def test_a_class_that_settings_are_made_of_is_named(written):
    name = written("""
        from __future__ import annotations
        from torch import nn

        class Sizes:
            hidden = 3

        def make(sizes: Sizes, classes: int):
            return nn.Linear(sizes.hidden, classes)
    """)
    with pytest.raises(ModelError, match=rf"as in --model '{name}:make\(sizes=Sizes\(\), classes=\.\.\.\)'"):
        make(f"{name}:make")


def test_sizes_beside_the_weights_are_arguments(written, in_folder):
    name = written(NET.replace("self", "self, sizes, name").replace("3, 2", "*sizes"))
    torch.save({"sizes": [5, 2], "name": "net", "state_dict": {"weight": torch.zeros(2, 5)}, "opt": {}}, "net.pth")
    suggested, known = state.arguments(in_folder / "net.pth", (in_folder / "net.pth").read_bytes())
    assert (suggested, known) == ({"sizes": [5, 2], "name": "net"}, False)
    net = factory.make(factory.parse(f"{name}:Net"), lambda _: None, suggested, needed=True)
    assert (net.in_features, net.out_features) == (5, 2)


def test_arguments_are_those_that_the_checkpoint_was_trained_with(written, in_folder):
    name = written(NET.replace("self", "self, size, more=1").replace("3, 2", "size, more"))
    saved = {"state_dict": {"weight": torch.zeros(2, 5)}, "hyper_parameters": {"size": 5, "more": 2, "lr": 0.1}}
    torch.save(saved, "lit.ckpt")
    suggested, known = state.arguments(in_folder / "lit.ckpt", (in_folder / "lit.ckpt").read_bytes())
    assert (suggested, known) == ({"size": 5, "more": 2, "lr": 0.1}, True)
    lines: list[str] = []
    net = factory.make(factory.parse(f"{name}:Net"), lines.append, suggested)
    assert (net.in_features, net.out_features) == (5, 2)
    assert lines[-1] == "arguments: size=5, more=2, of the checkpoint"
    assert factory.make(factory.parse(f"{name}:Net"), lines.append, suggested, needed=True).out_features == 1
    assert factory.make(factory.parse(f"{name}:Net(7)"), lines.append, suggested).in_features == 7


def test_all_settings_may_be_one_argument(written):
    name = written("from torch import nn\ndef make(args):\n    return nn.Linear(args.size, args['out'])")
    torch.save({"model": {"weight": torch.zeros(1)}, "args": Namespace(size=4, out=6)}, "args.pt")
    suggested, known = state.arguments(Path("args.pt"), Path("args.pt").read_bytes())
    assert not known
    net = factory.make(factory.parse(f"{name}:make"), lambda _: None, suggested, needed=True)
    assert (net.in_features, net.out_features) == (4, 6)

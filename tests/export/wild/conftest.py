"""The collection of models as people write them, and a way to export one of them on the command line."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

spec = importlib.util.spec_from_file_location("wild_collection", Path(__file__).parent / "collection.py")
loaded = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(loaded)


@pytest.fixture(scope="session")
def collection() -> ModuleType:
    """The module that holds the collection."""
    return loaded


@pytest.fixture(scope="module")
def fresh_modules() -> Iterator[None]:
    """The modules are imported by their files; they do not stay on Python's path."""
    before, known = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = before
    for name in set(sys.modules) - known:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).parent == loaded.MODULES:
            del sys.modules[name]


@pytest.fixture
def export_wild(edge_command, few_digits, fresh_modules, in_folder) -> Callable[..., tuple]:
    """Exports a model of the collection; gives how the command ended, the network, and the bundle if there is one.

    `options` stand in the place of those that it needs, `state` in the place of its trained weights.
    """

    def run(name: str, *, options: tuple[str, ...] | None = None, state: dict | None = None):
        wild, net = loaded.WILD[name], loaded.made(name)
        if state is not None:
            net.load_state_dict(state)
        torch.save(wild.save(net.state_dict()), "weights.ckpt")
        model = ["--model", f"{loaded.MODULES}/{wild.model}", "--checkpoint", "weights.ckpt", "--data", "strokes"]
        ended = edge_command("export", *model, *(wild.options if options is None else options), "--out", "out")
        return ended, net, next(iter(Path("out").glob("*.onnx")), None)

    return run

"""Commands that another package registers."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Installs a package that registers one function of this source, in place of all that edge registers."""

    def register(name: str, source: str, group: str = "edge.commands") -> None:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        module = f"registered_{name}_{folder.name}"
        record = folder / "edge_toolkit-9.dist-info"
        record.mkdir()
        (folder / f"{module}.py").write_text(source)
        (record / "METADATA").write_text("Metadata-Version: 2.1\nName: edge-toolkit\nVersion: 9\n")
        (record / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}:{name}\n")
        monkeypatch.syspath_prepend(folder)

    return register

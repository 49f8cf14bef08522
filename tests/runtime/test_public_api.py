"""The public names, and that the thin half stays thin."""

import os
import subprocess
import sys

import pytest

import edge

HEAVY = ("torch", "torchvision", "onnx", "onnxscript", "safetensors", "edge_train", "edge_export")


def modules_after(code: str) -> set[str]:
    """Top-level modules in a fresh interpreter after running the code."""
    script = f"{code}\nimport sys\nprint('MODULES', *sorted(m.partition('.')[0] for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    line = next(line for line in done.stdout.splitlines() if line.startswith("MODULES"))
    return set(line.split()[1:])


def test_the_public_names_are_these():
    assert sorted(edge.__all__) == [
        "BundleDamagedError",
        "BundleError",
        "BundleNotFoundError",
        "Classifier",
        "EdgeError",
        "InputError",
        "MissingExtraError",
        "NoDigitError",
        "NotABundleError",
        "PictureError",
        "PictureNotFoundError",
        "Prediction",
        "ProtocolError",
        "ProviderError",
        "RuntimeMissingError",
        "SeveralDigitsError",
        "UnreadablePictureError",
        "VerificationError",
        "load",
    ]
    for name in edge.__all__:
        assert getattr(edge, name).__name__ == name


def test_the_version_is_the_distribution_s():
    assert edge.__version__
    assert "__version__" in dir(edge)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        edge.nothing  # noqa: B018 - reading it is the test


def test_importing_edge_imports_nothing_heavy():
    loaded = modules_after("import edge")
    assert loaded.isdisjoint({"numpy", "onnxruntime", "PIL", "typer", "rich", *HEAVY})


def test_classifying_imports_no_trainer_and_no_onnx(bundle_path):
    loaded = modules_after(
        "import edge, numpy\n"
        f"edge.load({str(bundle_path)!r}, provider='cpu').classify(numpy.zeros((1, 28, 28), numpy.uint8))"
    )
    assert {"numpy", "onnxruntime"} <= loaded
    assert loaded.isdisjoint({"PIL", "typer", "rich", *HEAVY})


@pytest.mark.parametrize(
    "arguments",
    ["['--version']", "['info', PATH]", "['predict', '--help']", "['--help']", "[]", "['predcit']"],
)
def test_commands_that_compute_nothing_start_without_numpy_and_onnxruntime(bundle_path, arguments):
    loaded = modules_after(
        f"import sys\nPATH = {str(bundle_path)!r}\nsys.argv[1:] = {arguments}\n"
        "from edge.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass"
    )
    assert loaded.isdisjoint({"numpy", "onnxruntime", "PIL", "rich", *HEAVY})


def test_classifying_leaves_no_file_anywhere(bundle_path, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"XDG_CACHE_HOME", "LOCALAPPDATA", "ORT_DISABLE_TELEMETRY"}
    }
    for arguments in (["verify", str(bundle_path)], ["info", str(bundle_path)]):
        subprocess.run(
            [sys.executable, "-m", "edge", *arguments],
            env=environment | {"HOME": str(home), "USERPROFILE": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=home,
            check=True,
            capture_output=True,
            timeout=60,
        )
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize(("setting", "kept"), [(None, "1"), ("0", "0"), ("1", "1")])
def test_telemetry_is_off_unless_the_user_wants_it(setting, kept):
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", "import edge, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"],
        env=environment if setting is None else environment | {"ORT_DISABLE_TELEMETRY": setting},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == kept

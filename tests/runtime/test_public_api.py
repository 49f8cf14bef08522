"""The public names, and what they leave as it was."""

import os
import subprocess
import sys

import pytest

import edge


def test_the_public_names_are_these():
    assert sorted(edge.__all__) == [
        "Bundle",
        "BundleDamagedError",
        "BundleError",
        "BundleNotFoundError",
        "Classifier",
        "EdgeError",
        "Explanation",
        "InputError",
        "KeyFileError",
        "Manifest",
        "MissingExtraError",
        "NoDigitError",
        "NotABundleError",
        "Page",
        "PictureError",
        "PictureNotFoundError",
        "Prediction",
        "ProtocolError",
        "ProviderError",
        "RuntimeMissingError",
        "SeveralDigitsError",
        "SignatureError",
        "UnreadablePictureError",
        "Verification",
        "VerificationError",
        "WriteError",
        "explain",
        "info",
        "load",
        "models",
        "read_page",
        "verify",
    ]


def test_every_public_name_is_there_with_its_documentation():
    for name in edge.__all__:
        documentation = getattr(edge, name).__doc__
        assert documentation, name
        first = documentation.splitlines()[0]
        assert first.endswith((".", ":")), name
    assert set(edge.__all__) < set(dir(edge))


def test_every_public_name_can_be_imported_first():
    """In a fresh interpreter, and each time without what the one before imported: the order must not matter."""
    code = """
import sys
for first in ("verify", "explain", "read_page", "info"):
    for name in [name for name in sys.modules if name.partition(".")[0] == "edge"]:
        del sys.modules[name]
    exec(f"from edge import {first}\\nassert callable({first})")
    import edge
    for name in edge.__all__:
        assert getattr(edge, name) is getattr(edge, name)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_functions_do_what_the_commands_do(bundle_path, images, shelf, manifest):
    assert edge.models() == ["linear-fp32"]
    assert edge.info("linear-fp32").manifest == edge.info(bundle_path).manifest == manifest
    assert edge.verify(bundle_path, "cpu").passed
    prediction = edge.load(bundle_path).predict_image(images[2])
    page = edge.read_page(images[2], bundle_path)
    assert page.text == page.lines[0].text == prediction.label
    found = edge.explain(images[2], bundle_path)
    assert found.prediction.label == prediction.label
    assert found.occlusion is not None
    assert found.lines()[0].startswith(f"{prediction.label} hangs ")


def test_the_version_is_the_distribution_s():
    assert edge.__version__
    assert "__version__" in dir(edge)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        edge.nothing  # noqa: B018 - reading it is the test


def test_classifying_leaves_no_file_anywhere(bundle_path, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"XDG_CACHE_HOME", "LOCALAPPDATA", "ORT_DISABLE_TELEMETRY"}
    }
    subprocess.run(
        [sys.executable, "-m", "edge", "verify", str(bundle_path)],
        env=environment | {"HOME": str(home), "USERPROFILE": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=home,
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize(("setting", "kept"), [(None, "1"), ("0", "0"), ("1", "1")])
@pytest.mark.represented(setting=(None, "0"))
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

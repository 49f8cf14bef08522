"""The commands of the thin half that say something about bundles: verify, info, models, doctor."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from edge.bundle import bundle
from edge.bundle.manifest import Preparation
from edge.cli import bundles
from edge.verification import Verification


def test_verify_prints_a_table_and_exits_with_0(edge_command, bundle_path):
    ended = edge_command("verify", bundle_path, "--provider", "cpu")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == f"{bundle_path}: verified"
    assert [line.split()[:2] for line in lines[1:]] == [
        ["digest", "ok"],
        ["load", "ok"],
        ["placement", "ok"],
        ["evidence", "ok"],
    ]


def test_verify_goes_on_after_a_failure_and_exits_with_1(edge_command, bundle_path, tmp_path, packed, repack):
    (tmp_path / "cut.onnx").write_bytes(packed[:-5])
    (tmp_path / "off.onnx").write_bytes(repack(temperature=3.0))
    ended = edge_command("verify", tmp_path / "cut.onnx", "missing", tmp_path / "off.onnx", bundle_path)
    assert ended.code == 1
    assert "cut.onnx: FAILED\n  digest     FAILED" in ended.out
    assert "evidence   skipped" in ended.out
    assert f"{bundle_path}: verified" in ended.out
    assert "edge: there is no bundle and no file 'missing'" in ended.err
    assert "3 of 4 bundles failed" in ended.err


def test_verify_on_cuda_says_why_not(edge_command, tmp_path, repack):
    (tmp_path / "int8.onnx").write_bytes(repack(name="lstm-int8", precision="int8", providers=("cpu",)))
    ended = edge_command("verify", tmp_path / "int8.onnx", "--provider", "cuda")
    assert ended.code == 1
    assert "CPU only" in ended.out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--provider", "tpu"], "there is no provider 'tpu'; use one of auto, cpu, cuda"),
        (["--provider", "cuda", "--provider-option", "device"], "'device' is no setting; write KEY=VALUE"),
        (["--provider", "cuda", "--provider-option", "=1"], "'=1' is no setting; write KEY=VALUE"),
        (["--provider", "cpu", "--provider-option", "a=1"], "cpu takes none; name the one that they are for"),
    ],
)
def test_a_wrong_provider_or_setting_is_wrong_usage(edge_command, bundle_path, options, told):
    ended = edge_command("verify", bundle_path, *options)
    assert ended.code == 2
    assert told in " ".join(ended.err.split())


def test_settings_reach_the_provider(edge_command, bundle_path, monkeypatch):
    given = {}

    def verify(path, provider, **options):
        given.update(options, provider=provider)
        return Verification(str(path), None, ())

    monkeypatch.setattr("edge.isolation.verify_apart", verify)
    words = ["--provider-option", "device_type=GPU", "--provider-option", "path=a=b", "--provider-option", "empty="]
    edge_command("verify", bundle_path, "--provider", "cuda", *words)
    assert given["provider"] == "cuda"
    assert given["provider_options"] == {"device_type": "GPU", "path": "a=b", "empty": ""}


@pytest.mark.exhaustive  # a name is one of four in the test above
def test_verify_takes_shipped_names(edge_command, shelf):
    assert edge_command("verify", "linear-fp32").code == 0


def test_info_shows_the_manifest(edge_command, bundle_path):
    ended = edge_command("info", bundle_path)
    assert ended.code == 0
    facts = dict(line.split(maxsplit=1) for line in ended.out.splitlines())
    assert facts["name"] == "linear-fp32"
    assert facts["model"] == "linear, 7850 parameters"
    assert facts["input"] == "image uint8 [batch, 28, 28], ink 255 on 0"
    assert facts["accuracy"] == "10.00% of 100 images of noise test (bundle)"


def test_info_says_what_the_graph_does_for_somebodys_own_model(edge_command, tmp_path, manifest, model, evidence):
    preparation = Preparation("N,784", (0.1307,), (0.3081,), inverted=True, transposed=True, output="probabilities")
    own = replace(manifest, preparation=preparation, warning="reads 9 % of the digits")
    (tmp_path / "own.onnx").write_bytes(bundle.pack(model, own, evidence))
    facts = dict(line.split(maxsplit=1) for line in edge_command("info", tmp_path / "own.onnx").out.splitlines())
    assert facts["prepared"] == (
        "in the graph: as [N,784], columns before rows, dark on light, normalised by 0.1307, 0.3081; "
        "gives probabilities"
    )
    assert facts["warning"] == "reads 9 % of the digits"


def test_info_as_json_is_the_whole_manifest(edge_command, bundle_path, manifest, packed):
    record = json.loads(edge_command("info", bundle_path, "--json").out)
    assert record["size_bytes"] == len(packed)
    assert record["manifest"] == json.loads(manifest.to_json())


def test_info_refuses_a_damaged_bundle(edge_command, bundle_path):
    bundle_path.write_bytes(bundle_path.read_bytes()[:-1])
    ended = edge_command("info", bundle_path)
    assert ended.code == 1
    assert "is damaged" in ended.err


TRAINABLE = """
from edge.errors import EdgeError

def describe(name):
    if name not in {None, "linear", "lstm"}:
        raise EdgeError(f"there is no model {name!r}; use linear or lstm")
    return f"layers of {name or 'all'}"
"""
WITHOUT = "def describe(_name):\n    raise ModuleNotFoundError(\"No module named '{0}'\", name='{0}')\n"


@pytest.fixture
def trainable(registered):
    """Registers what an upper layer tells about its models."""

    def register(source):
        registered("describe", source, group=bundles.GROUP)

    return register


def test_models_lists_what_is_shipped_and_what_is_trainable(edge_command, shelf, trainable):
    trainable(TRAINABLE)
    ended = edge_command("models")
    assert ended.code == 0
    assert "linear-fp32" in ended.out
    assert "10.00% noise test" in ended.out
    assert "layers of all" in ended.out


def test_models_without_the_trainer_says_how_to_get_it(edge_command, shelf, trainable):
    trainable(WITHOUT.format("torch"))
    ended = edge_command("models")
    assert ended.code == 0
    assert "linear-fp32" in ended.out
    assert "pip install 'edge-toolkit[train]'" in ended.err


def test_models_does_not_hide_a_bug_of_the_trainer(shelf, trainable):
    trainable(WITHOUT.format("no_such"))
    with pytest.raises(ModuleNotFoundError, match="no_such"):
        bundles.models(None)


def test_models_shows_one_bundle_or_one_model(edge_command, shelf, trainable):
    trainable(TRAINABLE)
    assert "checkpoint" in edge_command("models", "linear-fp32").out
    of_model = edge_command("models", "linear").out
    assert "linear-fp32" in of_model
    assert "layers of linear" in of_model
    only_trainable = edge_command("models", "lstm")
    assert (only_trainable.code, only_trainable.out) == (0, "layers of lstm\n")


def test_models_tells_an_unknown_name(edge_command, shelf, trainable):
    trainable(TRAINABLE)
    assert edge_command("models", "nothing").err == "edge: there is no model 'nothing'; use linear or lstm\n"
    trainable(WITHOUT.format("torch"))
    ended = edge_command("models", "nothing")
    assert ended.code == 1
    assert "the shipped ones are: linear-fp32" in ended.err


def test_models_still_shows_a_shipped_model_that_the_trainer_does_not_know(edge_command, shelf, trainable):
    trainable('from edge.errors import EdgeError\n\ndef describe(name):\n    raise EdgeError("there is no such")\n')
    ended = edge_command("models", "linear")
    assert ended.code == 0
    assert "linear-fp32" in ended.out


def test_models_marks_a_damaged_bundle(edge_command, shelf, packed):
    (shelf / "broken.onnx").write_bytes(packed[:-1])
    ended = edge_command("models")
    assert "is damaged" in ended.out
    assert "linear-fp32" in ended.out


def test_doctor_is_content_with_a_healthy_machine(edge_command, healthy):
    ended = edge_command("doctor")
    assert (ended.code, ended.err) == (0, "")
    assert "provider cpu" in ended.out


def test_doctor_shows_the_repair_of_a_clash_and_exits_with_1(edge_command, healthy, installed):
    installed(onnxruntime="1.31.1", onnxruntime_gpu="1.31.1")
    ended = edge_command("doctor")
    assert ended.code == 1
    assert "-> repair it with: pip uninstall -y onnxruntime onnxruntime-gpu, then" in ended.out
    assert ended.err.startswith("edge: broken: runtime")


def test_doctor_as_json_is_one_document(edge_command, healthy, installed):
    record = json.loads(edge_command("doctor", "--json").out)
    assert record["healthy"] is True
    assert {check["state"] for check in record["checks"]} <= {"ok", "note"}
    installed()
    assert json.loads(edge_command("doctor", "--json").out)["checks"][0]["name"] == "python"


def test_what_a_bundle_says_reaches_the_terminal_without_its_control_codes(
    edge_command, shelf, repack, images, tmp_path
):
    red = "\x1b[31m"
    labels = tuple(f"{red}{digit}" for digit in "0123456789")
    path = shelf / "evil.onnx"
    path.write_bytes(repack(labels=labels, method=red, versions={red: red}, picture={red: red}))
    Image.fromarray(images[2]).save(tmp_path / "digit.png")
    pictures = [[command, tmp_path / "digit.png", "--model", path] for command in ("predict", "read", "explain")]
    for arguments in (["info", path], ["verify", path], ["models"], ["models", "evil"], *pictures):
        ended = edge_command(*arguments)
        assert "\x1b" not in ended.out + ended.err
        assert "Traceback" not in ended.err

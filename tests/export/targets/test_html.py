"""The page in one file and the module in it: bundles opened, checked, replayed and asked in JavaScript."""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import bundle, shipped
from edge.bundle.graph import encode_metadata
from edge.classifier.classifier import load
from edge.explanation.belief import rows
from edge_export.targets import html, registry, web_runtime
from edge_export.targets.registry import DeploymentError
from edge_train.strokes.handwriting import Dice, write

NODE = shutil.which("node")
RUNTIME = os.environ.get(web_runtime.VARIABLE, "")  # read before a test changes the environment
SCRIPTS = resources.files("edge_export.targets") / "javascript"

needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed; on Debian: apt install nodejs npm")
needs_runtime = pytest.mark.skipif(
    not RUNTIME, reason=f"${web_runtime.VARIABLE} names no folder with onnxruntime-web; run: python3 dev.py web"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The module beside the runtime, as Node imports them."""
    found = tmp_path_factory.mktemp("javascript")
    for name in ("edge.mjs", "replay.mjs"):
        (found / name).write_bytes((SCRIPTS / name).read_bytes())
    for name in (web_runtime.MODULE, web_runtime.WASM):
        if RUNTIME:
            (found / name).symlink_to(Path(RUNTIME).resolve() / name)
    return found


DIGEST = encode_metadata("edge.digest", "0" * 64)


def redigested(data):
    """The bytes with a digest that holds again."""
    body = data[: -len(DIGEST)]
    return body + encode_metadata("edge.digest", hashlib.sha256(body).hexdigest())


def node(*words, program="node"):
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True, timeout=120, check=False)


ASKED = """
    import { readFileSync } from "node:fs";
    import { createInterface } from "node:readline";
    const [ortAt, edgeAt, wasmAt] = process.argv.slice(1);
    const ort = await import(ortAt), edge = await import(edgeAt);
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = readFileSync(wasmAt).buffer;
    const options = { executionProviders: ["wasm"], logSeverityLevel: 3 };
    for await (const line of createInterface({ input: process.stdin })) {
      const { script, path } = JSON.parse(line);
      const bytes = new Uint8Array(readFileSync(path));
      const run = eval(`async (readFileSync, ort, edge, bytes, options) => { ${script} }`);
      console.log(JSON.stringify(await run(readFileSync, ort, edge, bytes, options)));
    }
"""


@pytest.fixture(scope="module")
def asked(folder):
    """What a script returns of a bundle; `bytes`, `ort`, `edge` and `options` are at hand in it.

    One Node answers all: to start it with the runtime takes longer than what most of them ask.
    """
    places = [(folder / web_runtime.MODULE).as_uri(), (folder / "edge.mjs").as_uri(), str(folder / web_runtime.WASM)]
    words = ["node", "--input-type=module", "--eval", ASKED, *places]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask(script, path):
            process.stdin.write(json.dumps({"script": script, "path": str(path)}) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            assert answer, "Node ended; its error is above"
            return json.loads(answer)

        yield ask


@pytest.fixture(scope="module")
def replays(folder, parameters, tmp_path_factory):
    """The replay of the shipped bundles, by their names, and of one whose evidence is wrong."""
    names = parameters("test_every_shipped_bundle_holds_its_evidence_in_webassembly", "name")
    found = shipped.info("lstm-20")
    model = found.data[: found.data.index(b"edge.manifest")]
    model = model[: model.rindex(b"\x72")]
    evidence = replace(found.evidence, logits=found.evidence.logits + np.float32(1))
    wrong = tmp_path_factory.mktemp("replayed") / "wrong.onnx"
    wrong.write_bytes(bundle.pack(model, found.manifest, evidence))
    program = NODE if len(names) > 1 else "node"  # as it comes, where many are asked: it compiles twice
    done = node(folder / "replay.mjs", folder, *map(shipped.locate, names), wrong, program=program)
    assert done.returncode == 0, done.stderr
    return dict(zip([*names, "wrong"], map(json.loads, done.stdout.splitlines()), strict=True))


@needs_node
@needs_runtime
@pytest.mark.represented(name=("lstm-20-int8",))
@pytest.mark.parametrize("name", shipped.names())
def test_every_shipped_bundle_holds_its_evidence_in_webassembly(replays, name):
    report, evidence = replays[name], shipped.info(name).evidence
    assert report["passed"], report["steps"]
    assert [step["name"] for step in report["steps"]] == ["digest", "load", "placement", "evidence"]
    logits = np.array(report["logits"], np.float32).reshape(evidence.logits.shape)
    errors = np.abs(logits - evidence.logits).max(axis=1)
    limits = np.array([evidence.limit(at) for at in range(len(errors))])
    assert (errors <= limits).all()
    assert errors[(errors / limits).argmax()] <= report["maxLogitError"] * (1 + 1e-6)
    if not name.endswith("-int8"):
        assert report["flips"] == 0
        assert errors.max() < 1e-4


@needs_node
@needs_runtime
@pytest.mark.parametrize("name", ["lstm", "cnn-16k-int8"])
@pytest.mark.represented(name=("lstm",))
def test_answers_are_those_of_python(asked, name):
    script = """
        const found = await edge.open(bytes, ort, options);
        const answers = await found.predict(found.evidence.images);
        const rows = found.hasRows ? await found.beliefs(found.evidence.images.slice(0, 784)) : null;
        return { answers, rows };
    """
    found = asked(script, shipped.locate(name))
    classifier = load(name, provider="cpu")
    images = classifier.bundle.evidence.images
    for ours, theirs in zip(found["answers"], classifier.predictions(images), strict=True):
        assert (ours["label"], ours["rejected"]) == (theirs.label, theirs.rejected)
        assert ours["confidence"] == pytest.approx(theirs.confidence, abs=2e-2)
        assert ours["score"] == pytest.approx(theirs.score, abs=0.5 if "int8" in name else 1e-3)
    if found["rows"] is not None:
        assert np.array(found["rows"]) == pytest.approx(rows(classifier, images[0]), abs=1e-4)


@needs_node
@needs_runtime
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda data: data[:1000] + bytes([data[1000] ^ 1]) + data[1001:], "do not match its digest"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "do not match its digest"),
        (lambda data: data[:-10], "does not end in a digest"),
        (lambda data: data[: len(data) // 2], "does not end in a digest"),
        (lambda data: data + b"\n", "does not end in a digest"),
        (lambda data: b"", "does not end in a digest"),
    ],
    ids=["flipped byte", "flipped digest", "cut at the end", "cut in half", "appended", "empty"],
)
@pytest.mark.sampled(3)
def test_a_damaged_bundle_is_refused(asked, tmp_path, damage, told):
    path = tmp_path / "damaged.onnx"
    path.write_bytes(damage(shipped.info("lstm-20").data))
    script = """
        let told = null;
        try { await edge.open(bytes, ort, options); } catch (error) { told = [error.name, error.message]; }
        return told;
    """
    name, message = asked(script, path)
    assert name == "BundleError"
    assert told in message


@needs_node
@needs_runtime
def test_another_protocol_is_refused(asked, tmp_path):
    path = tmp_path / "later.onnx"
    data = shipped.info("lstm-20").data
    path.write_bytes(redigested(data.replace(b'"protocol":1', b'"protocol":9')))
    script = """
        let told = "";
        try { await edge.open(bytes, ort, options); } catch (error) { told = error.message; }
        return told;
    """
    assert "speaks protocol 9" in asked(script, path)


@pytest.fixture(scope="module")
def opened_with_keys(asked, tmp_path_factory):
    """What became of each bundle and the keys that it was opened with: who signed it, or why it was refused."""
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    ours, others = (ed25519.Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32) for seed in (1, 2))
    key, other = (one.public_key().public_bytes_raw().hex() for one in (ours, others))
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    pem = ours.public_key().public_bytes(*form).decode()
    unsigned = shipped.info("lstm-20")
    signed = bundle.signed(unsigned, ours).data
    digits = signed.index(b"ed25519 ") + len("ed25519 ") + 65
    forged = redigested(
        signed[:digits] + (b"1" if signed[digits : digits + 1] == b"0" else b"0") + signed[digits + 1 :]
    )
    changed = redigested(signed.replace(b'"name":"lstm-20"', b'"name":"lstm-21"'))
    asking = {
        "signed": (signed, key),
        "signed, key in PEM": (signed, ["2" * 64, pem]),
        "signed, nobody asks": (signed, None),
        "unsigned": (unsigned.data, key),
        "signed by another": (bundle.signed(unsigned, others).data, [key]),
        "changed afterwards": (changed, key),
        "forged": (forged, key),
        "something between": (redigested(signed[: -len(DIGEST)] + encode_metadata("a", "b") + DIGEST), key),
        "flipped byte": (signed[:2000] + bytes([signed[2000] ^ 1]) + signed[2001:], key),
        "no key": (signed, []),
        "no such key": (signed, "release.key.pub"),
        "nobody's key": (signed, "ee" + "f" * 62),
    }
    place = tmp_path_factory.mktemp("signed")
    for number, (data, _) in enumerate(asking.values()):
        (place / f"{number}.onnx").write_bytes(data)
    script = f"""
        const told = [];
        for (const [number, trusted] of Object.entries({json.dumps([keys for _, keys in asking.values()])})) {{
          const data = new Uint8Array(readFileSync({json.dumps(str(place))} + `/${{number}}.onnx`));
          try {{
            const found = await edge.open(data, ort, trusted === null ? options : {{ ...options, trusted }});
            const [digest] = (await found.verify()).steps;
            told.push([found.signer, digest.detail]);
          }} catch (error) {{
            told.push([error.name, error.message]);
          }}
        }}
        return told;
    """
    return key, other, dict(zip(asking, asked(script, place / "0.onnx"), strict=True))


@needs_node
@needs_runtime
@pytest.mark.parametrize("name", ["signed", "signed, key in PEM"])
def test_a_bundle_signed_by_a_trusted_key_is_opened_and_says_by_whom(opened_with_keys, name):
    key, _, told = opened_with_keys
    signer, detail = told[name]
    assert signer == key
    assert f"signed by {key[:12]}" in detail


@needs_node
@needs_runtime
def test_without_keys_nobody_asks_who_signed(opened_with_keys):
    signer, detail = opened_with_keys[2]["signed, nobody asks"]
    assert signer is None
    assert "signed" not in detail


@needs_node
@needs_runtime
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("unsigned", "is not signed, and only signed ones are trusted here"),
        ("signed by another", "says that it is signed by {other}, which is no key that is trusted here"),
        ("changed afterwards", "was changed after it was signed by {key}"),
        ("forged", "was changed after it was signed by {key}"),
        ("something between", "has a signature that `edge sign` did not write"),
        ("flipped byte", "do not match its digest"),
        ("no key", "the list of trusted keys is empty"),
        ("no such key", "is no Ed25519 key"),
        ("nobody's key", "is nobody's: anybody can sign for it"),
    ],
)
def test_what_no_trusted_key_signed_is_refused(opened_with_keys, name, expected):
    key, other, told = opened_with_keys
    kind, message = told[name]
    assert kind == "BundleError"
    assert expected.format(key=key, other=other) in message


@needs_node
@needs_runtime
def test_where_ed25519_is_missing_the_way_out_is_told(asked, tmp_path):
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    ours = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
    path = tmp_path / "signed.onnx"
    path.write_bytes(bundle.signed(shipped.info("lstm-20"), ours).data)
    script = f"""
        const known = crypto.subtle.importKey;
        crypto.subtle.importKey = () => {{ throw new DOMException("Unrecognized name.", "NotSupportedError"); }};
        const trusted = {json.dumps(ours.public_key().public_bytes_raw().hex())};
        let told = "";
        try {{ await edge.open(bytes, ort, {{ ...options, trusted }}); }} catch (error) {{ told = error.message; }}
        crypto.subtle.importKey = known;
        return told;
    """
    told = asked(script, path)
    assert "Ed25519 signatures cannot be checked here; take a newer browser, or check with" in told


@needs_node
@needs_runtime
def test_wrong_evidence_fails_and_says_by_how_much(replays):
    report = replays["wrong"]
    assert report["passed"] is False
    assert report["maxLogitError"] == pytest.approx(1, abs=1e-3)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The page of an int8 LSTM."""
    before = os.environ.get(web_runtime.VARIABLE)
    os.environ[web_runtime.VARIABLE] = RUNTIME
    try:
        return registry.write("html", shipped.info("lstm-int8"), tmp_path_factory.mktemp("page"))
    finally:
        os.environ.pop(web_runtime.VARIABLE) if before is None else os.environ.update({web_runtime.VARIABLE: before})


@needs_runtime
def test_a_page_holds_everything_and_asks_nobody(written):
    (path,) = written.paths
    content = path.read_text()
    assert path.stat().st_size <= html.LARGEST_BYTES
    assert written.replay.passed
    for part in ('src="/', 'href="/', 'src="http', 'href="http', "@import", "url(http"):
        assert part not in content


@needs_runtime
def test_the_page_of_the_largest_shipped_bundle_keeps_to_the_limit():
    largest = max((shipped.info(name) for name in shipped.names()), key=lambda each: each.size)
    runtime = {name: (Path(RUNTIME) / name).read_bytes() for name in (web_runtime.MODULE, web_runtime.WASM)}
    assert len(html.page(largest, runtime)) <= html.LARGEST_BYTES


@needs_runtime
def test_an_int8_page_of_a_recurrent_model_advises_fp32(written):
    assert any("prefer" in note for note in written.notes)


def test_without_a_cache_and_without_npm_the_way_out_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv(web_runtime.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeploymentError, match=r"npm is not installed.*name the folder.*\$EDGE_WEB_RUNTIME"):
        web_runtime.files()


def test_npm_that_fails_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv(web_runtime.VARIABLE, raising=False)
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\nexit 7\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(DeploymentError, match=r"npm cannot fetch onnxruntime-web@.* \(exit 7"):
        web_runtime.files()


def test_files_of_another_version_are_refused(tmp_path, monkeypatch):
    for name in (web_runtime.MODULE, web_runtime.WASM):
        (tmp_path / name).write_bytes(b"something else")
    monkeypatch.setenv(web_runtime.VARIABLE, str(tmp_path))
    with pytest.raises(DeploymentError, match="is not that of onnxruntime-web"):
        web_runtime.files()


# In a browser

IMAGE = (
    "const shown = document.querySelector('#image').getContext('2d').getImageData(0, 0, 28, 28).data;"
    "return [...shown].filter((_, at) => at % 4 === 0)"
)

_place = Path(__file__).parents[2] / "runtime" / "service" / "browser.py"
_spec = importlib.util.spec_from_file_location("edge_tests_browser", _place)
driving = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(driving)


@pytest.fixture(scope="module")
def page(written, tmp_path_factory):
    """The page of the LSTM, opened from the disk."""
    if driving.CHROMIUM is None or driving.DRIVER is None:
        pytest.skip(driving.MISSING)
    with driving.browser(tmp_path_factory.mktemp("profile")) as found:
        found.open(written.paths[0].as_uri())
        found.wait_for(lambda: found.run("return document.querySelectorAll('#bars li').length === 10"))
        yield found


@pytest.fixture
def no_network():
    """In place of the fixture for all tests: the driver of the browser is asked on the loopback address."""


@needs_runtime
@pytest.mark.exhaustive  # Node verifies by the same module, and test_page.py opens a browser
def test_the_page_verifies_itself(page):
    page.run("document.querySelector('#verify').click()")
    page.wait_for(lambda: page.text("#report").startswith("lstm-int8: verified"))
    assert [line.split()[:2] for line in page.text("#report").splitlines()[1:]] == [
        [name, "ok"] for name in ("digest", "load", "placement", "evidence")
    ]
    assert page.errors() == []


DRAWN = 10


@needs_runtime
@pytest.mark.exhaustive  # the browser of test_page.py draws, and Node compares the answers
def test_drawn_digits_get_the_labels_of_python_on_the_same_image(page):
    """The stroke generator's pen paths, drawn with pointer events."""
    classifier = load("lstm-int8", provider="cpu")
    labels = np.arange(DRAWN) % 10
    writing = write(labels, Dice(np.random.default_rng(17).random((DRAWN, 128))), 64)
    right = 0
    for label, path, joined in zip(labels, writing.positions, writing.joined, strict=True):
        page.run("document.querySelector('#clear').click()")
        page.wait_for(lambda: page.text("#label") == "")
        low, size = path.min(0), np.ptp(path, axis=0).max()
        strokes = np.split(0.15 + 0.7 * (path - low) / size, np.flatnonzero(~joined) + 1)
        page.draw("#pad", [stroke.tolist() for stroke in strokes])
        image = np.array(page.run(IMAGE), np.uint8).reshape(28, 28)
        expected = classifier.predict_image(image).label
        page.wait_for(lambda expected=expected: page.text("#label") == expected)
        right += expected == str(label)
    assert right >= 0.9 * DRAWN

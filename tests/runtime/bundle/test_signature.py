"""The signature: who vouches for a bundle, and that nobody else's bundle comes through where keys are given."""

import hashlib
import os
import stat

import pytest

from edge.bundle import bundle, signature
from edge.bundle.graph import encode_metadata
from edge.classifier import classifier
from edge.errors import BundleError, EdgeError, KeyFileError, SignatureError, WriteError
from edge.isolation import verify_apart
from edge.verification import verify

pytest.importorskip("cryptography", reason="the extra sign is not installed")


@pytest.fixture
def key_path(tmp_path):
    path = tmp_path / "schlüssel 鍵"
    signature.write_new_key(path)
    return path


@pytest.fixture
def public(key_path):
    return key_path.with_name(f"{key_path.name}.pub")


@pytest.fixture
def stranger(tmp_path):
    path = tmp_path / "stranger"
    signature.write_new_key(path)
    return path


def signed(data: bytes, key_path) -> bytes:
    return bundle.signed(bundle.read(data), signature.read_private_key(key_path)).data


@pytest.fixture
def signed_path(packed, key_path, tmp_path):
    path = tmp_path / "signed.onnx"
    path.write_bytes(signed(packed, key_path))
    return path


def resealed(body: bytes) -> bytes:
    """A digest that holds, which anybody can write."""
    return body + encode_metadata("edge.digest", hashlib.sha256(body).hexdigest())


DIGEST_BYTES = 81


def test_a_signed_bundle_is_loaded_where_its_key_is_trusted(signed_path, public, images):
    found = classifier.load(signed_path, provider="cpu", trusted=[public])
    assert found.bundle.seal is not None
    assert found.bundle.seal.key == signature.public_keys([public])[0]
    assert found.classify(images).shape == (len(images), 10)


def test_a_signature_adds_one_entry_before_the_digest_and_changes_nothing_else(packed, key_path):
    data = signed(packed, key_path)
    body = packed[:-DIGEST_BYTES]
    assert data.startswith(body)
    entry = data[len(body) : -DIGEST_BYTES]
    assert entry.endswith(bundle.read(data).seal.value.encode())
    assert data == resealed(body + entry)


def test_a_signed_bundle_is_valid_onnx_and_valid_for_who_asks_for_no_signature(packed, signed_path):
    import onnxruntime

    running = onnxruntime.InferenceSession(signed_path.read_bytes(), providers=["CPUExecutionProvider"])
    assert "edge.signature" in running.get_modelmeta().custom_metadata_map
    assert bundle.read(signed_path).manifest == bundle.read(packed).manifest
    assert verify(signed_path, "cpu").passed


def test_signing_twice_gives_the_same_bytes_and_another_key_replaces_the_first(packed, key_path, stranger):
    once = signed(packed, key_path)
    assert signed(once, key_path) == once
    assert signed(once, stranger) == signed(packed, stranger)


def test_the_signed_words_are_those_of_the_documentation(packed, signed_path):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    found = bundle.read(signed_path)
    digest = packed[-64:]  # what the unsigned bundle ends with
    text = b"edge bundle signature 1\n" + digest + b"\n" + found.manifest.to_json().encode()
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(found.seal.key)).verify(bytes.fromhex(found.seal.value), text)


def hostile(packed: bytes, data: bytes, key_path, stranger) -> dict[str, tuple[bytes, str]]:
    """Bundles that must not come through, all with digests that hold, and what is said of each."""
    body = data[:-DIGEST_BYTES]
    key = bundle.read(data).seal.key
    unsigned = packed[:-DIGEST_BYTES]
    entry = body[len(unsigned) :]
    strangers = signed(packed, stranger)
    forged = entry[:-128] + bundle.read(strangers).seal.value.encode()
    manifest = body.replace(b'"parameters":', b'"parametres":', 1).replace(b'"model":"linear"', b'"model":"limear"', 1)
    return {
        "not signed": (packed, "is not signed"),
        "signature taken off": (resealed(unsigned), "is not signed"),
        "by another key": (strangers, "no key that is trusted here"),
        "by another key under this one's name": (resealed(unsigned + forged), f"changed after it was signed by {key}"),
        "manifest changed": (resealed(manifest.replace(b"parametres", b"parameters")), "changed after it was signed"),
        "weights changed": (resealed(body.replace(b"the Cast", b"the Gast", 1)), "changed after it was signed"),
        "something behind the signature": (resealed(body + encode_metadata("more", "x")), "did not write"),
        "signature of another form": (resealed(unsigned + encode_metadata("edge.signature", "x")), "did not write"),
        "letters for digits": (resealed(body[:-1] + b"z"), "did not write"),
        "signature of zeros": (resealed(body[:-128] + b"0" * 128), "changed after it was signed"),
    }


def test_what_no_trusted_key_has_signed_is_refused_before_a_session_is_made(
    packed, key_path, stranger, public, tmp_path
):
    for name, (data, reason) in hostile(packed, signed(packed, key_path), key_path, stranger).items():
        assert data != signed(packed, key_path), name
        path = tmp_path / "hostile.onnx"
        path.write_bytes(data)
        for load in (classifier.load, lambda path, trusted: bundle.read(path, trusted=signature.public_keys(trusted))):
            with pytest.raises(SignatureError, match=reason):
                load(path, trusted=[public])
        outcome = verify(path, "cpu", trusted=[public])
        assert [step.passed for step in outcome.steps] == [False], name
        assert reason in outcome.steps[0].detail


def test_a_bundle_signed_twice_is_refused_with_and_without_keys(packed, key_path, public):
    data = signed(packed, key_path)
    entry = data[len(packed) - DIGEST_BYTES : -DIGEST_BYTES]
    with pytest.raises(BundleError, match="packed twice"):
        bundle.read(resealed(packed[:-DIGEST_BYTES] + entry + entry))


def test_several_keys_may_be_trusted_and_one_file_may_hold_several(signed_path, public, stranger, tmp_path):
    other = stranger.with_name("stranger.pub")
    both = tmp_path / "both.pem"
    both.write_bytes(b"# the new one\n" + other.read_bytes() + b"\n# the old one\r\n" + public.read_bytes())
    assert len(signature.public_keys([both])) == 2
    for trusted in ([other, public], [both], both, str(both), [signature.public_keys([public])[0].upper()]):
        assert classifier.load(signed_path, provider="cpu", trusted=trusted).bundle.seal is not None


def test_the_environment_names_the_keys_where_no_others_are_given(
    signed_path, bundle_path, public, stranger, monkeypatch
):
    other = stranger.with_name("stranger.pub")
    monkeypatch.setenv("EDGE_TRUSTED_KEYS", os.pathsep.join([str(other), str(public)]))
    assert classifier.load(signed_path, provider="cpu").bundle.seal is not None
    assert verify_apart(signed_path, "cpu").passed
    with pytest.raises(SignatureError, match="is not signed"):
        classifier.load(bundle_path)
    assert "is not signed" in verify_apart(bundle_path, "cpu").steps[0].detail
    with pytest.raises(SignatureError, match="no key that is trusted"):
        classifier.load(signed_path, trusted=[other])
    monkeypatch.setenv("EDGE_TRUSTED_KEYS", "")
    assert classifier.load(bundle_path, provider="cpu").bundle.seal is None


def test_settings_that_name_no_key_let_nothing_through(bundle_path, monkeypatch):
    with pytest.raises(KeyFileError, match="list of trusted keys is empty"):
        classifier.load(bundle_path, trusted=[])
    monkeypatch.setenv("EDGE_TRUSTED_KEYS", os.pathsep)
    for use in (classifier.load, verify, verify_apart):
        with pytest.raises(KeyFileError, match="EDGE_TRUSTED_KEYS names no key"):
            use(bundle_path)


ORDER_OF_THE_FIELD = 2**255 - 19


@pytest.mark.parametrize(
    "y",
    [
        *(0, 1, ORDER_OF_THE_FIELD - 1, ORDER_OF_THE_FIELD, ORDER_OF_THE_FIELD + 1),
        int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
        int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
    ],
)
@pytest.mark.parametrize("sign", [0, 1])
def test_a_key_that_nobody_can_own_is_refused(y, sign, bundle_path, monkeypatch):
    monkeypatch.setenv("EDGE_TRUSTED_KEYS", (y + (sign << 255)).to_bytes(32, "little").hex())
    with pytest.raises(KeyFileError, match="is nobody's: anybody can sign for it"):
        classifier.load(bundle_path)


def test_bundles_in_ort_format_are_refused_where_keys_are_given(public, tmp_path):
    path = tmp_path / "model.ort"
    path.write_bytes(b"\0\0\0\0ORTM")
    with pytest.raises(SignatureError, match="ORT format, which cannot be signed"):
        bundle.read(path, trusted=signature.public_keys([public]))


PEM = "-----BEGIN {0}-----\n{1}\n-----END {0}-----\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no public key"),
        (b"\xff\xfe\x00 k\xc3\xa9y", "no public key"),
        (PEM.format("PUBLIC KEY", "MCowBQYDK2Vw").encode(), "another kind"),
        (PEM.format("PUBLIC KEY", "MCowBQYDK2V").encode(), "damaged"),
        (PEM.format("PUBLIC KEY", "A" * 60).encode(), "another kind"),
        (PEM.format("PRIVATE KEY", "AAAA").encode(), "private key, which no device needs"),
    ],
)
def test_a_damaged_public_key_is_an_error_that_names_the_file(bundle_path, tmp_path, content, reason):
    path = tmp_path / "damaged ключ.pub"
    path.write_bytes(content)
    with pytest.raises(KeyFileError, match=reason) as caught:
        classifier.load(bundle_path, trusted=[path])
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("path", ["nowhere.pub", "nul\0byte.pub", "."])
def test_a_public_key_that_cannot_be_read_is_an_error(bundle_path, path):
    with pytest.raises(KeyFileError, match="cannot be read"):
        classifier.load(bundle_path, trusted=[path])


def test_only_a_private_ed25519_key_signs(key_path, public, tmp_path):
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    def written(key, lock) -> bytes:
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)

    path = tmp_path / "key"
    own = signature.read_private_key(key_path)
    for content, reason in (
        (public.read_bytes(), "a public key, which cannot sign"),
        (key_path.read_bytes()[:60], "no private key"),
        (b"", "no private key"),
        (written(own, BestAvailableEncryption(b"word")), "locked with a password"),
        (written(ec.generate_private_key(ec.SECP256R1()), NoEncryption()), "another kind than Ed25519"),
    ):
        path.write_bytes(content)
        with pytest.raises(KeyFileError, match=reason):
            signature.read_private_key(path)


def test_a_new_key_is_for_its_owner_alone_and_never_written_over_another(key_path, public):
    if os.name == "posix":
        assert stat.S_IMODE(key_path.stat().st_mode) == 0o600
    before = key_path.read_bytes(), public.read_bytes()
    for taken in (key_path, public):
        with pytest.raises(WriteError, match="never written over"):
            signature.write_new_key(key_path)
        assert (key_path.read_bytes(), public.read_bytes()) == before if taken == key_path else True
        key_path.unlink(missing_ok=True)
    assert not key_path.exists()  # beside the public key of another, no private one


def test_a_key_in_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(WriteError, match="cannot be written"):
        signature.write_new_key(tmp_path / "nowhere" / "key")


def test_the_commands_make_a_key_sign_and_verify(edge_command, bundle_path, tmp_path):
    key, copy = tmp_path / "a key", tmp_path / "signed copy.onnx"
    made = edge_command("keygen", key)
    assert made.code == 0
    number = made.out.split()[-1]
    assert edge_command("keygen", key).code == 1
    before = bundle_path.read_bytes()
    done = edge_command("sign", bundle_path, "--key", key, "--out", copy)
    assert done.code == 0, done.err
    assert f"signed by {number}" in done.out
    assert bundle_path.read_bytes() == before
    good = edge_command("verify", copy, "--key", f"{key}.pub")
    assert good.code == 0, good.out
    assert f"signed by {number[:12]}" in good.out
    bad = edge_command("verify", bundle_path, "--key", number)
    assert bad.code == 1
    assert "is not signed" in bad.out
    assert f"signed by     {number}" in edge_command("info", copy).out
    assert number in edge_command("info", copy, "--json").out
    assert edge_command("sign", bundle_path, "--key", key).code == 0
    assert bundle_path.read_bytes() == copy.read_bytes()


@pytest.fixture
def trusting(public, monkeypatch):
    """The environment trusts the key."""
    monkeypatch.setenv("EDGE_TRUSTED_KEYS", str(public))


@pytest.fixture
def picture(tmp_path):
    """A page with a seven."""
    image = pytest.importorskip("PIL.Image")
    draw = pytest.importorskip("PIL.ImageDraw")
    page = image.new("L", (90, 90), 255)
    draw.Draw(page).line([(20, 20), (70, 20), (40, 75)], fill=0, width=8)
    path = tmp_path / "seven.png"
    page.save(path)
    return path


@pytest.mark.usefixtures("trusting")
def test_predict_asks_for_signatures_where_the_environment_names_keys(edge_command, bundle_path, signed_path, picture):
    assert edge_command("predict", picture, "--model", signed_path).code == 0
    refused = edge_command("predict", picture, "--model", bundle_path)
    assert refused.code == 1
    assert "is not signed" in refused.err


def test_a_shipped_bundle_is_signed_as_a_copy_only(edge_command, shelf, key_path, tmp_path):
    assert edge_command("sign", "linear-fp32", "--key", key_path).code == 2
    assert edge_command("sign", "linear-fp32", "--key", key_path, "--out", tmp_path / "copy.onnx").code == 0
    assert bundle.read(tmp_path / "copy.onnx").seal is not None


def test_without_cryptography_nothing_is_trusted_and_the_line_that_installs_it_is_told(
    signed_path, public, key_path, edge_command, monkeypatch
):
    monkeypatch.setitem(__import__("sys").modules, "cryptography", None)
    monkeypatch.setitem(__import__("sys").modules, "cryptography.exceptions", None)
    with pytest.raises(SignatureError, match=r"pip install 'edge-toolkit\[sign\]'"):
        classifier.load(signed_path, trusted=[public])
    assert bundle.read(signed_path).seal is not None
    refused = edge_command("sign", signed_path, "--key", key_path)
    assert refused.code == 1
    assert "edge-toolkit[sign]" in refused.err


@pytest.mark.parametrize("kind", [SignatureError, KeyFileError])
def test_the_errors_belong_to_edge(kind):
    assert issubclass(kind, EdgeError)
    assert issubclass(kind, ValueError)


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("command", ["read", "explain"])
def test_every_command_that_answers_asks_for_signatures_too(edge_command, bundle_path, signed_path, picture, command):
    assert edge_command(command, picture, "--model", signed_path).code == 0
    refused = edge_command(command, picture, "--model", bundle_path)
    assert (refused.code, refused.err.count("\n"), "is not signed" in refused.err) == (1, 1, True), refused.err

"""The bundle: one `.onnx` file that describes itself, carries its evidence and detects any damaged byte.

A bundle is an ONNX model whose bytes are followed by the metadata entries `edge.manifest`, `edge.evidence`, in
recurrent models `edge.rows`, and, last of all, `edge.digest`: the SHA-256 of every byte before that entry. protobuf
lets a field follow at the end, so the file stays valid ONNX for everybody else, and the digest is checked without
parsing anything. The form of the digest entry is the same in every protocol.

`edge.rows` is a piece of graph, as base64 of a serialised ModelProto. protobuf also merges a message that comes twice:
appended to the bundle's bytes, the piece adds its nodes and its output `row_logits` to the graph, whose weights it
reads by name. Nobody who only classifies ever loads it.

The digest finds accidents: a flipped bit, a cut or patched file. It proves no origin: that is for `edge.signature`,
which stands before it in a bundle that somebody has signed (`edge.bundle.signature`).
"""

import base64
import binascii
import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edge.bundle import evidence as evidence_format
from edge.bundle import manifest as manifest_format
from edge.bundle import ort_format, signature
from edge.bundle.evidence import Evidence
from edge.bundle.graph import (
    BYTES,
    VARINT,
    Contents,
    WireError,
    contents,
    encode_bytes,
    encode_metadata,
    fields,
    metadata,
)
from edge.bundle.manifest import PROTOCOL, Manifest
from edge.bundle.signature import Signature
from edge.errors import BundleDamagedError, BundleError, BundleNotFoundError, NotABundleError, SignatureError
from edge.text.files import write_atomically

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["PROTOCOL", "Bundle", "pack", "read", "signed", "write"]

MANIFEST_KEY = "edge.manifest"
EVIDENCE_KEY = "edge.evidence"
ROWS_KEY = "edge.rows"
DIGEST_KEY = "edge.digest"

_DIGEST_DIGITS = 64
_DIGEST_FIELD_BYTES = len(encode_metadata(DIGEST_KEY, "0" * _DIGEST_DIGITS))
_DIGEST_PREFIX = encode_metadata(DIGEST_KEY, "0" * _DIGEST_DIGITS)[:-_DIGEST_DIGITS]
_OUR_KEYS = (MANIFEST_KEY, EVIDENCE_KEY, ROWS_KEY, signature.KEY, DIGEST_KEY)
_ENCODED_KEYS = tuple(encode_bytes(1, key) for key in _OUR_KEYS)

_PAGE = b"<!doctype html"  # as `edge export --to html` writes one
_MAX_BYTES = 2**31 - 1  # protobuf cannot hold more, so a larger file is no ONNX model
_MODEL_IR_VERSION = 1
_MODEL_GRAPH = 7
_FIRST_BYTE_OF_ONNX = _MODEL_IR_VERSION << 3 | VARINT  # every exporter writes ir_version first


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A bundle whose digest holds.

    Attributes:
        path: the file it was read from; None when it was read from bytes.
        data: the whole file, which is also the ONNX model.
        manifest: what the bundle says about itself.
        evidence_json: the evidence, not decoded yet.
        sha256: SHA-256 of the whole file, 64 hexadecimal digits, as `sha256sum` prints it.
        rows_base64: the piece of graph that gives the logits after each row, not decoded yet; None where the model is
            not recurrent, or was packed by an older edge.
        seal: who says to have signed it, unchecked unless `read` was given keys; None where nobody did.
    """

    path: Path | None
    data: bytes = field(repr=False)
    manifest: Manifest
    evidence_json: bytes = field(repr=False)
    sha256: str
    rows_base64: bytes | None = field(default=None, repr=False)
    seal: Signature | None = None

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return len(self.data)

    @property
    def evidence(self) -> Evidence:
        """The golden images and their logits, decoded and checked; needs numpy.

        Raises:
            BundleError: the evidence was packed by something that does not follow the format.
        """
        return evidence_format.from_json(self.evidence_json)

    @property
    def data_with_rows(self) -> bytes | None:
        """The ONNX model with a third output, `row_logits`: float32 [28, classes] for an image [1, 28, 28].

        Row t holds the logits of the network that has read the first t + 1 rows and no more. None where the bundle
        does not carry it.

        Raises:
            BundleError: the piece of graph was packed by something that does not follow the format, or holds what no
            bundle may hold.
        """
        if self.rows_base64 is None:
            return None
        try:
            piece = base64.b64decode(self.rows_base64, validate=True)
            found = contents(piece)
        except (binascii.Error, WireError) as error:
            reason = "base64" if isinstance(error, binascii.Error) else "graph"
            raise BundleError(f"{ROWS_KEY} is no {reason}: {error}; re-export the bundle with `edge export`") from error
        _check_contents(found, f"{ROWS_KEY} of {self.manifest.name}")
        return self.data + piece


def read(source: str | os.PathLike[str] | bytes, *, trusted: Iterable[str] = ()) -> Bundle:
    """Reads a bundle and checks that it is whole, before anything interprets its graph.

    A bundle in ORT format, as `edge export --to ort` writes it, has its digest in a file beside it.

    Args:
        source: path of the file, or its bytes.
        trusted: public keys, 64 hexadecimal digits each, one of which must have signed the bundle; by default, who
            signed it is not looked at. `edge.bundle.signature.public_keys` reads them.

    Raises:
        BundleNotFoundError: no file at that path.
        BundleDamagedError: a bundle, or the beginning of an ONNX file, whose bytes are not all as packed.
        NotABundleError: another file: no ONNX, or ONNX that edge did not pack.
        ProtocolError: packed by another generation of edge.
        BundleError: the file cannot be read, its manifest does not follow the format, or its graph holds what no
            bundle may hold (`edge.bundle.graph`).
        SignatureError: keys are given, and none of them has signed the bundle.
    """
    path = None if isinstance(source, bytes) else Path(source)
    data = source if isinstance(source, bytes) else _read_file(Path(source))
    where = "the bundle" if path is None else str(path)
    keys = tuple(trusted)
    if ort_format.is_ort(data):
        if keys:
            raise SignatureError(
                f"{where} is in ORT format, which cannot be signed, and only signed bundles are trusted here; "
                "give the .onnx file"
            )
        return _read_ort(path, data, where)
    body, tail = data[:-_DIGEST_FIELD_BYTES], data[-_DIGEST_FIELD_BYTES:]
    hasher = hashlib.sha256(body)
    if tail != _DIGEST_PREFIX + hasher.hexdigest().encode():
        raise _refusal(data, where)
    hasher.update(tail)
    try:
        found = contents(data)  # which ends soon, where there is too much of anything
        _check_contents(found, where)
        every_entry = metadata(data)
    except WireError as error:
        raise NotABundleError(f"{where} ends with a digest but is no ONNX file: {error}; re-export it") from error
    entries = _own_entries(every_entry, where)
    unsigned, seal = signature.split(body)
    if seal is None and signature.KEY in entries:
        raise SignatureError(f"{where} has a signature that `edge sign` did not write; fetch it again from who made it")
    if keys:
        text = signature.message(hashlib.sha256(unsigned).hexdigest(), entries[MANIFEST_KEY])
        signature.check(seal, text, keys, where)
    return Bundle(
        path=path,
        data=data,
        manifest=manifest_format.from_json(entries[MANIFEST_KEY]),
        evidence_json=entries[EVIDENCE_KEY],
        sha256=hasher.hexdigest(),
        rows_base64=entries.get(ROWS_KEY),
        seal=seal,
    )


def pack(model: bytes, manifest: Manifest, evidence: Evidence, rows: bytes | None = None) -> bytes:
    """Appends manifest, evidence and digest to a serialised ONNX model.

    Args:
        model: a self-contained ONNX model.
        manifest: what the bundle says about itself.
        evidence: golden images and PyTorch's logits.
        rows: a serialised ModelProto that gives the model an output `row_logits` when it is appended to it; None for
            a model that does not read row by row.

    Returns:
        The bytes of the bundle; the same arguments give the same bytes.

    Raises:
        BundleError: the model is no ONNX, keeps weights in other files or is packed already, or the manifest or
            the evidence cannot be written.
    """
    try:
        keys = [key for key, _ in metadata(model)]
        found = contents(model)
    except WireError as error:
        raise BundleError(f"the model is no serialised ONNX: {error}; pass the bytes of a ModelProto") from error
    if found.is_external:
        raise BundleError("the model keeps weights in other files; save it in one file before packing it")
    _check_contents(found, "the model")
    if taken := [key for key in keys if key in _OUR_KEYS]:
        raise BundleError(f"the model carries {', '.join(taken)} already; pass the model as it was before packing")
    body = b"".join(
        (
            model,
            encode_metadata(MANIFEST_KEY, manifest.to_json()),
            encode_metadata(EVIDENCE_KEY, evidence.to_json()),
            b"" if rows is None else encode_metadata(ROWS_KEY, base64.b64encode(rows).decode()),
        )
    )
    data = _sealed(body)
    if len(data) > _MAX_BYTES:
        raise BundleError(f"the bundle would have {len(data)} bytes, ONNX files end at {_MAX_BYTES}; export less")
    return data


def signed(source: Bundle, key: "Ed25519PrivateKey") -> Bundle:
    """Puts a signature into a bundle, before its digest; one that is there already is replaced.

    Args:
        source: the bundle.
        key: of who vouches for it.

    Returns:
        The signed bundle, not written anywhere; the same bundle and key give the same bytes.

    Raises:
        BundleError: the bundle is in ORT format.
    """
    if ort_format.is_ort(source.data):
        raise BundleError("a bundle in ORT format cannot be signed; sign the .onnx file")
    unsigned, _ = signature.split(source.data[:-_DIGEST_FIELD_BYTES])
    text = signature.message(hashlib.sha256(unsigned).hexdigest(), dict(metadata(unsigned))[MANIFEST_KEY])
    return read(_sealed(unsigned + signature.sign(text, key).entry))


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a file in one step: whoever opens it sees the old bytes or the new ones, never a part.

    Args:
        path: the file; its folder must exist. On any failure an old file stays as it was.
        data: the bytes of a bundle, or of anything that belongs beside one.

    Raises:
        WriteError: the folder does not exist or is read-only, or the disk is full.
    """
    write_atomically(Path(path), data)


def _sealed(body: bytes) -> bytes:
    return body + encode_metadata(DIGEST_KEY, hashlib.sha256(body).hexdigest())


def _read_file(path: Path) -> bytes:
    try:
        facts = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise _unreadable(path, error) from error
    if stat.S_ISDIR(facts.st_mode):
        raise NotABundleError(f"{path} is a folder; name the .onnx file in it")
    if not stat.S_ISREG(facts.st_mode):
        raise NotABundleError(f"{path} is no regular file; name a .onnx file")
    if facts.st_size > _MAX_BYTES:
        raise NotABundleError(f"{path} has {facts.st_size} bytes, more than any ONNX file; name a bundle")
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError | ValueError) -> BundleError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return BundleNotFoundError(f"{path} does not exist; `edge models` lists the shipped bundles")
    reason = error.strerror if isinstance(error, OSError) else error
    return BundleError(f"{path} cannot be read: {reason}; check its name and permissions")


def _read_ort(path: Path | None, data: bytes, where: str) -> Bundle:
    if path is None:
        raise BundleError("bytes in ORT format carry no digest; name the file, beside which its .sha256 lies")
    beside = path.with_name(path.name + ort_format.DIGEST_SUFFIX)
    try:
        stated = beside.read_text(encoding="ascii", errors="replace").split()[:1]
    except OSError as error:
        raise BundleError(f"{where} has no digest: {beside} cannot be read; copy both files") from error
    digest = hashlib.sha256(data).hexdigest()
    if stated != [digest]:
        raise BundleDamagedError(f"{where} is damaged: its bytes do not match {beside.name}; copy both files again")
    try:
        every_entry, found = ort_format.metadata(data), ort_format.contents(data)
    except ort_format.OrtFormatError as error:
        raise NotABundleError(f"{where} is no model in ORT format: {error}; re-export it") from error
    entries = _own_entries(every_entry, where)
    _check_contents(found, where)
    # What reads row by row is appended to an ONNX file; a flatbuffer cannot be continued.
    return Bundle(path, data, manifest_format.from_json(entries[MANIFEST_KEY]), entries[EVIDENCE_KEY], digest)


def _own_entries(every_entry: list[tuple[str, bytes]], where: str) -> dict[str, bytes]:
    entries = [(key, value) for key, value in every_entry if key in _OUR_KEYS]
    found = dict(entries)
    for key in (MANIFEST_KEY, EVIDENCE_KEY):
        if key not in found:
            raise NotABundleError(f"{where} has a digest but no {key}; re-export it with `edge export`")
    if len(entries) != len(found):
        raise NotABundleError(f"{where} was packed twice; re-export it with `edge export`")
    return found


def _check_contents(found: Contents, where: str) -> None:
    if found.is_external:
        raise BundleError(
            f"{where} reads weights from other files, which no bundle does; re-export the model with `edge export`"
        )
    if found.strange:
        raise BundleError(
            f"{where} holds {', '.join(found.strange[:5])}, which no bundle holds: `edge export` writes arithmetic on "
            "arrays only; re-export the model with it"
        )


def _refusal(data: bytes, where: str) -> BundleError:
    """Says why a file without a valid digest is refused."""
    if not data:
        return NotABundleError(f"{where} is empty; copy it again, or re-export it with `edge export`")
    if data[:64].lstrip().lower().startswith(_PAGE):
        return NotABundleError(
            f"{where} is a page, which replays its evidence where it is opened: open it in a browser and press Verify; "
            "here, verify the bundle that it was made from"
        )
    # One changed byte spoils one key at most, so that the others still tell whose file it is.
    if any(encoded in data for encoded in _ENCODED_KEYS):
        return BundleDamagedError(f"{where} is damaged: {_damage(data)}; copy it again, or re-export it")
    try:
        return NotABundleError(f"{where} {_foreign(data)}")
    except WireError as error:
        if data[0] == _FIRST_BYTE_OF_ONNX:
            return BundleDamagedError(f"{where} is cut off or damaged: {error}; copy it again, or re-export it")
        return NotABundleError(f"{where} is no ONNX file; name a bundle made by `edge export`")


def _foreign(data: bytes) -> str:
    if not any(number == _MODEL_GRAPH and wire_type == BYTES for number, wire_type, _ in fields(data)):
        return "holds no ONNX graph; name a bundle made by `edge export`"
    if contents(data).is_external:
        return (
            f"keeps its weights in other files and has no {MANIFEST_KEY}; "
            "re-export the model with `edge export`, which packs one file"
        )
    return (
        f"is an ONNX file without {MANIFEST_KEY}: labels, pre-processing and evidence are missing; "
        "`edge export --model FILE.py:NAME --checkpoint FILE` packs the PyTorch model with them"
    )


def _damage(data: bytes) -> str:
    digest_at = data.rfind(_DIGEST_PREFIX)
    if digest_at < 0:
        return "its end is missing or changed"
    surplus = len(data) - digest_at - _DIGEST_FIELD_BYTES
    if surplus > 0:
        return f"{surplus} bytes follow its digest"
    if surplus < 0:
        return f"its last {-surplus} bytes are missing"
    return "its bytes do not match its digest"

"""The signature of a bundle: who vouches for it, where the digest only says that it is whole.

`edge.signature` stands directly before `edge.digest`, and both have a fixed length: what is signed is every byte before
it, which is the bundle as it was before signing, without its digest. The value is one line of three words,

    ed25519 <public key, 64 hexadecimal digits> <signature, 128 hexadecimal digits>

and the signature is that of these bytes, so that it can be mistaken for that of nothing else:

    edge bundle signature 1 <line feed> <SHA-256 of those bytes, hexadecimal> <line feed> <the manifest, as in the file>

Only making and checking a signature needs the package `cryptography`; its form, and public keys, are read without.

Source: RFC 8032, Ed25519; RFC 8410, its keys in PEM; RFC 7468, PEM.
"""

import base64
import binascii
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from edge.bundle.graph import encode_metadata
from edge.errors import KeyFileError, SignatureError, WriteError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY: Final = "edge.signature"
VARIABLE: Final = "EDGE_TRUSTED_KEYS"
"""The environment variable with the public keys that bundles must be signed by, separated as in PATH."""

Trusted: TypeAlias = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
"""Public keys, one or more: paths of PEM files, or 64 hexadecimal digits each."""

_ALGORITHM: Final = "ed25519"
_PURPOSE: Final = b"edge bundle signature 1"
_KEY_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_VALUE_LENGTH: Final = len(_ALGORITHM) + 2 + 2 * (_KEY_BYTES + _SIGNATURE_BYTES)
_ENTRY_BYTES: Final = len(encode_metadata(KEY, "0" * _VALUE_LENGTH))
_PREFIX: Final = encode_metadata(KEY, "0" * _VALUE_LENGTH)[:-_VALUE_LENGTH]

_VALUE: Final = re.compile(rf"{_ALGORITHM} ([0-9a-f]{{{2 * _KEY_BYTES}}}) ([0-9a-f]{{{2 * _SIGNATURE_BYTES}}})")
_DIGITS: Final = re.compile(r"[0-9a-fA-F]{64}")
_BLOCK: Final = re.compile(rb"-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]*)-----END PUBLIC KEY-----")
_PRIVATE: Final = b"PRIVATE KEY-----"

# What stands before the 32 bytes of a public key in DER: a sequence of the algorithm's name, and a string of bits.
_DER: Final = bytes.fromhex("302a300506032b6570032100")

# Points of small order, which have no private key: for each of them anybody finds signatures that hold, and a key of
# zeros is what stands in a setting that nobody has filled in. The bit of the sign is left out.
# Source: Chalkias, Garillot and Nikolaenko, "Taming the Many EdDSAs", 2020, table 1.
_OF_SMALL_ORDER: Final = frozenset(
    {
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        *(f"{first}{'ff' * 30}7f" for first in ("ec", "ed", "ee")),
    }
)

_MOST_FILE_BYTES: Final = 1 << 16  # hundreds of keys
PUBLIC_SUFFIX: Final = ".pub"


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature as it stands in a file, which says nothing until it is checked.

    Attributes:
        key: the public key that it says it was made for, 64 hexadecimal digits.
        value: the signature, 128 hexadecimal digits.
    """

    key: str
    value: str

    @property
    def entry(self) -> bytes:
        """The metadata entry, to be put before the digest."""
        return encode_metadata(KEY, f"{_ALGORITHM} {self.key} {self.value}")

    @classmethod
    def parse(cls, value: bytes) -> Self | None:
        """The signature in the value of an entry; None where it has another form."""
        found = _VALUE.fullmatch(value.decode(errors="replace"))
        return None if found is None else cls(found[1], found[2])


def split(body: bytes) -> tuple[bytes, Signature | None]:
    """Parts what is signed from the signature behind it.

    Args:
        body: a bundle without its digest.

    Returns:
        The bytes before the signature, and the signature; all bytes and None where there is none at the end.
    """
    if body[-_ENTRY_BYTES:-_VALUE_LENGTH] != _PREFIX or (found := Signature.parse(body[-_VALUE_LENGTH:])) is None:
        return body, None
    return body[:-_ENTRY_BYTES], found


def message(digest: str, manifest: bytes) -> bytes:
    """The bytes that are signed.

    Args:
        digest: SHA-256 of every byte before the signature, hexadecimal: the digest that the unsigned bundle ends with.
        manifest: the value of `edge.manifest`, as it stands in the file.
    """
    return b"\n".join((_PURPOSE, digest.encode(), manifest))


def sign(text: bytes, key: "Ed25519PrivateKey") -> Signature:
    """Signs a message; the same message and key give the same signature."""
    public = key.public_key().public_bytes_raw()
    return Signature(public.hex(), key.sign(text).hex())


def check(found: Signature | None, text: bytes, trusted: Iterable[str], where: str) -> None:
    """Refuses what no trusted key has signed.

    Args:
        found: the signature in the file; None where there is none.
        text: the bytes that it must be of.
        trusted: public keys, 64 hexadecimal digits each, as `public_keys` gives them.
        where: how the error calls the bundle.

    Raises:
        SignatureError: there is none, it is by another key, it is of other bytes, or `cryptography` is not installed.
    """
    if found is None:
        raise SignatureError(
            f"{where} is not signed, and only signed bundles are trusted here; sign it with `edge sign`, if it is yours"
        )
    if found.key not in trusted:
        raise SignatureError(
            f"{where} says that it is signed by {found.key}, which is no key that is trusted here; "
            "ask who made it, and add the key if it is theirs"
        )
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise SignatureError(
            "a signature cannot be checked without the package cryptography; "
            "install it with: pip install 'edge-toolkit[sign]'"
        ) from error
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(found.key)).verify(bytes.fromhex(found.value), text)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError(
            f"{where} was changed after it was signed by {found.key}, or never was; fetch it again from who made it"
        ) from error


def public_keys(trusted: Trusted | None) -> tuple[str, ...]:
    """The keys that bundles must be signed by, read from wherever they are named.

    Args:
        trusted: paths of PEM files, each with one or more public keys, or keys of 64 hexadecimal digits; None takes
            those that `EDGE_TRUSTED_KEYS` names.

    Returns:
        64 hexadecimal digits each; empty where nobody asks for signatures.

    Raises:
        KeyFileError: a file cannot be read or holds no public key, or signatures are asked for and no key is named.
    """
    if trusted is None:
        setting = os.environ.get(VARIABLE, "")
        if not setting:
            return ()
        trusted, named = [word for word in setting.split(os.pathsep) if word.strip()], f"{VARIABLE} names no key"
    else:
        trusted = [trusted] if isinstance(trusted, str | os.PathLike) else list(trusted)
        named = "the list of trusted keys is empty"
    if not trusted:
        raise KeyFileError(f"{named}, so that no bundle could be loaded; name one, or leave it out")
    keys = tuple(key for each in trusted for key in _keys_of(each))
    for key in keys:
        if f"{key[:-2]}{int(key[-2:], 16) & 0x7F:02x}" in _OF_SMALL_ORDER:
            raise KeyFileError(f"the key {key} is nobody's: anybody can sign for it; give one that `edge keygen` wrote")
    return keys


def read_private_key(path: str | os.PathLike[str]) -> "Ed25519PrivateKey":
    """The key that `edge keygen` wrote, or any other Ed25519 key in PEM without a password.

    Raises:
        KeyFileError: the file cannot be read, or holds no such key.
        ModuleNotFoundError: `cryptography` is not installed.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _content(Path(path))
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError as error:
        raise KeyFileError(
            f"{path} is locked with a password; unlock it for signing with: openssl pkey -in {path} -out FILE"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        kind = "a public key, which cannot sign" if _BLOCK.search(content) else "no private key that can be read"
        raise KeyFileError(f"{path} holds {kind}; give the private one that `edge keygen` wrote") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path} holds a key of another kind than Ed25519; make one with `edge keygen`")
    return key


def write_new_key(path: Path) -> str:
    """Makes a key, and writes it beside its public half. An existing file is never written over.

    Args:
        path: of the private key, which only its owner may read; the public one gets ".pub" behind its name.

    Returns:
        The public key, 64 hexadecimal digits.

    Raises:
        WriteError: one of the files exists, or cannot be written.
        ModuleNotFoundError: `cryptography` is not installed.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    beside = path.with_name(path.name + PUBLIC_SUFFIX)
    if os.path.lexists(beside):  # before anything is written; the writing itself looks once more
        raise _not_written(beside, FileExistsError("it exists already"))
    _write_new(path, private, mode=0o600)
    try:
        _write_new(beside, public, mode=0o644)
    except WriteError:
        path.unlink()
        raise
    return bytes(key.public_key().public_bytes_raw()).hex()


def _write_new(path: Path, content: bytes, *, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    except (OSError, ValueError) as error:
        raise _not_written(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        path.unlink()
        raise _not_written(path, error) from error


def _not_written(path: Path, error: OSError | ValueError) -> WriteError:
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    return WriteError(f"the key {path} cannot be written: {reason}; name another file, keys are never written over")


def _keys_of(source: str | os.PathLike[str]) -> list[str]:
    """The public keys that one word names."""
    if isinstance(source, str) and _DIGITS.fullmatch(source):
        return [source.lower()]
    path = Path(source)
    content = _content(path)
    blocks = _BLOCK.findall(content)
    if not blocks:
        kind = "a private key, which no device needs" if _PRIVATE in content else "no public key in PEM"
        raise KeyFileError(
            f"{path} holds {kind}; give the file that ends in {PUBLIC_SUFFIX}, which `edge keygen` wrote"
        )
    return [_key_in(block, path) for block in blocks]


def _key_in(block: bytes, path: Path) -> str:
    try:
        der = base64.b64decode(b"".join(block.split()), validate=True)
    except binascii.Error as error:
        raise KeyFileError(f"{path} is damaged ({error}); copy the public key again") from error
    if len(der) != len(_DER) + _KEY_BYTES or not der.startswith(_DER):
        raise KeyFileError(f"{path} holds a key of another kind than Ed25519; make one with `edge keygen`")
    return der[len(_DER) :].hex()


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_FILE_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise KeyFileError(f"the key {path} cannot be read: {reason}; check its name and permissions") from error

"""The C of a network: the templates with its sizes, its numbers, and the digests of what it must answer."""

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from edge.bundle.bundle import Bundle
from edge_export.targets.c.matrices import POLYNOMIALS, RATIONAL, VECTOR, CNetwork, Matrix, Numbers

_LINE = 118
# How often arrays of these sizes are there in the working memory: of words, and of values.
_MEMORY = {"TOTALS": (1, 0), "MEMORY": (1, 0), "ROW": (0, 2), "SEQUENCE": (0, 2)}
_MEMORY |= {"LAYERS": (1, 0), "WINDOW": (0, 1), "LINES": (0, 1)}
_TYPES = {"int8": "int8_t", "int16": "int16_t", "int32": "int32_t", "float32": "float"}


@dataclass(frozen=True, slots=True)
class CSource:
    """A network as C.

    Attributes:
        name: of the files, a C identifier.
        code: of `NAME.c`.
        header: of `NAME.h`.
        constant_bytes: of weights and tables.
        stack_bytes: of the working memory, a few words of calls aside.
    """

    name: str
    code: str
    header: str
    constant_bytes: int
    stack_bytes: int


def identifier(name: str) -> str:
    """A bundle's name as C takes one."""
    word = re.sub(r"[^0-9A-Za-z]", "_", name)
    return word if word[:1].isalpha() else f"model_{word}"


def write(network: CNetwork, source: Bundle, name: str, verdict: str, golden: NDArray[np.float32]) -> CSource:
    """The two files.

    Args:
        network: int8 or fp32.
        source: the bundle that it is made from.
        name: what it is called, as a bundle is.
        verdict: what the export found out, in a sentence.
        golden: float32 (N, classes), the referee's logits of the golden images.
    """
    manifest, evidence, facts, word = source.manifest, source.evidence, source.manifest.rejection, identifier(name)
    exact = network.precision == "int8"
    arrays: dict[str, Numbers] = {}

    def placed(one: Matrix) -> str:
        weights = np.pad(one.weights.reshape(-1), (0, VECTOR))  # a vector may end behind the last row
        parts = {"weights": weights, "biases": one.bias, "scales": one.scale.reshape(-1)}
        names = [f"{kind}_{len(arrays) // len(parts)}" for kind in parts]
        arrays.update(zip(names, parts.values(), strict=True))
        return f"{{{', '.join(names)}, {len(one.bias)}, {one.weights.shape[exact]}}}"

    rows = []
    for layer in network.layers:
        fields = {"matrices": f"{{{', '.join(map(placed, layer.matrices))}}}", **layer.sizes}
        rows.append(_wrapped([f"{{{', '.join(f'.{key} = {value}' for key, value in fields.items())}}}"]))
    if network.cell in ("lstm", "gru", "rnn"):
        arrays["TANH"] = POLYNOMIALS.reshape(-1) if exact else RATIONAL
    if facts is not None:
        floats = {"usual": (facts.energy, facts.distance), "centres": facts.centres, "whitening": facts.whitening}
        arrays |= {key: np.concatenate(rows).astype(np.float32) for key, rows in floats.items()}
    constant_bytes = sum(array.nbytes for array in arrays.values())
    counts = ((size, _MEMORY.get(key, (0, 0))) for key, size in network.sizes.items())
    stack = sum(size * (4 * words + (1 if exact else 4) * values) for size, (words, values) in counts)
    tests = zip(map(_string, evidence.kinds), golden, evidence.images.reshape(len(golden), -1), strict=True)
    values = {
        "name": word,
        "NAME": word.upper(),
        "title": f"{word}: {_plain(manifest.model)} in {network.precision}",
        "bundle": _plain(manifest.name),
        "sha256": source.sha256,
        "verdict": textwrap.fill(_plain(verdict), _LINE, initial_indent="   ", subsequent_indent="   "),
        "constants": str(constant_bytes),
        "stack": str(stack),
        "labels": ", ".join(map(_string, manifest.labels)),
        "classes": str(len(manifest.labels)),
        "temperature": _number(np.float32(manifest.temperature)),
        "threshold": _number(np.float32(facts.threshold)) if facts else "",
        "sizes": ", ".join(f"{key} = {size}" for key, size in network.sizes.items()),
        "arrays": "\n".join(
            f"static const {_TYPES[one.dtype.name]} {key}[{one.size}] = {{\n{_wrapped(map(_number, one))}}};"
            for key, one in arrays.items()
        ),
        "layers": ",\n".join(rows),
        "each": "\n".join(
            f"    EACH({key}, {'BITS' if one.dtype == np.float32 else '(uint32_t)'})" for key, one in arrays.items()
        ),
        "constants_value": str(digest(arrays.values())),
        "golden": ",\n".join(
            f"{{{kind}, {digest([answer])}u, {{\n{_wrapped(map(str, image))}}}}}" for kind, answer, image in tests
        ),
    }
    words = {"all", network.precision, network.cell, "chain" if network.cell == "chain" else "recurrent"}
    words |= {"score"} if facts else set()
    code = _text(("arithmetic.c", "recurrent.c", "chain.c", "answers.c"), words, values)
    return CSource(word, code, _text(("header.h",), words, values), constant_bytes, stack)


def digest(arrays: Iterable[Numbers]) -> int:
    """FNV-1a of 32 bits over arrays of int8 to float32, a word for each number, as the self-test computes it."""
    value = 2166136261
    for array in arrays:
        floats = array.dtype == np.float32
        words = np.ascontiguousarray(array).view(np.uint32) if floats else array.astype(np.int64) & 0xFFFFFFFF
        for word in words.tolist():
            value = ((value ^ word) * 16777619) & 0xFFFFFFFF
    return value


def _text(files: Iterable[str], words: set[str], values: dict[str, str]) -> str:
    """The sections of the templates that are for such a network, filled in."""
    folder = resources.files("edge_export.targets.c") / "templates"
    text = "".join((folder / name).read_text(encoding="utf-8") for name in files)
    first, *parts = re.split(r"^/\*== (.*) ==\*/\n", text, flags=re.MULTILINE)
    asked = zip(parts[::2], parts[1::2], strict=True)
    chosen = first + "".join(part for of, part in asked if all(words & {*word.split("|")} for word in of.split()))
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"@(\w+)@", lambda found: values[found[1]], chosen))


def _wrapped(words: Iterable[str]) -> str:
    return textwrap.fill(", ".join(words), _LINE, initial_indent="    ", subsequent_indent="    ")


def _number(number: np.generic) -> str:
    return f"{number!s}f" if number.dtype == np.float32 else str(number)


def _plain(text: str) -> str:
    """What may stand in a comment, whatever a model is called."""
    return re.sub(r"[^0-9A-Za-z .,:;%+|_-]", "_", text)


def _string(text: str) -> str:
    """A C string of UTF-8, whatever the label holds."""
    plain = (chr(one) if re.match(rb"[0-9A-Za-z _.-]", bytes([one])) else f"\\{one:03o}" for one in text.encode())
    return f'"{"".join(plain)}"'

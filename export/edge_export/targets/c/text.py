"""The C of a network: the templates with its sizes, its numbers, and the digests of what it must answer."""

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from edge.bundle.bundle import Bundle
from edge_export.targets.c.matrices import POLYNOMIALS, RATIONAL, CNetwork, Matrix, Numbers

_LINE = 118
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
    sizes, exact = network.sizes, network.precision == "int8"
    parts: dict[str, list[Numbers]] = {"weights": [], "biases": [], "scales": []}

    def placed(matrix: Matrix) -> str:
        begins = [sum(map(len, arrays)) for arrays in parts.values()]
        for arrays, part in zip(parts.values(), (matrix.weights, matrix.bias, matrix.scale), strict=True):
            arrays.append(part.reshape(-1))
        scales, (rows, columns) = f"scales + {begins[2]}" if matrix.scale.size else "0", matrix.weights.shape
        return f"{{weights + {begins[0]}, biases + {begins[1]}, {scales}, {rows}, {columns}}}"

    rows = []
    for layer in network.layers:
        fields = {"matrices": f"{{{', '.join(map(placed, layer.matrices))}}}", **layer.sizes}
        rows.append(_wrapped(f".{key} = {value}" for key, value in fields.items()).replace("    ", "    {", 1) + "},\n")
    tables = f"static const struct layer layers[LAYERS] = {{\n{''.join(rows)}}};\n"
    if network.head is not None:
        tables += f"static const struct matrix head = {placed(network.head)};\n"
    parts["weights"].append(np.zeros(16, parts["weights"][0].dtype))  # a vector may end behind the last row
    if network.cell in ("lstm", "gru", "rnn"):
        parts["TANH"] = list(POLYNOMIALS) if exact else [RATIONAL]
    if facts is not None:
        floats = {"usual": [[*facts.energy, *facts.distance]], "centres": facts.centres, "whitening": facts.whitening}
        parts |= {key: [np.array(row, np.float32) for row in rows] for key, rows in floats.items()}
    arrays = {key: np.concatenate(rows) for key, rows in parts.items() if sum(map(len, rows))}
    constant_bytes = sum(array.nbytes for array in arrays.values())
    stack = 4 * (sizes["TOTALS"] + sizes.get("CELLS", sizes["LAYERS"])) + (2 if exact else 4) * sizes.get("STATES", 0)
    stack += (1 if exact else 4) * (sizes["ROW"] + 2 * sizes.get("SEQUENCE", 0) + sizes.get("LINES", 0))
    each = (f"    EACH({key}, {'BITS' if one.dtype == np.float32 else '(uint32_t)'})" for key, one in arrays.items())
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
        "sizes": f"enum {{ {', '.join(f'{key} = {size}' for key, size in sizes.items())} }};",
        "arrays": "\n".join(
            f"static const {_TYPES[one.dtype.name]} {key}[{one.size}] = {{\n{_wrapped(map(_number, one))}}};"
            for key, one in arrays.items()
        ),
        "tables": tables,
        "each": "\n".join(each),
        "constants_value": str(digest(arrays.values())),
        "golden": ",\n".join(
            f"{{{kind}, {digest([answer])}u, {{\n{_wrapped(map(str, image))}}}}}" for kind, answer, image in tests
        ),
    }
    words = {"all", network.precision, network.cell, "recurrent" if network.head else "chain"}
    words |= {"bounded" if "TANH" in arrays else "all", "score" if facts else "all"}
    code = _text(("arithmetic.c", "network.c", "answers.c"), words, values)
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
    chosen = first + "".join(part for heading, part in asked if words.issuperset(heading.split()))
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

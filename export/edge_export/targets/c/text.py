"""The C of a network: the templates with its sizes, its numbers, and the digests of what it must answer."""

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from edge.bundle.bundle import Bundle
from edge_export.targets.c.matrices import POLYNOMIALS, RATIONAL, CNetwork, FilledMatrix, Numbers

VECTOR = 32  # bytes, the longest of a fast path: columns are filled up to half of it
_LINE = 118
_OFFSET, _PRIME = 2166136261, 16777619  # of FNV-1a
_KINDS = {"int8": "int8_t", "int16": "int16_t", "int32": "int32_t", "float32": "float", "uint8": "uint8_t"}


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


def digest(words: Iterable[int], start: int = _OFFSET) -> int:
    """FNV-1a of 32 bits, a word at a time, as the self-test computes it."""
    for word in words:
        start = ((start ^ word) * _PRIME) & 0xFFFFFFFF
    return start


def identifier(name: str) -> str:
    """A bundle's name as C takes one."""
    word = re.sub(r"[^0-9A-Za-z]", "_", name)
    return word if word[:1].isalpha() else f"model_{word}"


@dataclass(slots=True)
class _Constants:
    """Arrays that are written, and the digest of all of them."""

    lines: list[str] = field(default_factory=list)
    digested: list[str] = field(default_factory=list)
    value: int = _OFFSET
    size: int = 0

    def add(self, name: str, array: Numbers) -> str:
        array = np.ascontiguousarray(array)
        in_floats = array.dtype == np.float32
        numbers = (f"{number!s}f" if in_floats else str(number) for number in array.reshape(-1))
        self.lines += [f"static const {_KINDS[array.dtype.name]} {name}[{array.size}] = {{", *_wrapped(numbers), "};"]
        self.digested.append(f"    EACH({name}, {'bits' if in_floats else '(uint32_t)'});")
        words = array.reshape(-1).view(np.uint32) if in_floats else array.reshape(-1).astype(np.int64) & 0xFFFFFFFF
        self.value = digest(words.tolist(), self.value)
        self.size += array.nbytes
        return name

    def matrix(self, name: str, matrix: FilledMatrix, *, signed: bool = False) -> list[str]:
        bias = matrix.bias
        if signed:
            bias = (bias + 128 * matrix.weights.astype(np.int64).sum(1)[: len(bias)]).astype(np.int32)
        weights = matrix.weights
        if signed and weights.shape[1] % VECTOR:  # a fast path may read a whole vector where the last row ends
            weights = np.append(weights, np.zeros(VECTOR // 2, np.int8))
        parts = {"weights": weights, "bias": bias, "scale": matrix.scale}
        return ["0" if array is None else self.add(f"{name}_{part}", array) for part, array in parts.items()]

    def records(self, kind: str, name: str, rows: Iterable[Iterable[object]]) -> None:
        lines = [f"    {{{', '.join(map(str, row))}}}," for row in rows]
        self.lines += [f"static const struct {kind} {name}[{len(lines)}] = {{", *lines, "};"]


def write(network: CNetwork, source: Bundle, name: str, verdict: str, golden: NDArray[np.float32]) -> CSource:
    """The two files.

    Args:
        network: int8 or fp32.
        source: the bundle that it is made from.
        name: what it is called, as a bundle is.
        verdict: what the export found out, in a sentence.
        golden: float32 (N, classes), the referee's logits of the golden images.
    """
    constants, word = _Constants(), identifier(name)
    write_body = _recurrent if network.head is not None else _chain
    sizes, code, stack = write_body(network, constants)
    manifest = source.manifest
    kinds = source.evidence.kinds
    images = source.evidence.images.reshape(len(kinds), -1)
    answers = [digest(row.view(np.uint32).tolist()) for row in np.ascontiguousarray(golden)]
    rejection, score, facts = "", "", manifest.rejection
    if facts is not None:
        rejection, score = _section("model", "score header"), _section("model", "score")
        constants.add("usual", np.array([*facts.energy, *facts.distance], np.float32))
        constants.add("centres", np.array(facts.centres, np.float32))
        constants.add("whitening", np.concatenate(facts.whitening).astype(np.float32))
        rejection = _with(rejection, {"threshold": f"{np.float32(facts.threshold)!s}f"})
    values = {
        "name": word,
        "NAME": word.upper(),
        "title": f"{word}: {_plain(manifest.model)} in {network.precision}",
        "bundle": _plain(manifest.name),
        "sha256": source.sha256,
        "more": f", -D{word.upper()}_ROWS one that answers after each row" if network.head is not None else "",
        "verdict": textwrap.fill(_plain(verdict), _LINE - 4, initial_indent="   ", subsequent_indent="   "),
        "constants": str(constants.size),
        "stack": str(stack),
        "labels": ", ".join(map(_string, manifest.labels)),
        "classes": str(len(manifest.labels)),
        "temperature": f"{np.float32(manifest.temperature)!s}f",
        "each": "\n".join(constants.digested),
        "constants_value": str(constants.value),
        "golden": ",\n".join(
            f"{{{_string(kind)}, {answer}u, {{\n" + "\n".join(_wrapped(map(str, image))) + "}}"
            for kind, answer, image in zip(kinds, answers, images, strict=True)
        ),
    }
    rows = "" if network.head is None else _section("recurrent", "rows header") + "\n\n"
    more = {"rejection": rejection, "rows": rows, "frame": _section("frame", "frame header")}
    enum = f"enum {{ {', '.join(f'{key} = {size}' for key, size in sizes.items())} }};"
    parts = [
        _section("model", "head"),
        enum,
        *code,
        _section("model", "label"),
        "/* ---- constants ---- */",
        "\n".join(constants.lines),
        score,
        _section("frame", "frame"),
        _section("model", "self-test"),
    ]
    return CSource(
        word,
        _with("\n\n".join(parts) + "\n", values),
        _with(_with(_section("model", "header") + "\n", more), values),
        constants.size,
        stack,
    )


# --- recurrent --------------------------------------------------------------------------------------------------------


def _recurrent(network: CNetwork, constants: _Constants) -> tuple[dict[str, int], list[str], int]:
    precision, head = network.precision, network.head
    assert head is not None
    every = [layer for directions in network.layers for layer in directions]
    cell, last = every[0].cell, network.layers[-1]
    exact = precision == "int8"
    features, width = sum(layer.hidden for layer in last), max(layer.hidden for layer in every)
    sizes = {
        "LAYERS": len(network.layers),
        "DIRECTIONS": len(last),
        "FEATURES": features,
        "HIDDEN": width,
        "CELLS": width if cell == "lstm" else 1,
        "GATES": max(sum(len(matrix.bias) for matrix in layer.matrices) for layer in every),
        "ROW": max(matrix.start + matrix.weights.shape[1] for layer in every for matrix in layer.matrices),
        "SEQUENCE": max([1, *(28 * sum(one.hidden for one in directions) for directions in network.layers[:-1])]),
    }
    rows = []
    for number, layer in enumerate(every):
        parts = enumerate(layer.matrices)
        blocks = [_block(constants, f"layer_{number}_{part}", matrix, signed=exact) for part, matrix in parts]
        constants.records("block", f"blocks_{number}", blocks)
        rows.append([f"blocks_{number}", layer.inputs, layer.hidden, layer.start, int(layer.backwards), layer.shift])
    constants.records("layer", "layers", rows)
    constants.records("block", "head", [_block(constants, "head", head)])
    squash = []
    if cell != "relu":
        constants.add("TANH", table := POLYNOMIALS if exact else RATIONAL)
        squash = [f"static const {'int16_t' if exact else 'float'} TANH[{table.size}];", _section(precision, "squash")]
    code = [
        _section(precision, "kernel"),
        _section("recurrent", "types"),
        _section(precision, "gates"),
        *squash,
        *([_section(precision, "rectified byte" if cell == "relu" else "bounded byte")] if exact else []),
        _section("recurrent", cell),
        _section("recurrent", "layers"),
        _section("recurrent", "logits"),
    ]
    stack = 4 * (sizes["GATES"] + sizes["CELLS"]) + (2 if exact else 4) * (width + features)
    stack += (1 if exact else 4) * (sizes["ROW"] + 2 * sizes["SEQUENCE"])
    return sizes, code, stack


def _block(constants: _Constants, name: str, matrix: FilledMatrix, *, signed: bool = False) -> list[object]:
    height, columns = matrix.weights.shape
    return [*constants.matrix(name, matrix, signed=signed), matrix.start, columns, height, matrix.limit]


# --- convolutional ----------------------------------------------------------------------------------------------------


def _chain(network: CNetwork, constants: _Constants) -> tuple[dict[str, int], list[str], int]:
    rows: list[list[object]] = []
    place = 0
    for number, stage in enumerate(network.stages):
        named = constants.matrix(f"stage_{number}", stage.matrix, signed=network.precision == "int8")
        for part, limits in zip(
            ("lower", "upper"), (None, None) if stage.limits is None else stage.limits, strict=True
        ):
            named.append("0" if limits is None else constants.add(f"stage_{number}_{part}", limits))
        outputs, height, width, channels = stage.kernel
        top, left, bottom, right = stage.pads
        lines = place
        result = lines + height * (stage.picture[1] + left + right) * channels
        place = result + stage.leaving[1] * outputs
        moves = *stage.strides, top, left, bottom, right, stage.pool, stage.leaving[1]
        shape = stage.matrix.weights.shape
        rows.append([*named, *stage.picture, outputs, height, width, *moves, *shape, lines, result])
    constants.records("stage", "stages", rows)
    sizes = {
        "STAGES": len(rows),
        "TOTALS": max(len(stage.matrix.weights) for stage in network.stages),
        "ROW": max(stage.matrix.weights.shape[1] for stage in network.stages),
        "VALUES": place,
    }
    precision = network.precision
    templates = ((precision, "kernel"), ("convolutional", "types"), (precision, "stage"), ("convolutional", "chain"))
    code = [_section(*one) for one in (*templates, ("convolutional", "logits"))]
    stack = 4 * (sizes["STAGES"] + sizes["TOTALS"]) + (1 if precision == "int8" else 4) * (sizes["ROW"] + place + 28)
    return sizes, code, stack


# --- text -------------------------------------------------------------------------------------------------------------


@cache
def _sections(template: str) -> dict[str, str]:
    text = (resources.files("edge_export.targets.c") / "templates" / f"{template}.c").read_text(encoding="utf-8")
    parts = re.split(r"^/\*== (.*) ==\*/\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.strip("\n") for part in parts[2::2]), strict=True))


def _section(template: str, name: str) -> str:
    return _sections(template)[name]


def _with(text: str, values: dict[str, str]) -> str:
    return re.sub(r"@([\w]+)@", lambda found: values.get(found[1], found[0]), text)


def _wrapped(numbers: Iterable[str]) -> list[str]:
    return textwrap.wrap(", ".join(numbers), _LINE, initial_indent="    ", subsequent_indent="    ")


def _plain(text: str) -> str:
    """What may stand in a comment, whatever a model is called."""
    return re.sub(r"[^0-9A-Za-z .,:;%+|_-]", "_", text)


def _string(text: str) -> str:
    """A C string of UTF-8, whatever the label holds."""
    plain = (
        chr(byte) if byte < 128 and (chr(byte).isalnum() or byte in b" -_.") else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return f'"{"".join(plain)}"'

"""The cases of benchmarks/hostile.py: bundles and checkpoints that are given to edge, and how that should end.

A case makes its input in an empty folder, which is the working directory, and names the words of the command line, or a
program that uses edge as a library.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import hostile_files as make
import hostile_models as pack
import numpy as np
from onnx import numpy_helper

from edge.bundle import shipped
from edge.bundle.graph import encode_bytes, encode_integer
from edge_train.training import checkpoint

KINDS = {
    1: "1 Files outside a bundle",
    2: "2 Graphs that do what they like",
    3: "3 Graphs of the wrong form",
    4: "4 Answers that are no numbers",
    5: "5 Names and labels",
    6: "6 Checkpoints",
    7: "7 Who made a bundle",
    8: "8 Pictures: memory by what they hold",
    9: "9 Pictures: passes",
    10: "10 Pictures: what decoders say",
    11: "11 Silence",
    12: "12 Streams, disks and threads",
    13: "13 Interrupts",
    14: "14 Other processes",
    15: "15 Arrays",
    16: "16 A user's module",
    17: "17 Pictures: what lies around the pixels",
    18: "18 Manifests and evidence",
    19: "19 Tables and addresses",
}
# An earlier edge could not be run as a module.
EDGE = """
try:
    from edge.cli.main import main
except ImportError:
    from edge.cli import main
main()
"""
PICTURES = frozenset({8, 9, 10, 17})
LSTM = Path(str(checkpoint.shipped("lstm")))
BELL = "\x1b[2J\x07"

Words = Callable[[Path], list[str]]


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One input.

    Attributes:
        kind: a key of `KINDS`.
        name: what it is.
        words: makes the input in a folder, and gives the words of the command line.
        codes: exit codes that fit.
        code: a program that uses edge as a library, in place of the command line.
        prefix: a line of the shell in which `"$@"` is the program.
        environment: what is set for it.
    """

    kind: int
    name: str
    words: Words
    codes: tuple[int, ...] = (1,)
    code: str | None = None
    prefix: str = ""
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


def _bundle(content: Callable[[], bytes], command: str = "predict") -> Words:
    def words(folder: Path) -> list[str]:
        (folder / "bundle.onnx").write_bytes(content())
        (folder / "secret.txt").write_text("my secret!")
        make.digit().save(folder / "one.png")
        return ["predict", "one.png", "--model", "bundle.onnx"] if command == "predict" else [command, "bundle.onnx"]

    return words


def _model(model: Callable[[], object], command: str = "predict") -> Words:
    return _bundle(lambda: pack.sealed(model().SerializeToString()), command)  # type: ignore[attr-defined]


def bundles() -> list[Case]:
    """Bundles of somebody who knows the format."""
    memory = "*/_ORT_MEM_ADDR_/*"
    many = pack.linear
    flipped = -1.0
    deep = '{"a":' * 100_000 + "1" + "}" * 100_000
    described, proof = (part.to_json() for part in pack.facts())
    piece = encode_bytes(7, encode_bytes(1, encode_bytes(4, "Loop")))
    signed = {"EDGE_TRUSTED_KEYS": "58" + "66" * 31}  # the base point: a key like others
    return [
        Case(1, "a tensor in secret.txt", _model(lambda: pack.reading("secret.txt"))),
        Case(1, "a tensor in ../../etc/passwd", _model(lambda: pack.reading("../../etc/passwd"))),
        Case(1, f"a tensor in {memory}", _model(lambda: pack.reading(memory))),
        Case(1, "the same, edge verify", _model(lambda: pack.reading(memory), "verify")),
        Case(2, "a Loop of 2^62 trips", _model(pack.endless)),
        Case(2, "the same, edge verify", _model(pack.endless, "verify")),
        Case(2, "functions that double 26 times", _model(lambda: pack.doubling(26), "verify")),
        Case(2, "an If in an If, 12 deep", _model(lambda: pack.nested(12), "verify")),
        Case(2, "a harmless ONNX file of others", _bundle(lambda: pack.linear().SerializeToString(), "info")),
        Case(
            2,
            "a shipped bundle with a Loop behind it, sealed again",
            _bundle(lambda: pack.resealed(shipped.locate("lstm").read_bytes(), piece)),
        ),
        *(
            Case(2, name, _bundle(lambda piece=piece: pack.resealed(shipped.locate("lstm").read_bytes(), piece())))
            for name, piece in pack.PIECES.items()
        ),
        Case(3, "an input of [1, 28, 28], edge verify", _model(lambda: many(image=(1, 28, 28)), "verify")),
        Case(3, "an input of [batch, 32, 32], edge verify", _model(lambda: many(image=("batch", 32, 32)), "verify")),
        Case(3, "logits of rank 0", _model(lambda: pack.answering(numpy_helper.from_array(np.float32(1).reshape(()))))),
        Case(
            3,
            "logits of [3], edge verify",
            _model(lambda: pack.answering(numpy_helper.from_array(np.ones(3, np.float32))), "verify"),
        ),
        Case(3, "digits that flip, edge verify", _model(lambda: many(scale=flipped), "verify")),
        Case(4, "logits that are NaN", _model(pack.not_numbers)),
        Case(4, "the same, --json", lambda folder: [*_model(pack.not_numbers)(folder), "--json"]),
        Case(4, "the same, edge verify", _model(pack.not_numbers, "verify")),
        Case(
            5,
            "labels with escape codes, predict",
            _bundle(
                lambda: pack.sealed(
                    pack.linear().SerializeToString(), labels=tuple(BELL + label for label in pack.LABELS)
                )
            ),
            codes=(0, 1),
        ),
        Case(
            5,
            "a name with escape codes, info",
            _bundle(
                lambda: pack.sealed(pack.linear().SerializeToString(), manifest=_with(described, name="x" + BELL)),
                "info",
            ),
            codes=(0, 1),
        ),
        Case(
            7,
            "unsigned, where a key is asked for",
            _bundle(lambda: pack.sealed(pack.linear().SerializeToString())),
            environment=signed,
        ),
        Case(
            7,
            "a shipped bundle, where a key is asked for",
            lambda folder: [*_bundle(lambda: b"")(folder)[:2], "--model", "lstm"],
            environment=signed,
        ),
        Case(
            7,
            "with a key and a signature of zeros, where the key of zeros is trusted",
            _bundle(
                lambda: pack.resealed(
                    pack.sealed(pack.linear().SerializeToString()),
                    make.encode_metadata("edge.signature", f"ed25519 {'0' * 64} {'0' * 128}"),
                )
            ),
            environment={"EDGE_TRUSTED_KEYS": "0" * 64},
        ),
        Case(
            18,
            "a manifest nested 100 000 deep",
            _bundle(lambda: pack.sealed(pack.linear().SerializeToString(), manifest=deep), "info"),
        ),
        Case(
            18,
            "a manifest with a number of 100 000 digits",
            _bundle(
                lambda: pack.sealed(
                    pack.linear().SerializeToString(),
                    manifest=described.replace('"temperature":1.0', '"temperature":' + "9" * 100_000),
                ),
                "info",
            ),
        ),
        Case(
            18,
            "a manifest with NaN",
            _bundle(
                lambda: pack.sealed(
                    pack.linear().SerializeToString(),
                    manifest=described.replace('"temperature":1.0', '"temperature":NaN'),
                ),
                "info",
            ),
        ),
        Case(
            18,
            "a manifest that names its name twice",
            _bundle(
                lambda: pack.sealed(pack.linear().SerializeToString(), manifest=described[:-1] + ',"name":"other"}'),
                "info",
            ),
            codes=(0, 1),
        ),
        Case(
            18,
            "evidence of 10^9 classes",
            _bundle(
                lambda: pack.sealed(pack.linear().SerializeToString(), evidence=_with(proof, classes=10**9)),
                "verify",
            ),
        ),
        Case(
            18,
            "evidence whose images inflate to 2 GB",
            _bundle(
                lambda: pack.sealed(
                    pack.linear().SerializeToString(), evidence=_with(proof, images=pack.packed_zeros(2 << 30))
                ),
                "verify",
            ),
        ),
        Case(
            18,
            "a tensor of 2^62 values",
            _bundle(
                lambda: pack.resealed(
                    shipped.locate("lstm").read_bytes(),
                    encode_bytes(
                        7, encode_bytes(5, encode_integer(1, 2**62) + encode_integer(2, 1) + encode_bytes(8, "huge"))
                    ),
                ),
                "verify",
            ),
            codes=(0, 1),
        ),
    ]


def _with(text: str, **changes: object) -> str:
    return json.dumps({**json.loads(text), **changes})


def _export(described: dict[str, object] | str) -> Words:
    def words(folder: Path) -> list[str]:
        path = folder / "weights.safetensors"
        if isinstance(described, str):
            pack.with_text(path, LSTM, described)
        else:
            pack.checkpoint(path, LSTM, **described)
        return ["export", "--checkpoint", path.name, "--data", "strokes", "--out", "out/deep"]

    return words


def checkpoints() -> list[Case]:
    """Checkpoints whose description lies."""
    with_name = "a checkpoint that is called"
    hidden = {
        "kind": "recurrent",
        "cell": "lstm",
        "hidden": 1.5,
        "layers": 1,
        "bidirectional": False,
    }
    changes: list[tuple[int, str, dict[str, object] | str]] = [
        (5, f"{with_name} /tmp/edge-escaped", {"name": "/tmp/edge-escaped"}),  # noqa: S108 - that is the attack
        (5, f"{with_name} ../x", {"name": "../x"}),
        (5, "a checkpoint with escape codes in a label", {"labels": [BELL, *"123456789"]}),
        (6, "a description nested 100 000 deep", "[" * 100_000),
        (6, '"specification": "x"', {"specification": "x"}),
        (6, "hidden 1.5", {"specification": hidden}),
        (6, "hidden 10^9", {"specification": {**hidden, "hidden": 10**9}}),
        *((6, f'"temperature": {json.dumps(value)}', {"temperature": value}) for value in ("x", 0, -1, float("nan"))),
        (6, "labels that are all the same", {"labels": ["1"] * 10}),
        (6, "9 labels", {"labels": list("012345678")}),
    ]

    def nan(folder: Path) -> list[str]:
        pack.with_nan(folder / "weights.safetensors", LSTM)
        return ["export", "--checkpoint", "weights.safetensors", "--data", "strokes", "--out", "out"]

    return [
        # quoted wherever it is shown, a label may be what it likes
        *(Case(kind, name, _export(change), (0, 1) if "label" in name else (1,)) for kind, name, change in changes),
        Case(6, "a weight that is NaN", nan),
    ]

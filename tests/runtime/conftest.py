"""A small but real bundle, built byte by byte: these tests need neither torch nor onnx.

The model is a linear classifier, `Cast, Flatten, Gemm, Softmax`; numpy computes what PyTorch would.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from edge.bench.results import Machine
from edge.bundle import bundle
from edge.bundle.evidence import Evidence
from edge.bundle.graph import encode_bytes, encode_integer
from edge.bundle.manifest import Accuracy, Manifest
from edge.session.runtime import DISTRIBUTIONS

FLOAT, UINT8, INT64 = 1, 2, 7
ATTRIBUTE_INT = 2
ATTRIBUTE_INTS = 7
EXTERNAL = 1

LABELS = tuple("0123456789")


@dataclass(frozen=True)
class Linear:
    """`logits = image @ weights + bias`."""

    weights: np.ndarray  # float32 (784, 10)
    bias: np.ndarray  # float32 (10,)

    def logits(self, images: np.ndarray) -> np.ndarray:
        flat = images.reshape(len(images), -1).astype(np.float64)
        return (flat @ self.weights.astype(np.float64) + self.bias).astype(np.float32)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        powers = np.exp(self.logits(images) - self.logits(images).max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)


def attribute(name: str, value: int) -> bytes:
    return encode_bytes(1, name) + encode_integer(3, value) + encode_integer(20, ATTRIBUTE_INT)


def axes_attribute(axis: int) -> bytes:
    """The attribute `axes` of reductions before opset 18."""
    return encode_bytes(1, "axes") + encode_integer(8, axis) + encode_integer(20, ATTRIBUTE_INTS)


def node(kind: str, inputs: list[str], output: str, *attributes: bytes, name: str | None = None) -> bytes:
    return b"".join(
        (
            *(encode_bytes(1, each) for each in inputs),
            encode_bytes(2, output),
            encode_bytes(3, f"the {kind}" if name is None else name),
            encode_bytes(4, kind),
            *(encode_bytes(5, each) for each in attributes),
        )
    )


def tensor(name: str, array: np.ndarray, *, external: bool = False) -> bytes:
    dims = b"".join(encode_integer(1, size) for size in array.shape)
    data = (
        encode_bytes(13, encode_bytes(1, "location") + encode_bytes(2, "weights.bin")) + encode_integer(14, EXTERNAL)
        if external
        else encode_bytes(9, array.tobytes())
    )
    return dims + encode_integer(2, FLOAT) + encode_bytes(8, name) + data


def value(name: str, element: int, *axes: int | str) -> bytes:
    shape = b"".join(
        encode_bytes(1, encode_integer(1, axis) if isinstance(axis, int) else encode_bytes(2, axis)) for axis in axes
    )
    return encode_bytes(1, name) + encode_bytes(2, encode_bytes(1, encode_integer(1, element) + encode_bytes(2, shape)))


def graph_bytes(
    linear: Linear,
    *,
    external: bool = False,
    input_name: str = "image",
    score: bool = False,
    nan: bool = False,
    picky: bool = False,
) -> bytes:
    """A serialised GraphProto.

    With `score` it has that output: the least of the logits. With `nan` every logit is none: a zero divided by itself.
    With `picky` it fails for fewer images than 1000, which shows only when it runs.
    """
    classes = len(linear.bias)
    last = "sums" if nan else "logits"
    more = []
    if score:
        least = node("ReduceMin", ["logits"], "score", attribute("keepdims", 0), axes_attribute(1))
        more += [encode_bytes(1, least), encode_bytes(12, value("score", FLOAT, "batch"))]
    if picky:
        last_one = (encode_integer(1, 1), encode_integer(2, INT64), encode_bytes(8, "999"))
        more += [encode_bytes(5, b"".join((*last_one, encode_bytes(9, np.int64([999]).tobytes()))))]
        more += [encode_bytes(1, node("Gather", ["logits", "999"], "the last"))]
        more += [encode_bytes(12, value("the last", FLOAT, 1, classes))]
    if nan:
        zeros = node("Sub", ["sums", "sums"], "zeros")
        more += [encode_bytes(1, zeros), encode_bytes(1, node("Div", ["zeros", "zeros"], "logits"))]
    return b"".join(
        (
            *more,
            encode_bytes(1, node("Cast", [input_name], "floats", attribute("to", FLOAT))),
            encode_bytes(1, node("Flatten", ["floats"], "flat", attribute("axis", 1))),
            encode_bytes(1, node("Gemm", ["flat", "weights", "bias"], last)),
            encode_bytes(1, node("Softmax", ["logits"], "probabilities", attribute("axis", 1))),
            encode_bytes(2, "linear"),
            encode_bytes(5, tensor("weights", linear.weights, external=external)),
            encode_bytes(5, tensor("bias", linear.bias)),
            encode_bytes(11, value(input_name, UINT8, "batch", 28, 28)),
            encode_bytes(12, value("logits", FLOAT, "batch", classes)),
            encode_bytes(12, value("probabilities", FLOAT, "batch", classes)),
        )
    )


def model_bytes(linear: Linear, *, ir_version: int = 7, opset: int = 13, **of_graph: object) -> bytes:
    """A serialised ModelProto."""
    return b"".join(
        (
            encode_integer(1, ir_version),
            encode_bytes(2, "by hand"),
            encode_bytes(7, graph_bytes(linear, **of_graph)),
            encode_bytes(8, encode_bytes(1, "") + encode_integer(2, opset)),
        )
    )


@pytest.fixture(scope="session")
def make_model() -> Callable[..., bytes]:
    return model_bytes


@pytest.fixture(scope="session")
def make_graph() -> Callable[..., bytes]:
    return graph_bytes


@pytest.fixture(scope="session")
def make_signature() -> Callable[..., bytes]:
    """Makes a model that takes an image of those axes and says that its outputs have those; it computes zeros."""

    def make(image: tuple[int | str, ...], outputs: tuple[int | str, ...]) -> bytes:
        zeros = np.zeros([3 if isinstance(axis, str) else axis for axis in outputs], np.float32)
        names = ("logits", "probabilities")
        graph = b"".join(
            (
                *(encode_bytes(1, node("Identity", ["zeros"], name, name=name)) for name in names),
                encode_bytes(2, "signature"),
                encode_bytes(5, tensor("zeros", zeros)),
                encode_bytes(11, value("image", UINT8, *image)),
                *(encode_bytes(12, value(name, FLOAT, *outputs)) for name in names),
            )
        )
        opset = encode_bytes(1, "") + encode_integer(2, 13)
        return encode_integer(1, 7) + encode_bytes(7, graph) + encode_bytes(8, opset)

    return make


@pytest.fixture(scope="session")
def linear() -> Linear:
    random = np.random.default_rng(7)
    return Linear(
        weights=(random.normal(size=(784, 10)) / 2550).astype(np.float32),
        bias=random.normal(size=10).astype(np.float32),
    )


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """uint8 (5, 28, 28): empty, full, a vertical stroke, and noise twice."""
    random = np.random.default_rng(8)
    stroke = np.zeros((28, 28), np.uint8)
    stroke[4:24, 12:16] = 255
    noise = random.integers(0, 256, size=(2, 28, 28), dtype=np.uint8)
    return np.stack([np.zeros((28, 28), np.uint8), np.full((28, 28), 255, np.uint8), stroke, *noise])


@pytest.fixture(scope="session")
def evidence(linear: Linear, images: np.ndarray) -> Evidence:
    return Evidence(
        images=images,
        logits=linear.logits(images),
        kinds=("all-zero", "all-255", "stroke 1", "noise", "noise"),
        max_logit_error=1e-4,
        max_flips=0,
    )


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    return Manifest(
        name="linear-fp32",
        model="linear",
        architecture={"kind": "linear", "inputs": 784},
        parameters=7850,
        labels=LABELS,
        picture={"box": 20, "centre": "mass"},
        precision="fp32",
        method="none",
        int8_weight_share=0.0,
        int8_verdict=None,
        providers=("cpu", "cuda"),
        accuracy=(Accuracy(data="noise", split="test", images=100, of="bundle", accuracy=0.1),),
        temperature=1.0,
        checkpoint_sha256="0" * 64,
        opset=13,
        ir_version=7,
        minimum_onnxruntime="1.19.2",
        versions={"numpy": "1.26.4"},
    )


@pytest.fixture(scope="session")
def model(linear: Linear) -> bytes:
    return model_bytes(linear)


@pytest.fixture(scope="session")
def packed(model: bytes, manifest: Manifest, evidence: Evidence) -> bytes:
    """The bytes of a good bundle."""
    return bundle.pack(model, manifest, evidence)


@pytest.fixture
def bundle_path(tmp_path: Path, packed: bytes) -> Path:
    path = tmp_path / "linear-fp32.onnx"
    path.write_bytes(packed)
    return path


@pytest.fixture
def repack(model: bytes, manifest: Manifest, evidence: Evidence) -> Callable[..., bytes]:
    """Packs the bundle again with other manifest fields, another model or other evidence."""

    def pack(*, model: bytes = model, evidence: Evidence = evidence, **changes: object) -> bytes:
        return bundle.pack(model, replace(manifest, **changes), evidence)

    return pack


@pytest.fixture(scope="session")
def rows_piece() -> bytes:
    """What gives the linear model the logits after each row: 28 copies, each without the rows below."""
    mask = np.tril(np.ones((28, 28), np.float32))[:, :, None]
    graph = (
        encode_bytes(1, node("Cast", ["image"], "r.floats", attribute("to", FLOAT), name="")),
        encode_bytes(1, node("Mul", ["r.floats", "r.mask"], "r.copies", name="")),
        encode_bytes(1, node("Flatten", ["r.copies"], "r.flat", attribute("axis", 1), name="")),
        encode_bytes(1, node("Gemm", ["r.flat", "weights", "bias"], "row_logits", name="")),
        encode_bytes(5, tensor("r.mask", mask)),
        encode_bytes(12, value("row_logits", FLOAT, 28, 10)),
    )
    return encode_bytes(7, b"".join(graph))


@pytest.fixture
def recurrent_path(tmp_path: Path, model: bytes, manifest: Manifest, evidence: Evidence, rows_piece: bytes) -> Path:
    """A bundle that says it is recurrent, and carries its rows."""
    path = tmp_path / "by-rows.onnx"
    facts = replace(manifest, name="by-rows", architecture={"kind": "recurrent"})
    path.write_bytes(bundle.pack(model, facts, evidence, rows_piece))
    return path


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretends that exactly these ONNX Runtimes are installed, and other distributions in these versions or not."""
    real = metadata.version

    def pretend(**versions: str | None) -> None:
        names = {name.replace("_", "-"): number for name, number in versions.items()}

        def version(name: str) -> str:
            number = names.get(name) if name in names or name in DISTRIBUTIONS else real(name)
            if number is None:
                raise metadata.PackageNotFoundError(name)
            return number

        monkeypatch.setattr("importlib.metadata.version", version)

    return pretend


@pytest.fixture
def shelf(tmp_path: Path, packed: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped bundles with one in it: `linear-fp32`."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    (folder / "linear-fp32.onnx").write_bytes(packed)
    monkeypatch.setattr("edge.bundle.shipped.FOLDER", folder)
    return folder


@pytest.fixture
def healthy(shelf: Path, installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shelf on a machine with the CPU's onnxruntime, which it can import, and from which nobody expects CUDA."""
    installed(onnxruntime="1.31.1")
    monkeypatch.setattr("edge.session.runtime.crash", lambda: None)
    return shelf


@pytest.fixture(scope="session")
def golden() -> list[tuple[str, np.ndarray]]:
    """Labels and images, uint8 (28, 28), of all hand-drawn digits in the evidence of a shipped bundle."""
    from edge.bundle import bundle, shipped

    evidence = bundle.read(shipped.locate("lstm-int8")).evidence
    pairs = zip(evidence.kinds, evidence.images, strict=True)
    return [(kind.split()[1], image) for kind, image in pairs if kind.startswith("stroke ")]


@pytest.fixture(scope="session")
def some_machine() -> Machine:
    """The facts of a machine that is none of ours."""
    return Machine(
        cpu="Some CPU",
        cpu_family="family 1, model 2",
        architecture="x86_64",
        int8_instructions=("avx2",),
        allowed_cpus=2,
        load_average=0.5,
        system="Some OS",
        python="3.11.9",
        numpy="1.26.4",
        onnxruntime="1.19.2",
        distributions={"onnxruntime": "1.19.2"},
        edge="0.1.0",
    )


@pytest.fixture
def two(shelf, repack):
    """Two bundles, named `a` and `b`."""
    from edge.bench.measurement import named_bundles

    for name in ("a", "b"):
        (shelf / f"{name}.onnx").write_bytes(repack(name=name))
    return named_bundles(["a", "b"])

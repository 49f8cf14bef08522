"""The manifest: what a bundle says about itself, as JSON in the metadata entry `edge.manifest`.

The text is deterministic (sorted keys, no spaces, ASCII), because a bundle is byte-reproducible. Reading is
strict about what must be there and of which type, and ignores keys it does not know: a later edge may add
facts without a new protocol. Words of a later edge (a provider, a precision, a kind of accuracy) are carried as they
are, and refused only where they would be used.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from edge.bundle import fields
from edge.bundle.input import INPUT, OUTPUTS, PICTURE_RECIPE, Input
from edge.errors import BundleError, ProtocolError
from edge.text.files import is_file_name

PROTOCOL = 1
"""The generation of the bundle format; it changes only when an older edge would misread a newer bundle."""

Precision = Literal["fp32", "fp16", "int8"]
"""Those that this edge writes."""

ProviderName = Literal["cpu", "cuda"]
"""Those that this edge runs."""

# Facts that a newer edge added: where there are none, a bundle has the bytes that it always had.
_LATER = ("few_images_vnni", "preparation", "warning")


@dataclass(frozen=True, slots=True)
class Accuracy:
    """One measured accuracy.

    Attributes:
        data: name of the data, such as "mnist".
        split: which part of it, such as "test".
        images: how many images were classified.
        of: what was measured, such as "checkpoint" or this "bundle".
        accuracy: share of right labels, 0 to 1.
    """

    data: str
    split: str
    images: int
    of: str
    accuracy: float


@dataclass(frozen=True, slots=True)
class Rejection:
    """When an answer is none: what `edge.classifier.prediction.Scorer` computes lies below the threshold.

    Attributes:
        threshold: the lowest score of an accepted image.
        energy: median over the data, and how far the lowest of its digits lie below.
        distance: the same of the distance to the nearest centre.
        centres: for each label, the mean logits of its images.
        whitening: lower triangle L, row by row, of which L L^T is the inverse covariance of the logits about their
            centres.
        data: name of the data that all of it was fitted on, such as "mnist-validation".
        images: how many of them.
        rejected: share of them below the threshold, 0 to 1.
    """

    threshold: float
    energy: tuple[float, float]
    distance: tuple[float, float]
    centres: tuple[tuple[float, ...], ...]
    whitening: tuple[tuple[float, ...], ...]
    data: str
    images: int
    rejected: float


@dataclass(frozen=True, slots=True)
class Preparation:
    """How somebody's own model was trained to see its pictures, and what it gives: all of it is done in the graph.

    Attributes:
        layout: the order of the axes of the model's own input, N for the batch, such as "N,1,28,28".
        mean: subtracted from the pixels in [0, 1]; one number, one for each of three colours, or none.
        deviation: what the difference is divided by; as many.
        inverted: whether the model reads dark ink, 0, on light paper, 1.
        transposed: whether its rows are the columns of the picture.
        each: what is done to each picture by itself, before the normalisation: "standardised" by its own mean and
            deviation, "binary" where pixels above a half are 1 and the others 0, or "" for nothing.
        output: what the model itself gives, in a few words, such as "logits" or "probabilities, softmax taken off".
    """

    layout: str
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    inverted: bool = False
    transposed: bool = False
    output: str = "logits"
    each: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The facts about a bundle.

    Attributes:
        name: name of the bundle, such as "lstm-int8".
        model: name of the model specification, such as "lstm".
        architecture: kind and sizes, such as `{"kind": "lstm", "hidden": 128, "layers": 1}`.
        parameters: number of trained parameters.
        labels: label of each column of `logits` and `probabilities`.
        input: the tensor that the graph takes.
        picture: how a picture file becomes that tensor, by name.
        precision: "fp32", "fp16" or "int8", of the arithmetic, or of the stored weights when `method` says so.
        method: how it was quantised, "none" otherwise.
        int8_weight_share: share of the bytes of all weights that is really stored as int8, 0 to 1.
        int8_verdict: what int8 brings for this model, in a sentence; None where it was not judged.
        int8_target: the processors that its integer products are exact on: "any", "vnni" (x86 with VNNI) or "arm64";
            None where there are none, or where an older edge did not say.
        providers: those that can run every node of the graph, such as "cpu" and "cuda".
        accuracy: measured figures.
        temperature: divisor of the logits before the softmax of `probabilities`, which is part of the graph.
        checkpoint_sha256: SHA-256 of the checkpoint file, 64 hexadecimal digits.
        opset: operator set of the default ONNX domain.
        ir_version: version of the ONNX file format.
        minimum_onnxruntime: oldest ONNX Runtime that the bundle was tested with.
        versions: versions of the packages that made the bundle.
        rejection: when an answer is none; None where it was not fitted, as in bundles of an older edge.
        outputs: what the graph gives: "logits" and "probabilities", and "score" where the graph computes what rejection
            is judged by; bundles of an older edge leave that to the reader.
        preparation: what the graph does for somebody's own model before and behind it; None for edge's own models,
            which take the tensor as it is.
        few_images_vnni: on x86 with VNNI, batches of fewer images are computed in the way for a few; None where the
            graph's own limit is right there too, or the graph has one way only.
        warning: what was known to be wrong with the model when `--force` packed it, in a sentence; None otherwise.
        protocol: generation of the bundle format.
    """

    name: str
    model: str
    architecture: Mapping[str, Any]
    parameters: int
    labels: tuple[str, ...]
    picture: Mapping[str, Any]
    precision: str
    method: str
    int8_weight_share: float
    int8_verdict: str | None
    providers: tuple[str, ...]
    accuracy: tuple[Accuracy, ...]
    temperature: float
    checkpoint_sha256: str
    opset: int
    ir_version: int
    minimum_onnxruntime: str
    versions: Mapping[str, str]
    input: Input = INPUT
    int8_target: str | None = None
    rejection: Rejection | None = None
    outputs: tuple[str, ...] = OUTPUTS
    preparation: Preparation | None = None
    few_images_vnni: int | None = None
    warning: str | None = None
    protocol: int = PROTOCOL

    @property
    def picture_note(self) -> str | None:
        """What is to be said of the picture recipe that the model was made with; None where it is this edge's."""
        version = self.picture.get("version")
        if version == PICTURE_RECIPE:
            return None
        made = f"made with version {version} of the picture recipe" if "version" in self.picture else "made without one"
        if self._knows_recipe:
            return f"{made}; pictures are read by this edge's, version {PICTURE_RECIPE}"
        return f"{made}, this edge knows {PICTURE_RECIPE}: arrays are classified, pictures are refused"

    @property
    def _knows_recipe(self) -> bool:
        version = self.picture.get("version", 0)
        return isinstance(version, int) and version <= PICTURE_RECIPE

    def check_pictures(self) -> None:
        """Refuses to read pictures for a model that was made with a later recipe than this edge knows.

        Raises:
            BundleError: it was.
        """
        if not self._knows_recipe:
            version = self.picture.get("version")
            raise BundleError(
                f"{self.name} was made with version {version} of the picture recipe, this edge reads pictures by "
                f"version {PICTURE_RECIPE}; upgrade it with: pip install -U edge-toolkit, or give arrays, "
                "uint8 (N, 28, 28)"
            )

    def to_json(self) -> str:
        """Writes the manifest as deterministic JSON: sorted keys, no spaces, ASCII.

        Raises:
            BundleError: a value is no JSON, such as NaN, or `from_json` would refuse the text.
        """
        facts = {key: value for key, value in asdict(self).items() if value is not None or key not in _LATER}
        try:
            text = json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise BundleError(f"the manifest cannot be written: {error}; give it plain JSON values") from error
        from_json(text)
        return text


def from_json(text: str | bytes) -> Manifest:
    """Reads and checks a manifest.

    Args:
        text: the value of `edge.manifest`.

    Raises:
        ProtocolError: the protocol number is not the one this edge knows.
        BundleError: the text is no JSON object, or a field is missing, of the wrong type or out of range.
    """
    record = fields.parse_object(text, "manifest")
    protocol = fields.take(record, "protocol", int)
    if protocol > PROTOCOL:
        raise ProtocolError(
            f"the bundle speaks protocol {protocol}, this edge knows protocol {PROTOCOL}; "
            "upgrade it with: pip install -U edge-toolkit"
        )
    if protocol < PROTOCOL:
        raise ProtocolError(
            f"the bundle speaks the old protocol {protocol}, this edge knows protocol {PROTOCOL}; "
            "re-export it with `edge export`"
        )
    manifest = Manifest(
        name=fields.take(record, "name", str),
        model=fields.take(record, "model", str),
        architecture=fields.take(record, "architecture", dict),
        parameters=fields.take(record, "parameters", int),
        labels=fields.strings(record, "labels"),
        picture=fields.take(record, "picture", dict),
        precision=fields.take(record, "precision", str),
        method=fields.take(record, "method", str),
        int8_weight_share=fields.number(record, "int8_weight_share"),
        int8_verdict=fields.optional_string(record, "int8_verdict"),
        int8_target=fields.optional_string(record, "int8_target"),
        providers=fields.strings(record, "providers"),
        accuracy=tuple(_accuracy(item) for item in fields.take(record, "accuracy", list)),
        temperature=fields.number(record, "temperature"),
        checkpoint_sha256=fields.take(record, "checkpoint_sha256", str),
        opset=fields.take(record, "opset", int),
        ir_version=fields.take(record, "ir_version", int),
        minimum_onnxruntime=fields.take(record, "minimum_onnxruntime", str),
        versions=_versions(fields.take(record, "versions", dict)),
        input=_input(fields.take(record, "input", dict)),
        rejection=_rejection(record),
        outputs=fields.strings(record, "outputs") if "outputs" in record else OUTPUTS,
        preparation=_preparation(record),
        few_images_vnni=fields.take(record, "few_images_vnni", int) if "few_images_vnni" in record else None,
        warning=fields.optional_string(record, "warning"),
        protocol=protocol,
    )
    _check_ranges(manifest)
    return manifest


def _check_ranges(manifest: Manifest) -> None:
    if not is_file_name(manifest.name):
        raise fields.wrong("name", "a name that a file may have", manifest.name)
    if not manifest.labels:
        raise fields.wrong("labels", "at least one label", [])
    if len(set(manifest.labels)) != len(manifest.labels):
        raise fields.wrong("labels", "labels that differ", list(manifest.labels))
    if not manifest.providers:
        raise fields.wrong("providers", "at least one provider", [])
    if not 0 <= manifest.int8_weight_share <= 1:
        raise fields.wrong("int8_weight_share", "a share from 0 to 1", manifest.int8_weight_share)
    if manifest.few_images_vnni is not None and manifest.few_images_vnni < 1:
        raise fields.wrong("few_images_vnni", "a number of at least 1", manifest.few_images_vnni)
    if manifest.temperature <= 0:
        raise fields.wrong("temperature", "a number above 0", manifest.temperature)


def _input(record: dict[str, Any]) -> Input:
    shape = fields.take(record, "shape", list)
    if not all(isinstance(axis, int | str) and not isinstance(axis, bool) for axis in shape):
        raise fields.wrong("shape", "a list of sizes and axis names", shape)
    return Input(
        shape=tuple(shape),
        dtype=fields.take(record, "dtype", str),
        ink=fields.take(record, "ink", int),
        background=fields.take(record, "background", int),
    )


def _rejection(record: Mapping[str, Any]) -> Rejection | None:
    if record.get("rejection") is None:
        return None
    facts = fields.take(record, "rejection", dict)
    classes = len(fields.take(record, "labels", list))
    return Rejection(
        threshold=fields.number(facts, "threshold"),
        energy=_pair(facts, "energy"),
        distance=_pair(facts, "distance"),
        centres=_rows(facts, "centres", [classes] * classes),
        whitening=_rows(facts, "whitening", range(1, classes + 1)),
        data=fields.take(facts, "data", str),
        images=fields.take(facts, "images", int),
        rejected=fields.number(facts, "rejected"),
    )


def _preparation(record: Mapping[str, Any]) -> Preparation | None:
    if record.get("preparation") is None:
        return None
    facts = fields.take(record, "preparation", dict)
    mean = fields.take(facts, "mean", list)
    deviation = fields.numbers("deviation", fields.take(facts, "deviation", list), len(mean))
    if not all(one > 0 for one in deviation):
        raise fields.wrong("deviation", "numbers above 0", facts["deviation"])
    return Preparation(
        layout=fields.take(facts, "layout", str),
        mean=fields.numbers("mean", mean, len(mean)),
        deviation=deviation,
        inverted=fields.flag(facts, "inverted"),
        transposed=fields.flag(facts, "transposed"),
        output=fields.take(facts, "output", str),
        each=fields.take(facts, "each", str) if "each" in facts else "",  # since when it could be anything else
    )


def _versions(record: dict[str, Any]) -> dict[str, str]:
    if not all(isinstance(version, str) for version in record.values()):
        raise fields.wrong("versions", "an object of strings", record)
    return record


def _accuracy(record: object) -> Accuracy:
    if not isinstance(record, dict):
        raise fields.wrong("accuracy", "a list of objects", record)
    return Accuracy(
        data=fields.take(record, "data", str),
        split=fields.take(record, "split", str),
        images=fields.take(record, "images", int),
        of=fields.take(record, "of", str),
        accuracy=fields.number(record, "accuracy"),
    )


def _pair(record: Mapping[str, Any], key: str) -> tuple[float, float]:
    median, spread = fields.numbers(key, fields.take(record, key, list), 2)
    if spread <= 0:
        raise fields.wrong(key, "a median and a spread above 0", record[key])
    return median, spread


def _rows(record: Mapping[str, Any], key: str, sizes: Sequence[int]) -> tuple[tuple[float, ...], ...]:
    rows = fields.take(record, key, list)
    if len(rows) != len(sizes):
        raise fields.wrong(key, f"{len(sizes)} rows", rows)
    return tuple(fields.numbers(key, row, size) for row, size in zip(rows, sizes, strict=True))

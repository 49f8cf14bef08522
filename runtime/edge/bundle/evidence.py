"""The evidence: golden images with PyTorch's logits, which a bundle carries so that any machine can re-check it.

JSON in the metadata entry `edge.evidence`: the images as base64 of zlib, the logits as base64 of little-endian
float32. The number of images is known before anything is inflated, so a small text cannot become a large array.
numpy is imported only when the arrays are built: `edge info` reads bundles without it.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge.bundle.fields import finite, parse_object
from edge.bundle.input import COLUMNS, ROWS
from edge.errors import BundleError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DRAWN = "stroke"
"""What the kind of a drawn image begins with; others drive the arithmetic to its ends."""

MAX_IMAGES = 4096  # a few dozen are usual; more would only make every bundle larger
MAX_CLASSES = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Golden images and what PyTorch answered.

    Attributes:
        images: uint8 (N, 28, 28), ink 255 on background 0.
        logits: float32 (N, classes), of the trained model in PyTorch.
        kinds: what each image is, such as "stroke 7", "all-zero" or "noise".
        max_logit_error: largest absolute difference of a logit that still passes.
        max_flips: how many images may get another label than PyTorch gave.
        limits: the same for each image, at most `max_logit_error`; None takes `max_logit_error` for all. An image that
            drives the arithmetic to its ends may be far off where a digit may not.
    """

    images: NDArray[np.uint8]
    logits: NDArray[np.float32]
    kinds: tuple[str, ...]
    max_logit_error: float
    max_flips: int
    limits: tuple[float, ...] | None = None

    def limit(self, index: int) -> float:
        """The largest difference of a logit that still passes for one image."""
        return self.max_logit_error if self.limits is None else self.limits[index]

    @property
    def digits(self) -> NDArray[np.bool_]:
        """Bool (N,): which images are drawn, and no page of one grey or of noise."""
        import numpy as np

        return np.array([kind.startswith(DRAWN) for kind in self.kinds], np.bool_)

    def to_json(self) -> str:
        """Writes the evidence as deterministic JSON: sorted keys, no spaces, ASCII.

        Raises:
            BundleError: an array has another shape or type than documented, or a value is not finite.
        """
        import numpy as np

        count, classes = len(self.kinds), self.logits.shape[-1]
        if self.images.dtype != np.uint8 or self.images.shape != (count, ROWS, COLUMNS):
            raise BundleError(
                f"evidence images are {self.images.dtype} {self.images.shape}; give uint8 {(count, ROWS, COLUMNS)}"
            )
        if self.logits.dtype != np.float32 or self.logits.shape != (count, classes):
            raise BundleError(
                f"evidence logits are {self.logits.dtype} {self.logits.shape}; give float32 {(count, classes)}"
            )
        record: dict[str, Any] = {
            "classes": classes,
            "images": base64.b64encode(zlib.compress(self.images.tobytes(), level=9)).decode(),
            "kinds": list(self.kinds),
            "logits": base64.b64encode(self.logits.astype("<f4").tobytes()).decode(),
            "max_flips": self.max_flips,
            "max_logit_error": self.max_logit_error,
        }
        if self.limits is not None:
            record["limits"] = list(self.limits)
        text = json.dumps(record, sort_keys=True, separators=(",", ":"))
        from_json(text)
        return text


def from_json(text: str | bytes) -> Evidence:
    """Reads and checks evidence.

    Args:
        text: the value of `edge.evidence`.

    Raises:
        BundleError: a field is missing, of the wrong type, or its bytes have another size than announced.
    """
    import numpy as np

    record = parse_object(text, "evidence")
    kinds = record.get("kinds")
    if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
        raise _wrong("`kinds` is no list of strings")
    if not 1 <= len(kinds) <= MAX_IMAGES:
        raise _wrong(f"it holds {len(kinds)} images, expected 1 to {MAX_IMAGES}")
    classes = _count(record, "classes")
    if not 1 <= classes <= MAX_CLASSES:
        raise _wrong(f"it names {classes} classes, expected 1 to {MAX_CLASSES}")
    tolerance = finite(record.get("max_logit_error"))
    if tolerance is None or tolerance <= 0:
        raise _wrong("`max_logit_error` is no number above 0")
    pixels = _inflate(_decode(record, "images"), len(kinds) * ROWS * COLUMNS)
    raw = _decode(record, "logits")
    if len(raw) != len(kinds) * classes * 4:
        raise _wrong(f"the logits have {len(raw)} bytes, expected {len(kinds) * classes * 4}")
    logits = np.frombuffer(raw, dtype="<f4").astype(np.float32).reshape(len(kinds), classes)
    if not np.isfinite(logits).all():
        raise _wrong("a logit is not finite")
    return Evidence(
        images=np.frombuffer(pixels, dtype=np.uint8).reshape(len(kinds), ROWS, COLUMNS),
        logits=logits,
        kinds=tuple(kinds),
        max_logit_error=tolerance,
        max_flips=_count(record, "max_flips"),
        limits=_limits(record, len(kinds), tolerance),
    )


def _limits(record: dict[str, Any], count: int, largest: float) -> tuple[float, ...] | None:
    values = record.get("limits")
    if values is None:
        return None
    numbers = [finite(value) for value in values] if isinstance(values, list) else []
    limits = tuple(number for number in numbers if number is not None and 0 < number <= largest)
    if len(limits) != count:
        raise _wrong(f"`limits` is no list of {count} numbers above 0 and up to `max_logit_error`")
    return limits


def _count(record: dict[str, Any], key: str) -> int:
    value = record.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _wrong(f"`{key}` is no count")
    return value


def _decode(record: dict[str, Any], key: str) -> bytes:
    text = record.get(key)
    if not isinstance(text, str):
        raise _wrong(f"`{key}` is no text")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _wrong(f"`{key}` is no base64: {error}") from error


def _inflate(packed: bytes, size: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        # One byte more than expected is enough to notice a longer stream without inflating the rest of it.
        pixels = stream.decompress(packed, size + 1)
    except zlib.error as error:
        raise _wrong(f"the images cannot be inflated: {error}") from error
    if len(pixels) != size or not stream.eof or stream.unused_data:
        raise _wrong(f"the images do not inflate to exactly {size} bytes")
    return pixels


def _wrong(what: str) -> BundleError:
    return BundleError(f"the evidence cannot be used: {what}; re-export the bundle with `edge export`")

"""edge: classifies pictures with one-file models on the device, without torch.

    import edge

    classifier = edge.load("lstm-int8")
    classifier.predict("digit.png").label

numpy, Pillow and onnxruntime are imported when the first of these names is used, not by `import edge`.
"""

import os
from typing import TYPE_CHECKING

from edge.errors import (
    BundleDamagedError,
    BundleError,
    BundleNotFoundError,
    EdgeError,
    InputError,
    MissingExtraError,
    NoDigitError,
    NotABundleError,
    PictureError,
    PictureNotFoundError,
    ProtocolError,
    ProviderError,
    RuntimeMissingError,
    SeveralDigitsError,
    UnreadablePictureError,
    VerificationError,
)

# ONNX Runtime looks for this when it is first imported, and nothing that can be called later keeps it from writing a
# device id and from telling its maker about this machine. Child processes inherit it; the user's own setting holds.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from edge.classifier.classifier import Classifier, Prediction, load

    __version__: str

__all__ = [
    "BundleDamagedError",
    "BundleError",
    "BundleNotFoundError",
    "Classifier",
    "EdgeError",
    "InputError",
    "MissingExtraError",
    "NoDigitError",
    "NotABundleError",
    "PictureError",
    "PictureNotFoundError",
    "Prediction",
    "ProtocolError",
    "ProviderError",
    "RuntimeMissingError",
    "SeveralDigitsError",
    "UnreadablePictureError",
    "VerificationError",
    "load",
]

_FROM_CLASSIFIER = ("Classifier", "Prediction", "load")


def __getattr__(name: str) -> object:
    if name in _FROM_CLASSIFIER:
        from edge.classifier import classifier

        return getattr(classifier, name)
    if name == "__version__":
        from edge.session import runtime

        return runtime.version("edge-toolkit") or "unknown"
    raise AttributeError(f"module 'edge' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

"""edge: classifies pictures with one-file models on the device, without torch.

    import edge

    classifier = edge.load("lstm-int8")
    classifier.predict("digit.png").label

`__all__` is the whole promise: everything else may change. numpy, Pillow and onnxruntime are imported when the first of
these names needs them, not by `import edge`.
"""

import os
from typing import TYPE_CHECKING

from edge.errors import (
    BundleDamagedError,
    BundleError,
    BundleNotFoundError,
    EdgeError,
    InputError,
    KeyFileError,
    MissingExtraError,
    NoDigitError,
    NotABundleError,
    PictureError,
    PictureNotFoundError,
    ProtocolError,
    ProviderError,
    RuntimeMissingError,
    SeveralDigitsError,
    SignatureError,
    UnreadablePictureError,
    VerificationError,
    WriteError,
)

# ONNX Runtime looks for this when it is first imported, and nothing that can be called later keeps it from writing a
# device id and from telling its maker about this machine. Child processes inherit it; the user's own setting holds.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from edge.bundle.bundle import Bundle
    from edge.bundle.manifest import Manifest
    from edge.bundle.shipped import info
    from edge.bundle.shipped import names as models
    from edge.classifier.classifier import Classifier, load
    from edge.classifier.page import Page, read_page
    from edge.classifier.prediction import Prediction
    from edge.explanation import Explanation, explain
    from edge.verification import Verification, verify

    __version__: str

__all__ = [
    "Bundle",
    "BundleDamagedError",
    "BundleError",
    "BundleNotFoundError",
    "Classifier",
    "EdgeError",
    "Explanation",
    "InputError",
    "KeyFileError",
    "Manifest",
    "MissingExtraError",
    "NoDigitError",
    "NotABundleError",
    "Page",
    "PictureError",
    "PictureNotFoundError",
    "Prediction",
    "ProtocolError",
    "ProviderError",
    "RuntimeMissingError",
    "SeveralDigitsError",
    "SignatureError",
    "UnreadablePictureError",
    "Verification",
    "VerificationError",
    "WriteError",
    "explain",
    "info",
    "load",
    "models",
    "read_page",
    "verify",
]

# Where each name is defined that `import edge` does not import.
_HOME = {
    "Bundle": "edge.bundle.bundle:Bundle",
    "Classifier": "edge.classifier.classifier:Classifier",
    "Explanation": "edge.explanation:Explanation",
    "Manifest": "edge.bundle.manifest:Manifest",
    "Page": "edge.classifier.page:Page",
    "Prediction": "edge.classifier.classifier:Prediction",
    "Verification": "edge.verification:Verification",
    "explain": "edge.explanation:explain",
    "info": "edge.bundle.shipped:info",
    "load": "edge.classifier.classifier:load",
    "models": "edge.bundle.shipped:names",
    "read_page": "edge.classifier.page:read_page",
    "verify": "edge.verification:verify",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from edge.session import runtime

        return runtime.version("edge-toolkit") or "unknown"
    if name not in _HOME:
        raise AttributeError(f"module 'edge' has no attribute {name!r}")
    from importlib import import_module

    module, _, member = _HOME[name].partition(":")
    found = globals()[name] = getattr(import_module(module), member)
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

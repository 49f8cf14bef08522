"""The errors of edge, all below one root.

    EdgeError
    ├── BundleError (ValueError)
    │   ├── BundleNotFoundError (FileNotFoundError)
    │   ├── BundleDamagedError       a byte differs from what was packed
    │   ├── NotABundleError          readable ONNX or another file, but not packed by edge
    │   ├── ProtocolError            packed by another generation of edge
    │   └── SignatureError           signed by nobody who is trusted here
    ├── KeyFileError (ValueError)    no key in a file, or not the one that is needed
    ├── PictureError (ValueError)
    │   ├── PictureNotFoundError (FileNotFoundError)
    │   ├── UnreadablePictureError   not a picture, cut off, too large
    │   ├── NoDigitError             a blank page
    │   └── SeveralDigitsError       one digit was expected
    ├── InputError (ValueError)      an array of the wrong shape or type
    ├── ProviderError (RuntimeError)
    │   └── RuntimeMissingError (ImportError)
    ├── WriteError (OSError)         a file or folder cannot be written
    ├── VerificationError            the evidence does not hold on this machine
    └── MissingExtraError (ImportError)

The upper layers hang their own errors below `EdgeError`. Every message has the form
`what happened; what to do next`, because the command line prints it as it is and exits with 1.
"""


class EdgeError(Exception):
    """Something expected went wrong, and the message says what to do next."""

    def __reduce__(self) -> tuple[object, ...]:
        # An exception travels to another process as its class and its arguments; some of these build their message of
        # other arguments than it, and would be built anew of the message.
        return _restored, (type(self), self.args, self.__dict__)


class BundleError(EdgeError, ValueError):
    """A bundle cannot be used."""


class BundleNotFoundError(BundleError, FileNotFoundError):
    """No bundle has that name and no file that path."""


class BundleDamagedError(BundleError):
    """The bytes of the bundle are not the bytes that were packed."""


class NotABundleError(BundleError):
    """The file is not a bundle: it has no manifest, or is no ONNX file at all."""


class ProtocolError(BundleError):
    """The bundle speaks a protocol that this version of edge does not know."""


class SignatureError(BundleError):
    """No key that is trusted here has signed the bundle, or its signature is of other bytes."""


class KeyFileError(EdgeError, ValueError):
    """A file of a key cannot be read, or holds no key of the kind that is needed."""


class PictureError(EdgeError, ValueError):
    """A picture cannot be classified."""


class PictureNotFoundError(PictureError, FileNotFoundError):
    """No file at that path."""


class UnreadablePictureError(PictureError):
    """The file is not a picture, is cut off, or is too large to be decoded safely."""


class NoDigitError(PictureError):
    """There is no ink on the page, or none of it is a digit.

    Attributes:
        digits: 0.
    """

    digits = 0

    def __init__(self, name: str, unread: int = 0) -> None:
        reason = "what is written there looks like none" if unread else "the page is blank or its ink too faint"
        super().__init__(f"{name} shows no digit, {reason}; write darker or come closer")


class SeveralDigitsError(PictureError):
    """There is more than one digit on the page, and one was expected.

    Attributes:
        digits: how many were found; about right where digits touch.
    """

    def __init__(self, name: str, digits: int) -> None:
        super().__init__(
            f"{name} shows {digits} digits, and one was expected; crop it to one, or read them all with `edge read`"
        )
        self.digits = digits


class InputError(EdgeError, ValueError):
    """An array has the wrong shape, type or range."""


class ProviderError(EdgeError, RuntimeError):
    """The execution provider that was asked for cannot run this model here."""


class RuntimeMissingError(ProviderError, ImportError):
    """Neither onnxruntime nor onnxruntime-gpu is installed, or they break each other."""


class WriteError(EdgeError, OSError):
    """A file or a folder cannot be written; an old file stays as it was."""

    def __str__(self) -> str:
        return str(self.args[0])  # without the number that the system gives errors


class VerificationError(EdgeError):
    """The model does not give on this machine what its evidence says."""


class MissingExtraError(EdgeError, ImportError):
    """A command needs packages of an extra that is not installed."""

    def __init__(self, command: str, extra: str, missing: str) -> None:
        super().__init__(
            f"`edge {command}` needs {missing}, which is not installed; "
            f"install it with: pip install 'edge-toolkit[{extra}]'"
        )


def _restored(kind: type[EdgeError], arguments: tuple[object, ...], facts: dict[str, object]) -> EdgeError:
    error = Exception.__new__(kind) if not issubclass(kind, OSError) else OSError.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(facts)
    return error

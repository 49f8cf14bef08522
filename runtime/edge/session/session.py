"""Sessions: a bundle's graph, loaded on a proved provider, and where each of its nodes really runs.

onnxruntime is imported by the first session, so that the commands that need none start quickly.
"""

import functools
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.bundle import branches
from edge.bundle.input import COLUMNS, INPUT, NAME, OUTPUTS, ROWS, SCORE, check_served
from edge.bundle.manifest import Manifest
from edge.errors import BundleError, InputError, ProviderError
from edge.session import batching, providers
from edge.session.providers import Options, Provider, open_best, open_on
from edge.session.runtime import failures, first_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_COPIED, _LISTED = methodcaller("copy"), methodcaller("tolist")


class NoProfileError(ProviderError):
    """Where the nodes ran cannot be measured, because onnxruntime writes that to a file and none can be written."""


class _Bound:
    """A native session's run of one image, from memory and into memory of its own; for one thread at a time.

    `InferenceSession.run` looks through what it is given and makes an array of each output, for which a small model has
    to wait a tenth of its time.
    """

    __slots__ = ("_binding", "_found", "_image", "_run")

    def __init__(self, native: Any, outputs: Sequence[str], found: "Sequence[NDArray[np.float32]]") -> None:  # noqa: ANN401 - onnxruntime is untyped
        """Takes memory for an image, and for outputs of the shapes of those that an image gave."""
        import numpy as np

        self._image = np.empty((1, ROWS, COLUMNS), np.uint8)
        self._found = [np.empty_like(values) for values in found]
        binding = native.io_binding()
        binding.bind_input(NAME, "cpu", 0, np.uint8, self._image.shape, self._image.ctypes.data)
        for name, values in zip(outputs, self._found, strict=True):
            binding.bind_output(name, "cpu", 0, np.float32, values.shape, values.ctypes.data)
        inner = _bare(native)
        self._run, self._binding = inner.run_with_iobinding, binding if inner is native else _bare(binding)

    def __call__(self, image: "NDArray[np.uint8]") -> "list[NDArray[np.float32]]":
        """The outputs for an image, uint8 (1, 28, 28), in arrays that the next call fills anew."""
        if image.shape != self._image.shape or image.dtype != self._image.dtype:
            raise ValueError  # which NumPy would broadcast, or cast
        self._image[:] = image
        self._run(self._binding, None)
        return self._found


class _Sessions:
    """Native sessions of one graph, each opened at its first use: of all its outputs, and of those that suffice."""

    __slots__ = ("_lock", "_model", "_on_cpu", "_open", "_parts", "_whole", "bound", "runs")

    def __init__(
        self,
        model: bytes,
        open_one: Callable[[bytes], Any],
        *,
        whole: Any = None,  # noqa: ANN401 - onnxruntime is untyped
        on_cpu: bool,
    ) -> None:
        self._model = model
        self._open = open_one
        self._whole = whole
        self._on_cpu = on_cpu
        self._parts: dict[tuple[str, ...], Any] = {}
        self.runs: dict[tuple[str, ...], Callable[..., Any]] = {}
        self.bound: dict[tuple[str, ...], list[_Bound]] = {}
        self._lock = threading.RLock()

    def run_of(self, outputs: tuple[str, ...]) -> Callable[..., Any]:
        """What runs the smallest session that gives these outputs; kept in `runs`."""
        with self._lock:
            if outputs not in self.runs:
                # A large model takes its time before the outputs part, and its weights would be in memory twice.
                can_be_cut = self._on_cpu and len(self._model) < batching.SMALL_MODEL_BYTES
                part = branches.cut(self._model, outputs) if can_be_cut else None
                self._parts[outputs] = self.whole() if part is None else self._open(part)
                self.runs[outputs] = _bare(self._parts[outputs]).run
            return self.runs[outputs]

    def whole(self) -> Any:  # noqa: ANN401 - onnxruntime is untyped
        """The session of the whole graph."""
        with self._lock:
            if self._whole is None:
                self._whole = self._open(self._model)
            return self._whole

    def bind(self, outputs: tuple[str, ...], found: "Sequence[NDArray[np.float32]]") -> None:
        """Has memory ready for the next image of which these outputs are asked for; `found` are those of one."""
        if self._on_cpu:
            self.bound.setdefault(outputs, []).append(_Bound(self._parts[outputs], outputs, found))


class Session:
    """A model loaded on one provider; may be used from several threads at once.

    A session of ONNX Runtime computes all that its model holds. So on the CPU there is one for each set of outputs that
    is asked for, and one each for a few images and for many, where the model computes them in two ways
    (`edge.bundle.branches`): each is opened when it is first needed.

    Attributes:
        provider: where it runs, proved: short name of a provider, such as "cpu".
        reason: why there, in a few words.
        provider_options: settings of that provider, as they were asked for.
        threads: threads inside one operator.
        has_score: whether the graph gives `score` beside `logits` and `probabilities`.
        has_branches: whether a few images are computed in another way than many.
        few_images: batches of fewer images are computed in the way for a few; by the file's own limit until it is set
            to what was measured here. Without meaning where there is one way only.
    """

    __slots__ = (
        "_few",
        "_many",
        "few_images",
        "has_branches",
        "has_score",
        "provider",
        "provider_options",
        "reason",
        "threads",
    )

    def __init__(
        self,
        few: _Sessions,
        many: _Sessions | None,
        *,
        provider: str,
        reason: str,
        threads: int,
        has_score: bool,
        provider_options: Mapping[str, str] | None = None,
        few_images: int = sys.maxsize,
    ) -> None:
        self._few = few
        self._many = few if many is None else many
        self.has_branches = many is not None
        self.few_images = few_images
        self.provider = provider
        self.reason = reason
        self.provider_options = dict(provider_options or {})
        self.threads = threads
        self.has_score = has_score

    def run(self, images: "NDArray[np.uint8]") -> "tuple[NDArray[np.float32], NDArray[np.float32]]":
        """Runs one batch.

        Args:
            images: uint8 (N, 28, 28), N at least 1, ink 255 on background 0.

        Returns:
            logits and probabilities, each float32 (N, classes).

        Raises:
            ProviderError: onnxruntime failed, for example for lack of memory.
        """
        logits, probabilities = self.fetch(OUTPUTS, images)
        return logits, probabilities

    def fetch(self, outputs: tuple[str, ...], images: "NDArray[np.uint8]") -> "list[NDArray[np.float32]]":
        """Runs one batch and gives the outputs of those names, in that order.

        Args:
            outputs: names of outputs of the graph. What only others need is not computed, on the CPU.
            images: uint8 (N, 28, 28), N at least 1, ink 255 on background 0.

        Raises:
            ProviderError: onnxruntime failed, for example for lack of memory.
        """
        answer = self._ask_bound(outputs, images, _COPIED) if len(images) == 1 else None
        return self._ask(outputs, images) if answer is None else answer

    def numbers(self, outputs: tuple[str, ...], image: "NDArray[np.uint8]") -> list[list[Any]]:
        """As `fetch`, of one image, uint8 (1, 28, 28), and each output as a list of Python's numbers."""
        answer = self._ask_bound(outputs, image, _LISTED)
        return [values.tolist() for values in self._ask(outputs, image)] if answer is None else answer

    def _ask(
        self, outputs: tuple[str, ...], images: "NDArray[np.uint8]", *, whole: bool = False
    ) -> "list[NDArray[np.float32]]":
        sessions = self._few if len(images) < self.few_images else self._many
        run = sessions.whole().run if whole else sessions.runs.get(outputs) or sessions.run_of(outputs)
        try:
            found: list[NDArray[np.float32]] = run(outputs, {NAME: images}, None)
            if len(images) == 1 and not whole:
                sessions.bind(outputs, found)
        except failures() as error:
            raise _failed(error, len(images)) from error
        return found

    def _ask_bound(
        self, outputs: tuple[str, ...], image: "NDArray[np.uint8]", taken: Callable[[Any], Any]
    ) -> list[Any] | None:
        """What `taken` makes of each output; None where no memory is bound yet, or none of it is free."""
        bound = (self._few if self.few_images > 1 else self._many).bound.get(outputs)
        if not bound:
            return None
        try:
            one = bound.pop()
            answer = [taken(values) for values in one(image)]
        except IndexError:
            return None  # another thread took the last
        except failures():
            return None  # it will fail again in the usual way, and be told
        bound.append(one)
        return answer

    def run_whole(self, images: "NDArray[np.uint8]") -> "tuple[NDArray[np.float32], NDArray[np.float32]]":
        """Runs one batch through the whole graph, whose every node must then succeed; as `run` otherwise."""
        logits, probabilities = self._ask(OUTPUTS, images, whole=True)
        return logits, probabilities


def create(
    data: bytes,
    *,
    provider: Provider = "auto",
    threads: int | None = None,
    spinning: bool = False,
    manifest: Manifest | None = None,
    provider_options: Mapping[str, str] | None = None,
) -> Session:
    """Makes a session of a bundle's graph.

    Args:
        data: the ONNX model, which must have been checked.
        provider: "cpu", "cuda" or the short name of another one (proved or refused), or "auto": CUDA where it is
            proved, the CPU otherwise.
        threads: threads inside one operator; None takes 1 for small models and all allowed CPUs for others.
        spinning: whether idle threads wait busily.
        manifest: what the bundle says; it sharpens the messages and says which providers can run it.
        provider_options: settings of the provider, as ONNX Runtime names them.

    Raises:
        RuntimeMissingError: onnxruntime is not installed, or broken.
        ProviderError: the provider cannot run the model here, or onnxruntime cannot load it.
        BundleError: the graph has other inputs or outputs than a bundle, or takes what this edge cannot give.
        InputError: an unknown provider, settings for one that takes none, or fewer threads than 1.
    """
    providers.check(provider, provider_options)
    count = batching.default_threads(len(data)) if threads is None else threads
    if count < 1:
        raise InputError(f"{count} threads cannot run anything; give 1 or more")
    if manifest is not None:
        check_served(manifest.input)
    options = Options(threads=count, spinning=spinning, provider_options=tuple((provider_options or {}).items()))
    ways = branches.split(data) if provider != "cuda" else None
    first = data if ways is None else ways.few
    if provider == "auto":
        native, placed, reason = open_best(data, options, manifest, on_cpu=first)
    else:
        # Other providers have the operators of the way for a few more often than those of the way for many.
        native, placed, reason = open_on(first, provider, options, manifest), provider, "as asked for"
    _check_interface(native, None if manifest is None else len(manifest.labels))
    open_one = functools.partial(open_on, provider=placed, options=options, manifest=manifest)
    on_cpu = placed == "cpu"
    running = Session(
        _Sessions(first, open_one, whole=native, on_cpu=on_cpu),
        _Sessions(ways.many, open_one, on_cpu=on_cpu) if ways is not None and on_cpu else None,
        provider=placed,
        reason=reason,
        threads=count,
        has_score=_gives_score(native),
        provider_options=provider_options,
        few_images=sys.maxsize if ways is None else batching.few_images(ways.limit, manifest),
    )
    if manifest is not None and SCORE in manifest.outputs and not running.has_score:
        raise BundleError(
            f"the manifest promises the output {SCORE}, the graph has none; re-export it with `edge export`"
        )
    return running


def placement(
    data: bytes,
    provider: str,
    *,
    manifest: Manifest | None = None,
    provider_options: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Measures where each node of a bundle's graph runs, from a profile of real runs.

    Args:
        data: the ONNX model.
        provider: where to run it: "cpu", or the short name of another one.
        manifest: what the bundle says; it sharpens the messages.
        provider_options: settings of the provider, as ONNX Runtime names them.

    Returns:
        Short name of the provider of each node that ran, keyed by "operator name" in the order of execution. The nodes
        are those that onnxruntime's optimiser left, and a provider may have made one of many.

    Raises:
        NoProfileError: no file can be written.
        ProviderError: as `create`, or onnxruntime failed.
    """
    import tempfile

    ways = branches.split(data) if provider not in {"cpu", "cuda"} else None
    try:
        with tempfile.TemporaryDirectory(prefix="edge-profile-") as folder:
            options = Options(profile=Path(folder) / "nodes", provider_options=tuple((provider_options or {}).items()))
            return providers.placement(open_on(data if ways is None else ways.few, provider, options, manifest))
    except failures() as error:
        raise ProviderError(
            f"onnxruntime failed on a batch of images: {first_line(error)}; re-export the model"
        ) from error
    except OSError as error:
        raise NoProfileError(f"no folder can be written ({error.strerror or error})") from error


def _bare(outer: Any) -> Any:  # noqa: ANN401 - onnxruntime is untyped
    """What a session or a binding asks after it has looked through its arguments, which takes a microsecond or two.

    That is as long as all else around the run of a small model. Where a release has it no more, they are asked
    themselves.
    """
    return getattr(outer, "_sess", None) or getattr(outer, "_iobinding", None) or outer


def _failed(error: Exception, images: int) -> ProviderError:
    many = images > 1
    return ProviderError(
        f"onnxruntime failed on {f'a batch of {images} images' if many else 'an image'}: {first_line(error)}; "
        f"{'try a smaller batch' if many else 'check the bundle with `edge verify`'}"
    )


def _gives_score(native: Any) -> bool:  # noqa: ANN401 - onnxruntime is untyped
    return any(
        value.name == SCORE and len(value.shape) == 1 and value.type == "tensor(float)"
        for value in native.get_outputs()
    )


def _check_interface(native: Any, labels: int | None) -> None:  # noqa: ANN401 - onnxruntime is untyped
    """Refuses a graph that does not take and give what a bundle's does.

    An axis without a fixed size is a name here, or nothing: then only a run tells.
    """
    inputs, outputs = native.get_inputs(), {value.name: value for value in native.get_outputs()}
    given = [outputs[name] for name in OUTPUTS if name in outputs]
    takes = len(inputs) == 1 and inputs[0].name == NAME and inputs[0].type == f"tensor({INPUT.dtype})"
    gives = len(given) == len(OUTPUTS) and all(value.type == "tensor(float)" for value in given)
    if not (takes and _fits(inputs[0].shape, INPUT.shape) and gives and all(len(value.shape) == 2 for value in given)):
        raise BundleError(
            f"the graph maps {_signature(inputs)} to {_signature(native.get_outputs())}; expected {NAME} "
            f"{INPUT.dtype} {_axes(INPUT.shape)} to {' and '.join(OUTPUTS)}, float [batch, classes]; "
            "re-export the model with `edge export`"
        )
    for value in given:
        batch, classes = value.shape
        if isinstance(batch, int):
            raise BundleError(
                f"the graph gives {value.name} of {batch} images whatever it is asked for; "
                "re-export the model with `edge export`"
            )
        if labels is not None and isinstance(classes, int) and classes != labels:
            raise BundleError(
                f"the graph has {classes} classes in {value.name}, the manifest {labels} labels; "
                "re-export the model with `edge export`"
            )


def _fits(shape: Sequence[Any], wanted: Sequence[int | str]) -> bool:
    """Whether every axis has the wanted size, and every axis whose size is free has none."""
    return len(shape) == len(wanted) and all(
        not isinstance(size, int) or size == want for size, want in zip(shape, wanted, strict=True)
    )


def _signature(values: Sequence[Any]) -> str:
    """Tensors as people write them: "image uint8 [batch, 28, 28]"."""
    return ", ".join(f"{value.name} {value.type[7:-1]} {_axes(value.shape)}" for value in values) or "nothing"


def _axes(shape: Sequence[Any]) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"

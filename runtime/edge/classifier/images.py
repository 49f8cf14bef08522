"""Images as people give them, as arrays or what becomes one: checked, and told how to convert what is none."""

import os

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.bundle.input import COLUMNS, INPUT, ROWS
from edge.errors import InputError

_UINT8 = np.dtype(INPUT.dtype)
_IMAGE = (ROWS, COLUMNS)
_ONE = (1, *_IMAGE)
_DARK = b"\0\1"
_MIDDLE = ROWS // 2  # the row in which most digits have ink

_EXPECTED = f"expected {INPUT.dtype} (N, {ROWS}, {COLUMNS}) with ink {INPUT.ink} on background {INPUT.background}"


def as_batch(images: ArrayLike) -> NDArray[np.uint8]:
    """Checks images and gives them a batch axis.

    Args:
        images: uint8 (N, 28, 28) or (28, 28).

    Returns:
        uint8 (N, 28, 28), contiguous; an array that is so already is not copied.

    Raises:
        InputError: another shape or type; the message says how to convert.
    """
    # One image as it should be: looking for what may be wrong takes a tenth of a small model's time.
    if type(images) is np.ndarray and images.dtype is _UINT8 and images.flags.c_contiguous:
        if images.shape == _IMAGE and images[_MIDDLE].tobytes().strip(_DARK):
            return images[None]
        if images.shape == _ONE and images[0, _MIDDLE].tobytes().strip(_DARK):
            return images
    array = images if type(images) is np.ndarray else _to_array(images)
    if array.dtype is not _UINT8 and array.dtype != _UINT8:
        raise InputError(f"{_kind(images, array)}, {_EXPECTED}; {_conversion(array)}")
    batch = array[None] if array.ndim == 2 else array
    if batch.ndim != 3 or batch.shape[1:] != _IMAGE:
        raise InputError(f"the images have shape {array.shape}, {_EXPECTED}; {_reshaping(array)}")
    if not batch.flags.c_contiguous:
        batch = np.ascontiguousarray(batch)
    if len(batch) > 0 and int(batch.max()) == 1:  # such an image is black to the eye and to the model
        raise InputError(f"the images hold 0 and 1 only, {_EXPECTED}; multiply them by {INPUT.ink}")
    return batch


def _to_array(images: ArrayLike) -> NDArray[np.uint8]:
    try:
        return np.asarray(images)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(_not_an_array(images, error)) from error


def _not_an_array(images: object, error: Exception) -> str:
    """Why `numpy.asarray` failed: lists of unequal lengths, or a tensor that is not in this process's memory."""
    if hasattr(images, "detach") or hasattr(images, "cpu"):
        return (
            f"the images are a {type(images).__name__} that numpy cannot read ({error}), {_EXPECTED}; "
            "give images.detach().cpu().numpy(), of type uint8"
        )
    return f"the images have no common shape ({error}); {_EXPECTED}"


def _kind(images: object, array: NDArray[np.generic]) -> str:
    if images is None or isinstance(images, str | bytes | os.PathLike):
        return f"{images!r:.60} is no array"
    return f"the images are {array.dtype}"


def _conversion(array: NDArray[np.generic]) -> str:
    if array.dtype.kind in "OUSV":
        return "pictures are read by `predict`, which takes paths, bytes and Pillow images"
    if array.size == 0:
        return f"for no images give numpy.zeros((0, {ROWS}, {COLUMNS}), numpy.uint8)"
    if np.issubdtype(array.dtype, np.floating):
        return "for values in [0, 1] multiply by 255 and cast: (images * 255).round().astype(numpy.uint8)"
    if array.dtype == np.bool_:
        return "convert them with: images.astype(numpy.uint8) * 255"
    return "for values in 0..255 cast them: images.astype(numpy.uint8)"


def _reshaping(array: NDArray[np.uint8]) -> str:
    if array.ndim > 1 and array.size % (ROWS * COLUMNS) == 0 and array.shape[-1] in {1, COLUMNS, ROWS * COLUMNS}:
        return f"if each row of 784 values or each plane is an image: images.reshape(-1, {ROWS}, {COLUMNS})"
    return "pictures of other sizes are read by `predict`, or by `edge.picture.preprocessing.read`"

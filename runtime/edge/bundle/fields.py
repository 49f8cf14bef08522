"""Fields of the JSON objects in a bundle: read strictly, each with the error that names it."""

import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from edge.errors import BundleError

_JSON_NAMES: dict[type, str] = {str: "a string", int: "an integer", list: "a list", dict: "an object"}

T = TypeVar("T")


def parse_object(text: str | bytes, what: str) -> dict[str, Any]:
    """Parses one JSON object; `what` names it in the error.

    Raises:
        BundleError: the text is no JSON, no object, or holds NaN or an infinity.
    """
    try:
        record = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"the {what} is no JSON: {error}; re-export the bundle with `edge export`") from error
    if not isinstance(record, dict):
        raise BundleError(f"the {what} is no JSON object; re-export the bundle with `edge export`")
    return record


def finite(value: object) -> float | None:
    """The value as a float if it is a finite JSON number (true and false are none), otherwise None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def take(record: Mapping[str, Any], key: str, kind: type[T]) -> T:
    """The value of a field, which must be there and of that type.

    Args:
        record: an object of a manifest.
        key: the field.
        kind: its type; an integer is not true or false.

    Raises:
        BundleError: it is missing, or of another type.
    """
    if key not in record:
        raise BundleError(f"the manifest has no `{key}`; re-export the bundle with `edge export`")
    value = record[key]
    # bool is an int in Python, but never one in a manifest.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise wrong(key, _JSON_NAMES.get(kind, "a value"), value)
    return value


def number(record: Mapping[str, Any], key: str) -> float:
    """A field that is a finite number.

    Raises:
        BundleError: it is missing, or none.
    """
    number = finite(take(record, key, object))
    if number is None:
        raise wrong(key, "a finite number", record[key])
    return number


def optional_string(record: Mapping[str, Any], key: str) -> str | None:
    """A field that is a string, null or missing.

    Raises:
        BundleError: it is something else.
    """
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise wrong(key, "a string or null", value)
    return value


def flag(record: Mapping[str, Any], key: str) -> bool:
    """A field that is true or false.

    Raises:
        BundleError: it is neither.
    """
    value = record.get(key)
    if not isinstance(value, bool):
        raise wrong(key, "true or false", value)
    return value


def numbers(key: str, values: object, count: int) -> tuple[float, ...]:
    """A list of so many finite numbers.

    Args:
        key: how an error names it.
        values: what was read.
        count: how many there must be.

    Raises:
        BundleError: it is no such list.
    """
    numbers = [finite(value) for value in values] if isinstance(values, list) else []
    if len(numbers) != count or None in numbers:
        raise wrong(key, f"{count} finite numbers", values)
    return tuple(number for number in numbers if number is not None)


def strings(record: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """A field that is a list of strings.

    Raises:
        BundleError: it is missing, or something else.
    """
    values = take(record, key, list)
    if not all(isinstance(value, str) for value in values):
        raise wrong(key, "a list of strings", values)
    return tuple(values)


def wrong(key: str, expected: str, value: object) -> BundleError:
    """The error of a field that is not what it should be.

    Args:
        key: the field.
        expected: what it should be.
        value: what it is.
    """
    shown = repr(value)[:60]
    return BundleError(
        f"`{key}` in the manifest should be {expected}, but is {shown}; re-export the bundle with `edge export`"
    )


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")

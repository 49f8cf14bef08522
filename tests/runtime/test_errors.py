"""The errors: one root, one tree, all of it public, and whole in another process."""

import copy as copies
import inspect
import pickle

import pytest

import edge
from edge import errors
from edge.errors import EdgeError


def every_error():
    found, waiting = [], [EdgeError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting.extend(below for below in kind.__subclasses__() if below.__module__.startswith("edge"))
    return sorted(found, key=lambda kind: kind.__name__)


def test_every_error_of_the_runtime_is_public_and_in_the_tree():
    ours = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    for kind in ours:
        assert issubclass(kind, EdgeError)
        assert getattr(edge, kind.__name__) is kind
        assert kind.__name__ in errors.__doc__


def made(kind):
    """An error of that kind, with an argument of the right type for each that it takes."""
    values = {str: "a.png", int: 3}
    parameters = inspect.signature(kind.__init__).parameters.values()
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return kind("what happened; what to do")
    return kind(*(values[each.annotation] for each in list(parameters)[1:]))


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_an_error_is_the_same_in_another_process(kind):
    error = made(kind)
    for copy in (pickle.loads(pickle.dumps(error)), copies.copy(error)):
        assert type(copy) is kind
        assert str(copy) == str(error)
        assert vars(copy) == vars(error)


def test_a_number_of_digits_travels_with_its_error():
    copy = pickle.loads(pickle.dumps(edge.SeveralDigitsError("page.png", 3)))
    assert copy.digits == 3
    assert str(copy).startswith("page.png shows 3 digits")

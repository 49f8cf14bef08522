"""The model that reads the pages of the tests, and one digit of each label to write them with."""

import pytest

import edge


@pytest.fixture(scope="module")
def classifier():
    return edge.load("cnn", provider="cpu", threads=1)


@pytest.fixture(scope="module")
def digits(golden):
    """One of each label."""
    return dict(golden)

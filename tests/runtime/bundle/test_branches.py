"""Two models in the place of one with a choice: what each computes is what the whole file computes on its side."""

import numpy as np
import pytest

from edge.bundle import branches, bundle, shipped
from edge.bundle.graph import encode_bytes, encode_integer
from edge.session import session

WITH_A_CHOICE = ["lstm-int8", "bilstm-int8", "gru-int8", "rnn-int8", "rnn-relu-int8"]


def data(name: str) -> bytes:
    return bundle.read(shipped.locate(name)).data


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (64, 28, 28), dtype=np.uint8)


@pytest.mark.parametrize("name", WITH_A_CHOICE)
def test_each_model_computes_what_the_file_computes_on_its_side_of_the_limit(name, images):
    found = branches.split(data(name))
    assert found is not None
    assert 1 < found.limit < len(images)
    whole, few, many = (session.create(one, provider="cpu", threads=1) for one in (data(name), found.few, found.many))
    for count, one in ((1, few), (found.limit - 1, few), (found.limit, many), (len(images), many)):
        for expected, given in zip(whole.run(images[:count]), one.run(images[:count]), strict=True):
            np.testing.assert_allclose(given, expected, atol=1e-4)
    others = few.run(images)[0], many.run(images)[0]
    assert not np.array_equal(*others), "two ways to compute differ in the last digits"


@pytest.mark.parametrize("name", WITH_A_CHOICE)
def test_neither_model_holds_a_choice_or_what_it_needed(name):
    found = branches.split(data(name))
    for model in (found.few, found.many):
        assert encode_bytes(4, "If") not in model
        assert encode_bytes(4, "Less") not in model
        assert branches.split(model) is None
    assert encode_bytes(4, "Scan") not in found.few
    assert encode_bytes(4, "Scan") in found.many
    assert encode_bytes(4, "Shape") not in found.few, "the number of images is nobody's business there"


@pytest.mark.parametrize("name", ["lstm", "cnn", "cnn-int8", "lstm-20-int8"])
def test_a_model_without_a_choice_is_left_alone(name):
    assert branches.split(data(name)) is None


def test_a_model_whose_graph_is_continued_is_left_alone():
    source = bundle.read(shipped.locate("gru-int8"))
    assert branches.split(source.data_with_rows) is None


@pytest.mark.parametrize("cut", [10, 1000, 20_000])
def test_bytes_that_are_no_model_are_left_to_whoever_loads_them(cut):
    whole = data("gru-int8")
    assert branches.split(whole[:-cut]) is None
    assert branches.split(b"is_few" + whole[cut:]) is None


def test_another_choice_of_that_name_is_left_alone():
    """A condition of that name that does not decide about two branches, and a limit that is not there."""
    node = b"".join((encode_bytes(1, "is_few"), encode_bytes(2, "result"), encode_bytes(4, "If")))
    tensor = encode_integer(1, 1) + encode_integer(2, 7) + encode_bytes(8, "few") + encode_bytes(9, bytes(8))
    for graph in (encode_bytes(1, node), encode_bytes(1, node) + encode_bytes(5, tensor)):
        assert branches.split(encode_integer(1, 7) + encode_bytes(7, graph)) is None


def test_a_model_without_an_output_holds_no_node_of_its_own():
    whole = data("lstm-20")
    lean = branches.cut(whole, ["logits"])
    assert len(lean) < len(whole)
    assert not any(encode_bytes(4, operator) in lean for operator in ("Softmax", "ReduceLogSumExp"))
    assert branches.cut(lean, ["logits"]) is None, "nothing is left to be taken out"
    assert branches.cut(whole, ["logits", "probabilities", "score"]) is None
    assert branches.cut(whole, ["rows"]) is None, "it has no such output"
    assert branches.cut(whole[:-1000], ["logits"]) is None

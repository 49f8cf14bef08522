"""The form of a bundle's graph is asserted: whatever else a graph is, it is refused with the reason."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edge.errors import EdgeError
from edge_export.graph import builder
from edge_export.graph.builder import ConversionError, GraphBuilder
from edge_export.graph.form import check_form


def graph(
    nodes: list[onnx.NodeProto] | None = None,
    *,
    image: tuple[str, int, tuple] = ("image", TensorProto.UINT8, ("batch", 28, 28)),
    outputs: tuple[str, ...] = ("logits", "probabilities"),
    shape: tuple = ("batch", 10),
    element: int = TensorProto.FLOAT,
    **more: np.ndarray,
) -> ModelProto:
    """A linear classifier, in every other form that is asked for."""
    nodes = nodes or [
        helper.make_node("Cast", [image[0]], ["pixels"], to=1),
        helper.make_node("Flatten", ["pixels"], ["flat"]),
    ]
    nodes += [
        helper.make_node("Gemm", ["flat", "weight"], [outputs[0]]),
        helper.make_node("Softmax", [outputs[0]], [outputs[1]], axis=1),
    ]
    weights = {"weight": np.ones((784, 10), np.float32), **more}
    return helper.make_model(
        helper.make_graph(
            nodes,
            "linear",
            [helper.make_tensor_value_info(*image)],
            [helper.make_tensor_value_info(name, element, shape) for name in outputs],
            [numpy_helper.from_array(array, name) for name, array in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=7,
    )


def cast(image: str = "image") -> onnx.NodeProto:
    return helper.make_node("Cast", [image], ["pixels"], to=1)


def test_a_lean_graph_of_the_right_form_is_accepted():
    check_form(graph(), classes=10)


@pytest.mark.parametrize(
    "image",
    [
        ("input", TensorProto.UINT8, ("batch", 28, 28)),
        ("image", TensorProto.FLOAT, ("batch", 28, 28)),
        ("image", TensorProto.UINT8, (1, 28, 28)),
        ("image", TensorProto.UINT8, ("N", 28, 28)),
        ("image", TensorProto.UINT8, ("batch", "rows", 28)),
        ("image", TensorProto.UINT8, ("batch", 1, 28, 28)),
    ],
    ids=["name", "type", "one image", "another axis name", "free rows", "channels"],
)
def test_another_input_is_told_beside_the_right_one(image):
    nodes = [cast(image[0]), helper.make_node("Flatten", ["pixels"], ["flat"])]
    with pytest.raises(
        ConversionError, match=r"the graph takes .*; a bundle takes \('image', 2, \('batch', 28, 28\)\)"
    ):
        check_form(graph(nodes, image=image), classes=10)


def test_a_second_input_is_refused():
    model = graph()
    model.graph.input.append(helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch"]))
    with pytest.raises(ConversionError, match="lengths"):
        check_form(model, classes=10)


@pytest.mark.parametrize(
    "form",
    [
        {"outputs": ("scores", "probabilities")},
        {"outputs": ("logits", "softmax")},
        {"shape": (2, 10)},
        {"shape": (1, 10)},
        {"shape": ("batch", "classes")},
        {"shape": ("N", 10)},
        {"element": TensorProto.FLOAT16},
    ],
    ids=lambda form: f"{next(iter(form))} {next(iter(form.values()))}",
)
def test_other_outputs_are_told_beside_the_right_ones(form):
    with pytest.raises(
        ConversionError, match=r"the graph gives .*; a bundle gives .*take the batch size from the input"
    ):
        check_form(graph(**form), classes=10)


def test_another_number_of_classes_is_refused():
    with pytest.raises(ConversionError, match=r"a bundle gives .*\('batch', 26\)"):
        check_form(graph(), classes=26)


def test_probabilities_must_not_be_missing():
    model = graph()
    del model.graph.output[1]
    with pytest.raises(ConversionError, match="a bundle gives"):
        check_form(model, classes=10)


def shape_arithmetic() -> ModelProto:
    return graph(
        [
            cast(),
            helper.make_node("Shape", ["image"], ["shape"]),
            helper.make_node("Gather", ["shape", "zero"], ["size"]),
            helper.make_node("Concat", ["size", "rest"], ["target"], axis=0),
            helper.make_node("Reshape", ["pixels", "target"], ["flat"]),
        ],
        zero=np.array([0], np.int64),
        rest=np.array([784], np.int64),
    )


def test_shapes_computed_when_the_model_runs_are_refused():
    with pytest.raises(ConversionError, match="the graph computes shapes at run time: Shape"):
        check_form(shape_arithmetic(), classes=10)


def test_somebodys_own_model_may_compute_shapes():
    check_form(shape_arithmetic(), classes=10, lean=False)


def frozen_by_reshape() -> ModelProto:
    return graph(
        [cast(), helper.make_node("Reshape", ["pixels", "target"], ["flat"])], target=np.array([2, 784], np.int64)
    )


def frozen_by_mean() -> ModelProto:
    """All images become one: right for a batch of one, which is what most people try."""
    return graph(
        [
            cast(),
            helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[0], keepdims=1),
            helper.make_node("Flatten", ["mean"], ["flat"]),
        ]
    )


@pytest.mark.parametrize("frozen", [frozen_by_reshape, frozen_by_mean])
def test_a_batch_axis_that_is_free_in_name_only_is_refused(frozen: Callable[[], ModelProto]):
    with pytest.raises(ConversionError, match="frozen") as refusal:
        check_form(frozen(), classes=10)
    assert "write the model without a fixed batch size" in str(refusal.value)


def test_a_draft_that_is_no_valid_onnx_is_refused():
    unfinished = GraphBuilder()
    unfinished.node("Relu", ["nothing makes this"], "logits")
    with pytest.raises(ConversionError, match="not valid ONNX"):
        builder.finish(unfinished, classes=10, temperature=1.0)


def test_a_refusal_is_an_expected_failure():
    assert issubclass(ConversionError, EdgeError)

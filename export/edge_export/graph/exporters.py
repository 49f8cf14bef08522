"""Anybody's `nn.Module` as a lean graph: by either of torch's exporters, whichever leaves less.

Tracing comes first: it takes a tenth of a second and keeps recurrent layers fused. Where it fails, or leaves a graph
that still computes sizes or is mostly moving numbers about, the exported program is tried too, and the smaller of
those that say what PyTorch says is taken. Neither is needed: where torch has no tracing exporter any more, the other
one writes the same operators, the recurrent ones from the layers' own weights. A module whose batch no exporter can
leave free is exported for one picture, which the graph repeats.
"""

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import onnx_ir
import torch
from onnx import ModelProto
from torch import Tensor, nn

from edge.bundle.input import COLUMNS, ROWS
from edge_export.graph import alone, cleaning, form, pixels, program, tracing
from edge_export.graph.builder import IR_VERSION, LOGITS, OPSET, ConversionError, Converted, Tap
from edge_export.graph.session import open_session, run

Export = Callable[[nn.Module], ModelProto]

EXPORTERS: Mapping[str, Export] = {"tracing": tracing.export, "exported program": program.export}
ALONE: Mapping[str, Export] = {"picture by picture": alone.export}

# A traced graph of more nodes, most of which compute nothing, is worth a second look, which takes some seconds.
MANY_NODES = 150
MOVING_SHARE = 0.5
_COMPUTES_NOTHING = frozenset(
    {
        "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Gather", "Slice", "Concat", "Split",
        "Expand", "Shape", "Cast", "ConstantOfShape", "Constant", "Tile",
    }
)  # fmt: skip

# The first opset that each IR version came with. Source: onnx's Versioning.md.
IR_VERSIONS = {OPSET: IR_VERSION, 15: 8, 19: 9, 21: 10}

# What usually explains a graph of somebody's own that answers otherwise than its module.
DECIDES = (
    "where its forward decides by numbers, an if or a while on a tensor, an exporter keeps one way: write torch.where, "
    "torch.cond or a fixed number of steps"
)

PICTURES = 5  # that both must say the same of
DIFFERENCE = 1e-4  # of a logit, relative to the largest one
SEED = 29


class _Whole(nn.Module):
    """From raw pixels to logits and probabilities."""

    def __init__(self, model: nn.Module, temperature: float) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.model(image.float() / 255)
        scores = logits if self.temperature == 1.0 else logits / self.temperature
        return logits, torch.softmax(scores, dim=1)


def convert(
    module: nn.Module, *, classes: int, temperature: float, exporters: Mapping[str, Export] = EXPORTERS
) -> Converted:
    """The graph of any module that maps float images [batch, 28, 28] in [0, 1] to logits.

    Args:
        module: in evaluation mode, on the CPU.
        classes: number of logits.
        temperature: `probabilities` is softmax(logits / temperature).
        exporters: in the order in which they are tried; the later ones only where the first leaves something to do.

    Raises:
        ConversionError: no exporter gives a graph that says what PyTorch says.
    """
    whole = _Whole(module, temperature).eval()
    found: dict[str, ModelProto] = {}
    failures: dict[str, ConversionError] = {}
    for name, export in (*exporters.items(), *ALONE.items()):
        if name in ALONE and found:
            break
        try:
            exported = export(whole)
            model = _checked(exported if name in ALONE else pixels.fold(cleaning.clean(exported)), classes)
            _check_answers(whole, model)
        except ConversionError as error:
            failures[name] = error
            continue
        found[name] = model
        if not _is_fat(model):
            break
    if not found:
        reasons = "; ".join(f"by {name}: {error}" for name, error in failures.items())
        decides = any(words in reasons for words in ("data-dependent", "differ from PyTorch's"))
        advice = DECIDES if decides else "change the model's forward"
        raise ConversionError(f"{reasons}; {advice}") from next(iter(failures.values()), None)
    best = min(found, key=lambda name: _weight(found[name]))
    return Converted(found[best], _taps(module, found[best]), best)


def _checked(cleaned: ModelProto, classes: int) -> ModelProto:
    if "Loop" in {node.op_type for node in onnx_ir.traversal.RecursiveGraphIterator(onnx_ir.from_proto(cleaned).graph)}:
        raise ConversionError(
            "a while_loop becomes ONNX's Loop, which may never end, and no bundle holds one: take a fixed number of "
            "steps, as in for _ in range(8)"
        )
    for value, rank in ((cleaned.graph.input[0], 3), *((output, 2) for output in cleaned.graph.output)):
        axes = value.type.tensor_type.shape.dim
        if len(axes) == rank and not axes[0].HasField("dim_value"):
            axes[0].dim_param = tracing.BATCH  # whatever the exporter called it
    for output in cleaned.graph.output:
        output.type.tensor_type.shape.dim[-1].dim_value = classes
    del cleaned.graph.value_info[:]
    for node in cleaned.graph.node:
        if node.op_type in cleaning.FIRST_STATES and not node.output[0]:
            node.output[0] = f"{node.output[1]}_sequence"  # where nobody reads it, calibration still does
    _lower_opset(cleaned)
    try:
        onnx.checker.check_model(cleaned, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ConversionError(f"the graph is not valid ONNX: {error}") from error
    form.check_form(cleaned, classes=classes, lean=False)
    return cleaned


def _lower_opset(model: ModelProto) -> None:
    """Declares the lowest opset in which every operator is what it is in the opset of the exporter."""
    (declared,) = [entry for entry in model.opset_import if entry.domain == ""]
    needed = max(
        onnx.defs.get_schema(node.op_type, declared.version, node.domain).since_version
        for node in model.graph.node
        if node.domain == ""
    )
    declared.version = max(OPSET, needed)
    model.ir_version = next(ir for opset, ir in reversed(IR_VERSIONS.items()) if opset <= declared.version)


def _check_answers(whole: nn.Module, model: ModelProto) -> None:
    """Asserts that the graph says what the module says; parity does the same with thousands, after the choice."""
    images = np.random.default_rng(SEED).integers(0, 256, (PICTURES, ROWS, COLUMNS), np.uint8)
    with torch.no_grad():
        expected = whole(torch.from_numpy(images))[0].numpy()
    found, _ = run(open_session(model), images, PICTURES)
    error = float(np.abs(found - expected).max())
    if not error <= DIFFERENCE * max(1.0, float(np.abs(expected).max())):
        raise ConversionError(f"the graph's logits differ from PyTorch's by up to {error:.2g}")


def _is_fat(model: ModelProto) -> bool:
    operators = [node.op_type for node in model.graph.node]
    moving = sum(operator in _COMPUTES_NOTHING for operator in operators)
    fat = len(operators) > MANY_NODES and moving > MOVING_SHARE * len(operators)
    return fat or not form.SHAPE_ARITHMETIC.isdisjoint(operators)


def _weight(model: ModelProto) -> tuple[int, int]:
    """What a graph is worth less for: nodes that compute sizes, then nodes."""
    operators = [node.op_type for node in model.graph.node]
    return sum(operator in form.SHAPE_ARITHMETIC for operator in operators), len(operators)


def _taps(module: nn.Module, model: ModelProto) -> tuple[Tap, ...]:
    """The layers whose name the exporter left in the names of the tensors; the last tensor of a layer is its output."""
    # A BatchNorm is folded into the convolution before it, whose own output then exists nowhere.
    folded = any(isinstance(layer, nn.BatchNorm2d) for layer in module.modules())
    leaves = {
        path
        for path, layer in module.named_modules()
        if path and not list(layer.children()) and not (folded and isinstance(layer, nn.Conv2d))
    }
    last: dict[str, str] = {}
    for node in model.graph.node:
        # "/model/c/c.0/Conv_output_0" is of the layer "c.0": a child of a Sequential repeats its parent's name
        scopes = node.output[0].split("/")[2:-1]
        path = ".".join(scope.rpartition(".")[2] for scope in scopes)
        if path in leaves:
            last[path] = node.output[0]
    return (*(Tap(path, tensor) for path, tensor in last.items()), Tap("output", LOGITS))

"""ORT format: what builds of ONNX Runtime load that have no ONNX parser, and only the operators of their models.

Beside the model lie its digest, because its bytes are not the bundle's, and the operators and types that such a build
needs. The bundle's metadata go with it, so that the runtime of edge loads and verifies it as it is.

Graph optimisations are applied now, since a small build has none; those only that hold on every processor. Constants
are folded, among them int8 weights that are float when they are used: those bundles grow.
"""

import hashlib
import logging
import tempfile
import warnings
from pathlib import Path

from edge import verification
from edge.bundle.bundle import Bundle
from edge.bundle.ort_format import DIGEST_SUFFIX, SUFFIX
from edge.session import runtime
from edge.text.files import make_folder, write_together
from edge.text.table import size
from edge_export.targets.registry import DeploymentError, WrittenTarget, refuse_unless_verified

# As onnxruntime's own tool calls the file.
OPERATORS_SUFFIX = ".required_operators_and_types.config"

_ERRORS_ONLY = 3  # onnxruntime's log severity


def write(source: Bundle, out: Path) -> WrittenTarget:
    """Writes `NAME.ort`, its digest, and the operators that a build for it needs.

    Args:
        source: the bundle.
        out: folder of what is written.

    Raises:
        DeploymentError: ONNX Runtime cannot convert it, or the evidence does not hold in the new form.
        WriteError: the folder cannot be made or written.
    """
    name = source.manifest.name
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / f"{name}{SUFFIX}"
        _convert(source.data, model)
        data, operators = model.read_bytes(), _operators(model)
        digest = f"{hashlib.sha256(data).hexdigest()}  {model.name}\n".encode()
        model.with_name(model.name + DIGEST_SUFFIX).write_bytes(digest)
        replay = verification.verify(model, provider="cpu")
    refuse_unless_verified(replay, "ORT format")
    contents = {
        out / model.name: data,
        out / f"{model.name}{DIGEST_SUFFIX}": digest,
        out / f"{name}{OPERATORS_SUFFIX}": operators,
    }
    make_folder(out)
    write_together(contents)
    build = f"build.sh --minimal_build --include_ops_by_config {name}{OPERATORS_SUFFIX}"
    return WrittenTarget(
        tuple(contents),
        replay,
        (
            f"{size(len(data))}, {len(data) / source.size:.2f} times the bundle",
            f"ONNX Runtime for it alone: {build} --enable_reduced_operator_type_support",
        ),
    )


def _convert(data: bytes, target: Path) -> None:
    """Lets ONNX Runtime write what its session made of the graph."""
    native = runtime.load()
    settings = native.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.log_severity_level = _ERRORS_ONLY
    # The next level lays weights out for this machine's processor.
    settings.graph_optimization_level = native.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    settings.optimized_model_filepath = str(target)
    settings.add_session_config_entry("session.save_model_format", "ORT")
    try:
        native.InferenceSession(data, settings, providers=["CPUExecutionProvider"])
    except runtime.failures() as error:
        raise DeploymentError(
            f"ONNX Runtime cannot write it in ORT format: {runtime.first_line(error)}; deploy the bundle itself"
        ) from error


def _operators(model: Path) -> bytes:
    """The operators that the model calls and the types that it calls them with, as onnxruntime's build reads them."""
    from onnxruntime.tools.ort_format_model import create_config_from_models, utils

    utils.log.setLevel(logging.WARNING)  # it would tell where the file is, which is about to move
    path = model.with_suffix(OPERATORS_SUFFIX)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves the model open
        create_config_from_models([model], path, enable_type_reduction=True)
    # Comments name the folder that was looked in, which is nobody's business.
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return ("\n".join([f"# Operators and types of {model.name}", *lines]) + "\n").encode()

"""A model repository of Triton Inference Server: the bundle unchanged, and what the server wants to know of it.

    triton/NAME/config.pbtxt        shapes, threads, batching, labels, warm-up
    triton/NAME/labels.txt          a label a line, in the order of the outputs
    triton/NAME/warmup/image        a golden image, for the first requests, which the server makes itself
    triton/NAME/1/model.onnx        the bundle, byte for byte

Source: triton-inference-server/common, protobuf/model_config.proto; the server's documentation, "Model Configuration".
"""

import tempfile
from pathlib import Path

from edge import verification
from edge.bundle.bundle import Bundle
from edge.bundle.input import COLUMNS, NAME, ROWS, SCORE
from edge.text.files import make_folder, write_folder
from edge_export.targets.registry import DeploymentError, WrittenTarget, refuse_unless_verified

REPOSITORY = "triton"
MODEL = "1/model.onnx"
LABELS = "labels.txt"
WARM_UP = "image"

# Larger batches are no faster an image, and one would keep others waiting.
LARGEST_BATCH = 256
WARM_UP_BATCHES = (1, 64)  # a graph may take another branch for many

_CONFIG = """\
# {name}, packed by edge: `edge verify {name}/{model}` proves the file on this machine.
name: {quoted_name}
backend: "onnxruntime"
max_batch_size: {largest_batch}
input [
  {{ name: "{input}" data_type: TYPE_UINT8 dims: [ {rows}, {columns} ] }}
]
output [
  {{ name: "logits" data_type: TYPE_FP32 dims: [ {classes} ] label_filename: "{labels}" }},
  {{ name: "probabilities" data_type: TYPE_FP32 dims: [ {classes} ] label_filename: "{labels}" }}{score}
]
# Requests that arrive while the model is busy are run as one batch; nobody waits for others.
dynamic_batching {{ }}
{instances}# One thread a run: these models are too small to be divided, and a server has other requests for its cores.
parameters {{ key: "intra_op_thread_count" value {{ string_value: "1" }} }}
parameters {{ key: "inter_op_thread_count" value {{ string_value: "1" }} }}
"""
# The graph gives a number an image, [batch]; behind the batch axis the server wants at least one more.
_SCORE = ',\n  {{ name: "{score}" data_type: TYPE_FP32 dims: [ 1 ] reshape {{ shape: [ ] }} }}'
_CPU_ONLY = "# Its integer operators exist for CPUs only.\ninstance_group [ { kind: KIND_CPU } ]\n"
_WARM_UP = """\
model_warmup [
  {{
    name: "batch {batch}"
    batch_size: {batch}
    inputs {{
      key: "{input}"
      value {{ data_type: TYPE_UINT8 dims: [ {rows}, {columns} ] input_data_file: "{file}" }}
    }}
  }}
]
"""


def write(source: Bundle, out: Path) -> WrittenTarget:
    """Writes the bundle's folder of a model repository, beside those of other bundles.

    Args:
        source: the bundle.
        out: the repository is the folder `triton` in it.

    Raises:
        DeploymentError: a label cannot stand on a line of its own, or the evidence does not hold.
        WriteError: the folder cannot be made or written.
    """
    name = source.manifest.name
    labels = _labels(source.manifest.labels)
    contents = {
        "config.pbtxt": config(source).encode(),
        LABELS: labels.encode(),
        f"warmup/{WARM_UP}": source.evidence.images[0].tobytes(),
        MODEL: source.data,
    }
    with tempfile.TemporaryDirectory() as scratch:
        write_folder(Path(scratch) / name, contents)
        replay = verification.verify(Path(scratch) / name / MODEL, provider="cpu")
    refuse_unless_verified(replay, "bundle")
    folder = out / REPOSITORY / name
    make_folder(folder.parent)
    write_folder(folder, contents)
    return WrittenTarget(
        tuple(folder / file for file in sorted(contents)),
        replay,
        (f"serve it: tritonserver --model-repository {folder.parent}",),
    )


def config(source: Bundle) -> str:
    """The server's description of a bundle, as text of the protobuf message `ModelConfig`.

    Args:
        source: the bundle.
    """
    manifest = source.manifest
    shape = {"input": NAME, "rows": ROWS, "columns": COLUMNS}
    description = _CONFIG.format(
        name=manifest.name,
        quoted_name=_quoted(manifest.name),
        model=MODEL,
        largest_batch=LARGEST_BATCH,
        classes=len(manifest.labels),
        labels=LABELS,
        score=_SCORE.format(score=SCORE) if SCORE in manifest.outputs else "",
        instances="" if "cuda" in manifest.providers else _CPU_ONLY,
        **shape,
    )
    return description + "".join(_WARM_UP.format(batch=batch, file=WARM_UP, **shape) for batch in WARM_UP_BATCHES)


def _labels(labels: tuple[str, ...]) -> str:
    for label in labels:
        if len(label.splitlines()) != 1 or label != label.strip():
            raise DeploymentError(
                f"the label {label!r} cannot stand on a line of {LABELS}; export the model with --labels"
            )
    return "".join(f"{label}\n" for label in labels)


def _quoted(text: str) -> str:
    """A string of protobuf's text format."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

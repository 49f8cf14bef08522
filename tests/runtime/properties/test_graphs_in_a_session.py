"""A graph of a stranger that passes for a bundle ends in the table of the four steps, whatever ONNX Runtime does to it.

Mutated graphs are sealed again, so that nothing but what they hold is wrong with them, and replayed in a child process
that goes on from one to the next. Where it dies or hangs, `verify_apart` must tell so of that one.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from select import select

import pytest

pytest.importorskip("hypothesis", reason="the extra dev is not installed")

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from edge.bundle import graph
from edge.errors import BundleError
from edge.isolation import ChildLimits, verify_apart
from edge.verification import STEPS

thorough = settings(
    max_examples=int(os.environ.get("EDGE_FUZZ_EXAMPLES", "40")),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

MEMORY_BYTES = 2 << 30
SECONDS = 20  # of one graph; an ordinary one takes a hundredth

CHILD = f"""
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, ({MEMORY_BYTES}, {MEMORY_BYTES}))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except ImportError:
    pass
from edge.verification import verify
for line in sys.stdin:
    outcome = verify(line.rstrip(), "cpu")
    words = "passed" if outcome.passed else f"fails at {{outcome.failed.name}}"
    print(f"{{len(outcome.steps)}} steps: {{words}}", flush=True)
"""

SIZES = st.sampled_from([0, 1, 2, 3, 5, 10, 27, 28, 29, 784, 2**16, 2**31, 2**62, 2**64 - 1])
# Half of them take one array and give one of the same shape, so that more than a fifth of the graphs come to run.
ALIKE = [
    "Exp",
    "Hardmax",
    "Identity",
    "Log",
    "LogSoftmax",
    "Neg",
    "Not",
    "Reciprocal",
    "Round",
    "Softmax",
    "Sqrt",
    "Tan",
]
OPERATORS = st.sampled_from(ALIKE) | st.sampled_from(sorted(graph.OPERATORS[""]))
NAMES = st.sampled_from(["image", "floats", "flat", "weights", "bias", "logits", "probabilities", "nothing", ""])
# Field numbers, by the kind of message they are in: what may be put in the place of its value.
VALUES = {
    ("node", 1): NAMES,
    ("node", 2): NAMES,
    ("node", 4): OPERATORS,
    ("attribute", 1): st.sampled_from(["axis", "axes", "to", "keepdims", "alpha", "perm"]),
    ("attribute", 3): SIZES,
    ("attribute", 20): st.integers(0, 14),
    ("tensor", 1): SIZES,
    ("tensor", 2): st.integers(0, 25),
    ("tensor", 8): NAMES,
    ("tensor", 9): st.binary(max_size=64),
    ("opset", 2): st.integers(0, 30),
    ("dimension", 1): SIZES,
    ("dimension", 2): st.sampled_from(["batch", "b", ""]),
    ("typed", 1): st.integers(0, 25),
}
# Messages in messages; from the value of an input or output down to its type and the axes of its shape.
INSIDE = {
    ("model", 7): "graph",
    ("model", 8): "opset",
    ("graph", 1): "node",
    ("graph", 5): "tensor",
    ("graph", 11): "value",
    ("graph", 12): "value",
    ("node", 5): "attribute",
    ("value", 2): "type",
    ("type", 1): "typed",
    ("typed", 2): "shape",
    ("shape", 1): "dimension",
}


def encoded(number: int, value: int | bytes | str) -> bytes:
    return graph.encode_integer(number, value) if isinstance(value, int) else graph.encode_bytes(number, value)


def mutated(message: bytes, kind: str, draw: st.DrawFn) -> bytes:
    """The message with one of its fields changed, left out or doubled, here or in a message below."""
    parts = [
        (number, value if isinstance(value, int) else bytes(value), encoded(number, value))
        for number, _, value in graph.fields(message)
    ]
    able = [at for at, (number, _, _) in enumerate(parts) if (kind, number) in VALUES or (kind, number) in INSIDE]
    if not able:
        return message
    at = draw(st.sampled_from(able))
    number, value, whole = parts[at]
    if (below := INSIDE.get((kind, number))) is not None and draw(st.integers(0, 9)):
        whole = encoded(number, mutated(bytes(value), below, draw))
    elif (kind, number) in VALUES and draw(st.integers(0, 4)):
        whole = encoded(number, draw(VALUES[kind, number]))
    else:
        whole = whole * draw(st.sampled_from([0, 2]))
    return b"".join(whole if index == at else part for index, (_, _, part) in enumerate(parts))


@st.composite
def mutations(draw: st.DrawFn, model: bytes) -> bytes:
    for _ in range(draw(st.integers(1, 3))):
        model = mutated(model, "model", draw)
    return model


class Replayer:
    """A child process that verifies one bundle after another; a new one when it has died."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None

    def outcome(self, path: Path) -> str | None:
        """What it says of a bundle; None where it died or hung."""
        if self._child is None:
            command = [sys.executable, "-c", CHILD]
            pipe = subprocess.PIPE
            self._child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, bufsize=1)
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(f"{path}\n")
        ready, _, _ = select([self._child.stdout], [], [], SECONDS)
        if ready and (line := self._child.stdout.readline()):
            return line.strip()
        self.end()
        return None

    def end(self) -> str:
        """Ends it; what it left on its standard error."""
        if self._child is None:
            return ""
        self._child.kill()
        told = self._child.communicate()[1]
        self._child = None
        return told


@pytest.fixture(scope="module")
def replayer() -> Iterator[Replayer]:
    found = Replayer()
    yield found
    found.end()


@pytest.mark.skipif(sys.platform == "win32", reason="select waits for no pipe on Windows")
@thorough
@given(data=st.data())
def test_a_mutated_graph_ends_in_the_table_of_the_four_steps(data, model, repack, replayer, tmp_path):
    changed = data.draw(mutations(model))
    path = tmp_path / "mutated.onnx"
    try:
        path.write_bytes(repack(model=changed))
    except BundleError:
        event("refused: no bundle")
        return
    if (outcome := replayer.outcome(path)) is None:
        event("ONNX Runtime died or hung")
        found = verify_apart(path, "cpu", ChildLimits(MEMORY_BYTES, SECONDS))
        assert not found.passed
        assert found.failed is not None
        assert "Traceback" not in found.failed.detail
        return
    event(outcome)
    assert outcome.split(" ")[0] in "124"
    assert outcome.endswith("passed") or outcome.rsplit(" ", 1)[-1] in STEPS

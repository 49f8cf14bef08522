"""The C form: the referee is near PyTorch, and compiled C has the referee's bits on every image."""

import copy
import ctypes
import dataclasses
import functools
import json
import re
import shutil
import subprocess
from importlib import resources

import numpy as np
import pytest
from onnx import helper, numpy_helper

from edge.bundle import bundle, shipped
from edge.classifier.prediction import Scorer
from edge.picture.ink.normalisation import fit_frame
from edge_export.graph import conversion, session
from edge_export.int8.convolutional import blocks
from edge_export.int8.convolutional.network import UnsuitableError
from edge_export.targets import registry
from edge_export.targets.c import compilation, matrices, referee, text
from edge_export.targets.registry import DeploymentError, TargetRequest
from edge_train.models.specification import Recurrent
from edge_train.strokes.handwriting import Dice, write
from edge_train.training import checkpoint

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None, reason="there is no C compiler; Debian: apt install gcc"
)

RECURRENT = ["lstm", "bilstm-2", "gru", "bigru-2", "rnn", "rnn-relu", "birnn-relu-2"]
CHAINS = ["cnn", "mlp"]
WIDE = Recurrent("gru", hidden=20, layers=2, bidirectional=True)  # 40 inputs of its second layer fill no vectors
NARROW = Recurrent("gru", hidden=3)  # its gates are fewer than a vector of them
STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror")


@pytest.fixture(scope="session")
def networks(converted, drawn, digits):
    """A small network of that kind, as C takes it, and the graph that it must answer like."""

    @functools.cache
    def make(kind, precision):
        own = {"wide": WIDE, "narrow": NARROW}.get(kind)
        graph = conversion.convert(drawn(own)).model if own else converted(kind)[1].model
        found = matrices.recurrent(graph, precision, digits.images)
        if found is None:
            graph = blocks.build(graph, digits.images, 7) if precision == "int8" else graph
            found = matrices.chain(graph, precision)
        return found, graph

    return make


@pytest.fixture(scope="session")
def written(networks, exported):
    """The C of a small network, with the golden images of some bundle."""

    def write(kind, precision):
        found, _ = networks(kind, precision)
        source = bundle.read(exported("lstm").path)
        return text.write(
            found, source, f"{kind}-{precision}", "", referee.logits(found, source.evidence.images)
        ), found

    return write


def library(sources, folder, *flags):
    """A shared library of them all, by one call of the compiler."""
    for source in sources:
        compilation.write_files(source, folder)
    files = [f"{source.name}.c" for source in sources]
    words = ["cc", *STRICT, "-O1", *flags, "-shared", "-fPIC", *files, "-o", "library.so"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return ctypes.CDLL(str(folder / "library.so"))


def logits(loaded, source, images):
    """What a library answers."""
    function = getattr(loaded, f"{source.name}_logits")
    result = np.empty((len(images), 10), np.float32)
    for image, row in zip(images, result, strict=True):
        function(image.tobytes(), row.ctypes.data_as(ctypes.c_void_p))
    return result


@pytest.mark.parametrize("kind", RECURRENT)
def test_the_integers_of_a_recurrent_network_say_nearly_what_pytorch_says(kind, networks, images):
    found, graph = networks(kind, "int8")
    expected, _ = session.run(session.open_session(graph), images, 64)
    error = np.abs(referee.logits(found, images) - expected)[:60]
    assert error.max() < 0.04 * np.abs(expected).max()


def test_tanh_of_every_gate_is_right_within_a_ten_thousandth_and_stays_in_16_bits():
    gates = np.arange(-2 * matrices.ONE, 2 * matrices.ONE + 1)  # beyond (-8, 8) it is that of the end
    found = referee.tanh(gates)
    np.testing.assert_allclose(found / matrices.ONE, np.tanh(gates / matrices.Q12), atol=1.1e-4)
    np.testing.assert_array_equal(found, -found[::-1])
    assert np.abs(found).max() < matrices.ONE


@pytest.mark.parametrize("kind", CHAINS)
def test_the_stages_of_a_convolutional_network_have_the_bits_of_the_int8_bundle(kind, networks, images):
    found, graph = networks(kind, "int8")
    np.testing.assert_array_equal(
        referee.logits(found, images), session.run(session.open_session(graph), images, 64)[0]
    )


@pytest.mark.parametrize("kind", RECURRENT + CHAINS)
@pytest.mark.sampled(4)
def test_fp32_differs_by_rounding_only(kind, networks, images):
    found, graph = networks(kind, "fp32")
    expected, _ = session.run(session.open_session(graph), images, 64)
    np.testing.assert_allclose(referee.logits(found, images), expected, atol=2e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def everything(written, parameters, tmp_path_factory):
    """The C of the small networks, in one library."""
    asked = parameters("test_compiled_c_has_the_bits_of_the_referee", "kind", "precision")
    made = {(kind, precision): written(kind, precision) for kind, precision in asked}
    return made, library([source for source, _ in made.values()], tmp_path_factory.mktemp("c"))


@needs_compiler
@pytest.mark.represented(kind=("bilstm-2", "gru", "cnn"))
@pytest.mark.parametrize("kind", RECURRENT + CHAINS)
@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_compiled_c_has_the_bits_of_the_referee(kind, precision, everything, images):
    made, loaded = everything
    source, found = made[kind, precision]
    np.testing.assert_array_equal(logits(loaded, source, images), referee.logits(found, images))


@needs_compiler
def test_the_fast_path_of_this_machine_has_the_same_bits(written, images, tmp_path):
    kinds = ("lstm", "cnn", "wide", "narrow")  # the others have the same products and tanh
    made = [written(kind, "int8") for kind in kinds]
    loaded = library([source for source, _ in made], tmp_path, "-march=native")
    for source, found in made:
        np.testing.assert_array_equal(logits(loaded, source, images), referee.logits(found, images))


# --- the self-test ----------------------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize(("kind", "precision"), [("cnn", "int8"), ("gru", "fp32")])
def test_the_self_test_prints_a_table_and_passes(kind, precision, written):
    source, _ = written(kind, precision)
    (ran,) = compilation.run_self_test(source, modes=(compilation.STANDARD,)).values()
    assert ran.returncode == 0, ran.stdout
    lines = ran.stdout.splitlines()
    assert lines[0] == f"{source.name}: constants ok"
    assert lines[-1] == "passed: the same bits"
    assert all(line.endswith(" ok") for line in lines[1:-1])
    assert len(lines) == 27


def mutated(code, which):
    """The code with one number of that array, or one shift of the arithmetic, changed."""
    if which.startswith(">>"):
        assert which in code
        return code.replace(which, f"{which} - 1", 1)
    begin = code.index("{", code.index(f" {which}", code.index("---- constants ----")))
    number = re.compile(r"-?\d[\d.e+-]*f?").search(code, code.index(",", begin))
    other = "1.5f" if number[0].endswith("f") else str(int(number[0]) + (1 if int(number[0]) < 100 else -1))
    return code[: number.start()] + other + code[number.end() :]


@needs_compiler
@pytest.mark.parametrize(
    ("kind", "precision", "which"),
    [
        ("lstm", "int8", "weights"),
        ("lstm", "int8", "scales"),
        ("lstm", "int8", "TANH"),
        ("lstm", "int8", ">> 11"),
        ("lstm", "int8", ">> 15"),
        ("cnn", "int8", "biases"),
        ("gru", "fp32", "weights"),
    ],
)
@pytest.mark.sampled(3)
def test_a_changed_number_or_shift_breaks_the_self_test(kind, precision, which, written):
    source, _ = written(kind, precision)
    wrong = dataclasses.replace(source, code=mutated(source.code, which))
    assert wrong.code != source.code
    (plain,) = compilation.run_self_test(wrong, modes=(("-std=c99", "-O1"),)).values()
    assert plain.returncode == 1
    assert "FAILED" in plain.stdout


@needs_compiler
def test_a_mode_that_cannot_keep_the_promise_is_an_error(written, tmp_path):
    source, _ = written("gru", "fp32")
    compilation.write_files(source, tmp_path)
    words = ["cc", "-ffast-math", "-c", f"{source.name}.c"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "promised bit for bit" in done.stderr


# --- the target -------------------------------------------------------------------------------------------------------


def test_a_checkpoint_becomes_c_with_its_verdict_and_its_labels(small_checkpoints, few_digits, tmp_path, edge_command):
    stored = small_checkpoints()["gru"]
    path = tmp_path / "gru.safetensors"
    checkpoint.save(path, stored)
    words = ["--checkpoint", str(path), "--data", "strokes", "--to", "c", "--out", str(tmp_path / "out")]
    done = edge_command("export", "--model", "gru", *words)
    assert done.code == 0, done.err
    assert "int8 in C: 0 of 60 strokes-parity labels are not fp32's, accuracy +0.00 points" in done.out
    header = (tmp_path / "out" / "gru_int8.h").read_text()
    packed = bundle.read(tmp_path / "out" / "gru.onnx")
    assert f'#define GRU_INT8_BUNDLE_SHA256 "{packed.sha256}"' in header
    assert "#define GRU_INT8_TEMPERATURE 0.75f" in header
    code = (tmp_path / "out" / "gru_int8.c").read_text()
    assert 'gru_int8_labels[GRU_INT8_CLASSES] = {"0", "1",' in code
    assert re.findall(r"#include [<\"](.*)[>\"]", code.split("/* ---- constants")[0]) == [
        "gru_int8.h",
        "immintrin.h",
        "arm_neon.h",
        "wasm_simd128.h",
        "arm_acle.h",
    ]
    assert "@" not in code


def test_the_precision_is_asked_for_and_the_files_are_named_by_it(few_digits, tmp_path, monkeypatch):
    monkeypatch.setattr(compilation, "run_self_test", lambda _: {})
    request = TargetRequest(precision="fp32", data="strokes")
    paths = registry.write("c", shipped.info("lstm-20"), tmp_path, request).paths
    assert [path.name for path in paths] == ["lstm_20.c", "lstm_20.h"]


def test_int8_weights_that_are_packed_are_not_rounded_again(few_digits, tmp_path):
    with pytest.raises(DeploymentError, match=r"holds no weights that C could round in its own way; give the fp32"):
        registry.write("c", shipped.info("lstm-int8"), tmp_path, TargetRequest(data="strokes"))
    assert not list(tmp_path.iterdir())


def test_int8_that_loses_too_much_is_refused(few_digits, tmp_path, monkeypatch):
    monkeypatch.setattr(referee, "logits", lambda found, images: np.zeros((len(images), 10), np.float32))
    with pytest.raises(DeploymentError, match=r"int8 in C: .* labels flip, .*; nothing was written"):
        registry.write("c", shipped.info("lstm-20"), tmp_path, TargetRequest(data="strokes"))


def test_without_a_compiler_it_is_said(few_digits, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    notes = registry.write("c", shipped.info("lstm-20"), tmp_path, TargetRequest(data="strokes")).notes
    assert any("no C compiler `cc` here (Debian: apt install gcc)" in note for note in notes)


def test_other_bits_of_the_compiler_are_refused(few_digits, tmp_path, monkeypatch):
    wrong = subprocess.CompletedProcess([], 1, "", "")
    monkeypatch.setattr(compilation, "run_self_test", lambda _: {"cc 1 -O9": wrong})
    with pytest.raises(DeploymentError, match=r"cc 1 -O9 computes other bits than the referee; nothing was written"):
        registry.write("c", shipped.info("lstm-20"), tmp_path, TargetRequest(data="strokes"))


def test_a_label_is_a_c_string_whatever_it_holds():
    assert text.identifier("2 big*/") == "model_2_big__"
    assert text._string('a"\\??/\n\u00e9') == '"a\\042\\134\\077\\077\\057\\012\\303\\251"'


def test_sums_that_may_leave_their_range_are_refused(converted, digits, monkeypatch):
    monkeypatch.setattr(matrices, "LARGEST", 1000)
    with pytest.raises(DeploymentError, match=r"a sum may reach .*; take --precision fp32"):
        matrices.recurrent(converted("lstm")[1].model, "int8", digits.images)


def with_linear(graph, form):
    """The graph with its linear layer written in another way."""
    changed = copy.deepcopy(graph)
    place, gemm = next((at, node) for at, node in enumerate(changed.graph.node) if node.op_type == "Gemm")
    features, weights, bias = gemm.input
    arrays = {one.name: numpy_helper.to_array(one) for one in changed.graph.initializer}
    turned = numpy_helper.from_array(np.ascontiguousarray(arrays[weights].T), "turned")
    square = numpy_helper.from_array(np.eye(len(arrays[bias]), dtype=np.float32), "square")
    changed.graph.initializer.extend([turned, square])
    nodes = {
        "apart": [("MatMul", [features, "turned"], "product"), ("Add", ["product", bias], gemm.output[0])],
        "two": [
            ("Gemm", [features, "turned", bias], "first"),
            ("Relu", ["first"], "positive"),
            ("MatMul", ["positive", "square"], gemm.output[0]),
        ],
    }[form]
    del changed.graph.node[place]
    for at, (operator, inputs, output) in enumerate(nodes):
        changed.graph.node.insert(place + at, helper.make_node(operator, inputs, [output]))
    return changed


def test_a_linear_layer_may_be_a_product_and_a_sum(converted, images):
    graph = converted("gru")[1].model
    expected, found = (matrices.recurrent(one, "fp32", images) for one in (graph, with_linear(graph, "apart")))
    np.testing.assert_array_equal(*(referee.logits(one, images[:20]) for one in (expected, found)))


def test_more_than_a_linear_layer_after_the_recurrent_ones_is_refused(converted, images):
    with pytest.raises(UnsuitableError, match="2 linear layers follow the recurrent ones, and C takes one"):
        matrices.recurrent(with_linear(converted("gru")[1].model, "two"), "fp32", images)


# --- score and frame --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both(made, tmp_path_factory):
    """The library of lstm-20 with the frame, and its header."""
    loaded = library([made.source], tmp_path_factory.mktemp("both"), "-DLSTM_20_INT8_FRAME")
    return loaded, made.source.header


@needs_compiler
def test_the_score_is_that_of_the_bundle_and_needs_no_library(both):
    source, (loaded, header) = shipped.info("lstm-20"), both
    function = loaded.lstm_20_int8_score
    function.restype = ctypes.c_float
    expected = source.evidence.logits
    found = [function(np.ascontiguousarray(row).ctypes.data_as(ctypes.c_void_p)) for row in expected]
    np.testing.assert_allclose(found, Scorer.of(source.manifest.rejection).scores(expected), rtol=1e-3, atol=1e-3)
    assert f"LSTM_20_INT8_REJECTION_THRESHOLD {np.float32(source.manifest.rejection.threshold)!s}f" in header


def framed(loaded, drawing):
    """What the C makes of a drawing, and whether it shows anything."""
    image = np.full((28, 28), 7, np.uint8)
    height, width = drawing.shape
    told = loaded.lstm_20_int8_frame(drawing.tobytes(), width, height, image.ctypes.data_as(ctypes.c_void_p))
    return image, bool(told)


@needs_compiler
def test_the_frame_of_a_drawing_is_pythons_to_the_byte(both):
    """Digits of the stroke generator in many sizes, and blots from a dot to a line across the sheet."""
    random = np.random.default_rng(18)
    sheets = []
    for label in range(100):
        scale = int(random.integers(1, 9))
        writing = write(np.array([label % 10]), Dice(random.random((1, 128))), 64)
        place = (
            (writing.positions[0] - writing.positions[0].min(0)) / np.ptp(writing.positions[0], 0).max() * 28 * scale
        )
        sheet = np.zeros((28 * scale + 8, 28 * scale + 8), np.uint8)
        for x, y in place.astype(int):
            sheet[y : y + scale + 2, x : x + scale + 2] = 255
        sheets.append(sheet)
    for height, width in ((1, 1), (1, 90), (200, 2), (19, 20), (157, 33), (41, 300), (401, 399)):
        sheets.append(np.where(random.random((height, width)) < 0.3, 255, 0).astype(np.uint8))
        sheets[-1][0, -1] = 255
    for sheet in sheets:
        image, told = framed(both[0], sheet)
        assert told
        np.testing.assert_array_equal(image, fit_frame(sheet > 0))


@needs_compiler
@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed; on Debian: apt install nodejs")
def test_the_frame_of_grey_drawings_is_the_pages_to_the_byte(both, tmp_path):
    random = np.random.default_rng(19)
    sheets = [random.integers(0, 256, tuple(random.integers(1, 120, 2)), np.uint8) for _ in range(40)]
    path = tmp_path / "sheets.json"
    path.write_text(json.dumps([[*sheet.shape, sheet.ravel().tolist()] for sheet in sheets]))
    script = f"""
        import {{ readFileSync }} from "node:fs";
        import {{ fitFrame }} from {json.dumps((resources.files("edge.service") / "web" / "framing.js").as_uri())};
        const sheets = JSON.parse(readFileSync({json.dumps(str(path))}, "utf8"));
        console.log(JSON.stringify(sheets.map(([height, width, pixels]) =>
            [...fitFrame({{ pixels: Uint8Array.from(pixels), width, height }})])));
    """
    words = ["node", "--input-type=module", "--eval", script]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    for sheet, expected in zip(sheets, json.loads(done.stdout), strict=True):
        assert framed(both[0], sheet)[0].ravel().tolist() == expected


@needs_compiler
def test_nothing_drawn_is_told_and_an_unused_frame_costs_nothing(both, made, tmp_path):
    image, told = framed(both[0], np.zeros((5, 9), np.uint8))
    assert not told
    assert not image.any()
    assert not hasattr(library([made.source], tmp_path), "lstm_20_int8_frame")

"""Targets: what a profile promises about integer products is so."""

from typing import get_args

import numpy as np
import pytest

from edge_export.int8.processors import PROFILES, TargetError, check
from edge_export.int8.quantisation import LARGEST
from edge_export.options import Target

PIXEL = 255  # the largest uint8


def pair(weight: int) -> int:
    """The largest sum of two products that a processor without VNNI keeps in 16 bits."""
    return 2 * PIXEL * weight


def test_every_target_of_the_command_line_has_a_profile():
    assert get_args(Target) == tuple(PROFILES)


def test_seven_bits_fit_a_pair_of_products_into_16_bits():
    assert pair(LARGEST[7]) == 32_130 < 2**15
    assert pair(LARGEST[7] + 1) < 2**15 <= pair(LARGEST[7] + 2), "63 is the largest of 7 bits, and not far from the end"


def test_eight_bits_do_not():
    assert pair(LARGEST[8]) >= 2**15


def test_what_is_exact_everywhere_has_seven_bits():
    assert PROFILES["any"].bits == 7
    assert PROFILES["any"].exact_everywhere
    assert PROFILES["any"].promise == "exact on every processor"


@pytest.mark.parametrize("target", ["vnni", "arm64"])
def test_what_keeps_eight_signed_bits_names_the_risk(target):
    profile = PROFILES[target]
    assert (profile.bits, profile.exact_everywhere) == (8, False)
    assert "saturate" in profile.promise


@pytest.mark.parametrize("kind", ["lstm", "bilstm", "bilstm-2", "cnn", "mlp"])
def test_no_signed_weight_of_target_any_exceeds_seven_bits(kind, quantised, arrays):
    candidate = "static-qdq" if kind in ("cnn", "mlp") else "dynamic-lstm"
    model = quantised(kind, candidate, "any").model
    made_float = {node.input[0] for node in model.graph.node if node.op_type == "Cast"}  # whose products are fp32
    weights = {
        name: array.astype(int)
        for name, array in arrays(model).items()
        if array.dtype == np.int8 and array.size > 1 and name not in made_float and not name.endswith("_zero_point")
    }
    assert weights
    for array in weights.values():
        assert 60 <= np.abs(array).max() <= LARGEST[7] + 1, "the whole range, and no more"
        assert pair(int(np.abs(array).max())) < 2**15


@pytest.mark.parametrize(("kind", "candidate"), [("lstm", "dynamic-lstm"), ("lstm", "branched"), ("cnn", "static-qdq")])
@pytest.mark.parametrize("target", ["vnni", "arm64"])
def test_other_targets_keep_eight(*, kind, candidate, target, quantised, arrays):
    constants = arrays(quantised(kind, candidate, target).model).values()
    assert max(np.abs(array.astype(int)).max() for array in constants if array.dtype == np.int8) == 127


@pytest.mark.parametrize(
    ("target", "exact_here", "judged"),
    [
        ("any", False, True),
        ("vnni", False, False),
        ("arm64", False, False),
        ("vnni", True, True),
        ("arm64", True, True),
        ("vnni", None, True),  # where it cannot be measured, parity decides
    ],
)
def test_a_target_is_judged_only_where_its_products_are_exact(*, target, exact_here, judged):
    if judged:
        check(target, exact_here=exact_here)
    else:
        with pytest.raises(TargetError, match=rf"int8 for {target} cannot be judged here.*--target any"):
            check(target, exact_here=exact_here)

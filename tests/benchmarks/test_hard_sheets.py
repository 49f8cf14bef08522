"""`benchmarks/hard_sheets.py` composes pages, reads them and counts."""

import json
from importlib import import_module

import numpy as np
import pytest


def test_pages_are_composed_read_and_counted(benchmark_program):
    """Without MNIST: the digits are the stroke generator's."""
    words = ["--model", "lstm-int8", "--pages", "1", "--kind", "plain", "--kind", "name above"]
    code, printed, told = benchmark_program("hard_sheets", *words)
    assert code == 0, told
    document = json.loads(printed.splitlines()[-1])
    plain, above = (document["models"]["lstm-int8"][kind] for kind in ("plain", "name above"))
    assert plain["pages"] == above["pages"] == 1
    assert plain["digits"] >= 4
    assert 0 <= plain["wrong"] <= plain["digits"] // 4
    assert plain["others"] == 0
    assert above["others"] == 1


def test_print_and_signs_are_told_apart_from_digits_and_halves_share_none(benchmark_program):
    """What a page knows of itself is what words are fitted by: where its digits are, and what was kept from the fit."""
    benchmark_program("hard_sheets", "--help")
    kinds, printing, signs = (
        import_module(name) for name in ("hard_sheet_kinds", "hard_sheet_print", "hard_sheet_signs")
    )
    writers = import_module("hard_writing").Writers(5)
    for kind in ("print above", "signs beside"):
        pixels, page = kinds.compose(kind, 0, writers, 5)
        assert pixels.shape == (*page.cover.shape, 3)
        assert page.others
        assert 0 < page.digits.sum() < page.cover.sum()
        assert (page.digits <= page.cover).all()
    _, page = kinds.compose("printed digits", 1, writers, 5)
    assert page.digits.sum() > 0
    for halves in (printing.FACES, printing.WORDS, printing.FIELDS, signs.SIGNS):
        assert not set(halves[0]) & set(halves[1])


def test_the_fit_of_words_finds_the_weights_that_labels_were_drawn_by(benchmark_program):
    benchmark_program("word_weights", "--help")
    fitted = import_module("word_weights").fitted
    random = np.random.default_rng(8)
    table = random.normal(2, [1.0, 0.1], (20_000, 2))
    chance = 1 / (1 + np.exp(-(table @ [1.5, -8.0] + 13.0)))
    weights, bias = fitted(table, random.random(len(table)) < chance, np.ones(len(table)))
    assert weights == pytest.approx([1.5, -8.0], rel=0.1)
    assert bias == pytest.approx(13.0, rel=0.1)

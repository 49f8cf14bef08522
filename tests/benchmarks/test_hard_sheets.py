"""`benchmarks/hard_sheets.py` composes pages, reads them and counts."""

import json


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

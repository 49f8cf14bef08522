"""The tests of properties with many examples each, round after round, every round with other ones; what was tried.

    python tests/fuzz.py [MINUTES]

Ends after the round in which the time is over, or with the first thing that is found: hypothesis then shows the
smallest example, and the seed of the round is told. At the end stands how many examples each test tried, and what came
of them where a test notes that.
"""

import os
import re
import secrets
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from edge.text.table import aligned

FOLDERS = [f"tests/{root}/properties" for root in ("runtime", "train", "export")]
ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = 250  # of each test in a round: a round takes a minute or two, which is how exactly the time is kept

_TEST = re.compile(r"^(?P<test>tests/\S+::\S+):$")
_TRIED = re.compile(r"^\s*- (?P<passing>\d+) passing, (?P<failing>\d+) failing, and (?P<invalid>\d+) invalid")
_EVENT = re.compile(r"^\s*\* (?P<share>[\d.]+)%, (?P<event>.+)$")


def main() -> int:
    """Tries until the time is over."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    begun = time.monotonic()
    tried: Counter[str] = Counter()
    events: dict[str, Counter[str]] = {}
    rounds = 0
    while time.monotonic() < begun + 60 * minutes:
        rounds += 1
        seed = secrets.randbelow(2**32)
        options = ["-q", "-p", "no:cacheprovider", "--hypothesis-show-statistics", f"--hypothesis-seed={seed}"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *FOLDERS],
            cwd=ROOT,
            env={**os.environ, "EDGE_FUZZ_EXAMPLES": str(EXAMPLES)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            print(done.stdout, done.stderr, f"found in round {rounds}, with --hypothesis-seed={seed}", sep="\n")
            return 1
        count(done.stdout, tried, events)
        print(f"round {rounds}: {sum(tried.values())} examples, {time.monotonic() - begun:.0f} s", file=sys.stderr)
    rows = [("test", "examples", "what came of them")]
    for test, number in tried.items():
        told = ", ".join(
            f"{event} {share / rounds:.1f} %" for event, share in events.get(test, Counter()).most_common()
        )
        rows.append((test.rsplit("::", 1)[1].removeprefix("test_").replace("_", " "), str(number), told))
    print(*aligned(rows, right=(1,)), sep="\n")
    spent = time.monotonic() - begun
    print(f"\nnothing found: {sum(tried.values())} examples of {len(tried)} properties, {rounds} rounds, {spent:.0f} s")
    return 0


def count(statistics: str, tried: Counter[str], events: dict[str, Counter[str]]) -> None:
    """Adds up what hypothesis says of a round.

    Args:
        statistics: what pytest printed.
        tried: takes the examples of each test.
        events: takes the shares of what each test noted, in percent.
    """
    test = ""
    for line in statistics.splitlines():
        if found := _TEST.match(line):
            test = found["test"]
        elif found := _TRIED.match(line):
            tried[test] += int(found["passing"])
        elif (found := _EVENT.match(line)) and not found["event"].startswith(("Retried draw", "gave up")):
            events.setdefault(test, Counter())[found["event"]] += float(found["share"])


if __name__ == "__main__":
    sys.exit(main())

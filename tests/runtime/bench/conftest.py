"""Observations that are made up, and progress that can be the moment at which somebody presses Ctrl-C."""

import io
from array import array

import pytest

from edge.bench.benchmark import ColdStarts, Start
from edge.bench.measurement import Experiment, Observations, named_bundles, open_sessions
from edge.text.terminal import ProgressBar


class Told(ProgressBar):
    """Remembers the stages and how many steps each took."""

    def __init__(self, stop_after):
        super().__init__(io.StringIO())
        self.stages, self._left = {}, stop_after

    def begin(self, total, stage=""):
        self.stages[stage] = 0
        super().begin(total, stage)

    def step(self):
        self.stages[list(self.stages)[-1]] += 1
        super().step()
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                raise KeyboardInterrupt


@pytest.fixture
def quiet():
    """Makes progress that shows nothing; after so many steps it is interrupted."""
    return lambda stop_after=None: Told(stop_after)


@pytest.fixture
def experiment(shelf):
    return Experiment(named_bundles(["linear-fp32"]), providers=("cpu",), batches=(1, 4))


@pytest.fixture
def measured(experiment):
    """100 calls of batch 1 that took 1 to 100 us, none of batch 4, three loads."""
    found = Observations()
    open_sessions(experiment, found)
    single = found.calls[0].runs.series
    single.rounds += [
        array("q", [us * 1000 for us in range(100, 50, -1)]),
        array("q", [1000 * us for us in range(1, 51)]),
    ]
    single.warmup_calls = 8
    found.opened[0].loads.series.rounds += [array("q", [milliseconds * 1_000_000]) for milliseconds in (3, 1, 2)]
    return found


@pytest.fixture
def cold(experiment):
    starts = [Start("cpu", wall, 50.0, 5.0, 1.0, peak) for wall, peak in ((90.0, 30), (70.0, 10), (80.0, 20))]
    return [ColdStarts(experiment.subjects[0], "cpu", bulk_peak_bytes=99, starts=starts)]

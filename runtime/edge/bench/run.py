"""The whole run: fresh processes first, while this one is small and quiet, then the sessions."""

from edge.bench import coldstart, machine, rounds
from edge.bench.coldstart import ColdStarts
from edge.bench.document import Report
from edge.bench.plan import Plan
from edge.bench.report import report
from edge.bench.rounds import Measured
from edge.text.progress import ProgressBar


def run(plan: Plan, progress: ProgressBar) -> Report:
    """Measures all of a plan, or what there is of it when Ctrl-C comes.

    Args:
        plan: what is measured.
        progress: is told every step.

    Returns:
        The report; its `complete` is False after Ctrl-C.

    Raises:
        RuntimeMissingError: onnxruntime is not installed, or broken.
    """
    where = machine.describe()
    cold: list[ColdStarts] = []
    measured = Measured()
    complete = True
    try:
        _measure(plan, progress, cold, measured)
    except KeyboardInterrupt:
        complete = False
    finally:
        progress.clear()
    return report(plan, where, cold, measured, complete=complete)


def _measure(plan: Plan, progress: ProgressBar, cold: list[ColdStarts], measured: Measured) -> None:
    if count := coldstart.processes(plan):
        progress.begin(count, f"cold start: {count} fresh processes")
        for _ in coldstart.measure(plan, cold):
            progress.step()
    rounds.open_sessions(plan, measured)
    series = len(measured.series)
    configurations = "1 configuration" if series == 1 else f"{series} configurations"
    stage = f"latency: {configurations} of {plan.seconds:g} s in {rounds.ROUNDS} rounds"
    progress.begin(series * rounds.ROUNDS, stage)
    for _ in rounds.measure(plan, measured):
        progress.step()

"""The same run on a Ray cluster: a task for each part, in actors that load the bundle once (extra `ray`).

What makes a run go on is the parts, as on one machine: the driver, which is this process, hands out those that are
missing and writes what comes back, so the folder need not be shared. The actors read the pictures themselves, so those
have to be where every machine of the cluster finds them.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from edge.batch import inputs, rows
from edge.batch.job import Job, blocks_of_parts
from edge.batch.parts import BatchError
from edge.batch.run import Counts, Form
from edge.bundle.bundle import Bundle
from edge.classifier.answers import answer
from edge.classifier.classifier import Classifier
from edge.errors import EdgeError, MissingExtraError
from edge.picture.paths import Found
from edge.session import cpu, session
from edge.session.providers import Provider

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

EXTRA: Final = "ray"

# So that an actor has its next part while the last one travels; more would lie there while others have nothing to do.
_PARTS_PER_ACTOR: Final = 2

# A part in which an actor dies is tried again in a new one. What kills it every time is not tried for ever.
_MOST_RETRIES: Final = 3

_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")


class Worker:
    """An actor: one bundle, and the parts that it is given, one after the other.

    Args:
        held: where Ray holds the model itself, alone in a list, so that no path of it has to be known here; it was
            checked where it was read.
        provider: where the model runs.
    """

    def __init__(self, held: "list[ObjectRef[Bundle]]", provider: Provider) -> None:
        import ray

        bundle: Bundle = ray.get(held[0])
        running = session.create(bundle.data, provider=provider, threads=1, manifest=bundle.manifest)
        self._classifier = Classifier(bundle, running)

    def read(self, pictures: Sequence[Found], form: Form, top: int | None) -> tuple[bytes, Counts]:
        """The rows of a part, encoded, and what became of its pictures."""
        told = []
        for block in blocks_of_parts(pictures, [len(pictures)]):
            told += answer(self._classifier, block, inputs.read_digits)
        return rows.encode(told, form, top), rows.count(told)


def read(
    bundle: Bundle,
    job: Job,
    *,
    address: str | None = None,
    provider: Provider = "cpu",
    actors: int | None = None,
    tell: Callable[[int], None] | None = None,
) -> Counts:
    """Has the parts that are not there read by actors, and writes them.

    Args:
        bundle: the model.
        job: the run.
        address: of a cluster, as Ray takes it, such as "auto" or "ray://head:10001"; None starts Ray on this machine.
        provider: where the model runs; "cuda" gives each actor a GPU.
        actors: how many; None takes one for each CPU, or GPU, that the cluster has now.
        tell: is called with the number of pictures that were read so far.

    Returns:
        What became of the pictures of this shard, those of earlier runs too.

    Raises:
        MissingExtraError: Ray is not installed.
        BatchError: Ray does not start or cannot be reached, or a part ends every actor that it is given to.
        EdgeError: what an actor fails with, such as a provider that it lacks.
        WriteError: a part cannot be written; those before it stay.
    """
    if not (waiting := job.parts.pending):
        return job.before
    with _connected(address) as ray:
        kind = "GPU" if provider == "cuda" else "CPU"
        there = max(1, int(ray.cluster_resources().get(kind, 0)))
        wanted = min(actors or there, len(waiting))
        options: dict[str, Any] = {"num_gpus": 1} if kind == "GPU" else {"num_cpus": 1}
        restarts = {"max_restarts": -1, "max_task_retries": _MOST_RETRIES}
        held = [ray.put(bundle)]
        pool = [ray.remote(Worker).options(**options, **restarts).remote(held, provider) for _ in range(wanted)]
        try:
            return _handed_out(ray, pool, job, tell)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, EdgeError):
                raise error.cause from error
            raise
        except ray.exceptions.RayActorError as error:
            raise BatchError(
                f"the actors of Ray end again and again ({_first_line(error)}); the same command goes on with what is "
                "left, and without --engine it shows on this machine why"
            ) from error


def _handed_out(ray: ModuleType, pool: "Sequence[ActorHandle]", job: Job, tell: Callable[[int], None] | None) -> Counts:
    waiting = iter(job.parts.pending)
    run, counts, done = job.parts.run, job.before, 0
    given: dict[Any, tuple[int, Any]] = {}

    def give(actor: "ActorHandle") -> None:
        if (part := next(waiting, None)) is not None:
            given[actor.read.remote(job.pictures(part)[:], run.form, run.top)] = part, actor

    for _ in range(_PARTS_PER_ACTOR):
        for actor in pool:
            give(actor)
    while given:
        (ready,), _ = ray.wait(list(given), num_returns=1)
        encoded, here = ray.get(ready)
        part, actor = given.pop(ready)
        give(actor)
        counts += job.parts.write_rows(part, encoded, here)
        done += here.pictures
        if tell is not None:
            tell(done)
    return counts


@contextmanager
def _connected(address: str | None) -> Iterator[ModuleType]:
    """Ray, connected; what was started here ends with it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it tells its makers about this machine
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise MissingExtraError("predict --engine ray", EXTRA, "ray") from error
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address is None:
            ray.init(address="local", num_cpus=cpu.allowed(), include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except Exception as error:
        ray.shutdown()
        raise BatchError(_not_connected(address, error)) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _not_connected(address: str | None, error: Exception) -> str:
    if address is not None:
        return f"Ray at {address} cannot be reached ({_first_line(error)}); check that it runs, and its token"
    return (
        f"Ray does not start here ({_first_line(error)}); it waits 15 seconds only, so try again when the machine is "
        "less busy, name a running cluster with --address, or leave out --engine: one machine needs none"
    )


def _first_line(error: Exception) -> str:
    plain = _COLOURS.sub("", str(error))
    return next((line.strip() for line in plain.splitlines() if line.strip()), type(error).__name__)

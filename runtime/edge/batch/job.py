"""Reads what is left of a run: on this machine, or on a Ray cluster.

Here part after part is read, with a window of blocks on its way. On a cluster each part is a task, in actors that load
the bundle once (extra `ray`). What makes a run go on is the parts in either case: the driver, which is this process,
hands out those that are missing and writes what comes back, so the folder need not be shared. The actors read the
pictures themselves, so those have to be where every machine of the cluster finds them.
"""

import os
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from edge.batch import inputs
from edge.batch.parts import BatchError, Parts, Run
from edge.batch.rows import count_answers, encode_rows
from edge.batch.run import Counts, Form, Listing, RunOptions, Selection, shards
from edge.bundle.bundle import Bundle
from edge.classifier.answers import LARGEST_BLOCK, Answer, answer, answers
from edge.classifier.classifier import Classifier
from edge.errors import EdgeError, MissingExtraError
from edge.picture.paths import STANDARD_INPUT, Found
from edge.session import cpu, session
from edge.session.providers import Provider

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle


@dataclass(frozen=True, slots=True)
class Job:
    """One shard of a run that is being read.

    Attributes:
        listing: all pictures of the run.
        positions: of those of this shard.
        parts: where the rows go.
    """

    listing: Listing
    positions: Sequence[int]
    parts: Parts

    @property
    def before(self) -> Counts:
        """What became of the pictures that earlier runs read."""
        return self.parts.before

    @property
    def left(self) -> int:
        """How many pictures are to be read."""
        return sum(self.parts.count_of(part) for part in self.parts.pending)

    def pictures(self, part: int) -> Selection:
        """The pictures of a part."""
        return Selection(self.listing, self.positions[self.parts.rows_of(part)])


@contextmanager
def opened(bundle: Bundle, listing: Listing, arguments: Sequence[str], options: RunOptions) -> Iterator[Job]:
    """A run of a bundle over pictures, begun or taken up again; nobody else writes its shard meanwhile.

    Args:
        bundle: whose digest the folder is tied to.
        listing: all pictures, whatever the shard.
        arguments: what they came from, for people.
        options: where and how the rows are written.

    Raises:
        PictureError: an argument stands for no pictures: better told now than as a row among a million.
        BatchError: the folder holds another run, or somebody else is writing this shard.
        WriteError: the folder cannot be made or written.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    if (problem := listing.problem) is not None:
        raise problem
    if any(each.path == STANDARD_INPUT for each in listing[:1]):
        raise BatchError("the standard input comes once, so that no run can go on with it; save it as a file")
    cut = shards(listing, options.shards)
    run = Run(
        model=bundle.manifest.name,
        bundle_sha256=bundle.sha256,
        inputs=tuple(arguments),
        inputs_sha256=listing.sha256(),
        shards=tuple(map(len, cut)),
        part_rows=options.part_rows,
        form=options.form,
        top=options.top,
    )
    parts = Parts(options.folder, run, options.shard)
    try:
        yield Job(listing, cut[options.shard - 1], parts)
    finally:
        parts.close()


def read(classifier: Classifier, job: Job, *, workers: int, tell: Callable[[int], None] | None = None) -> Counts:
    """Classifies the pictures of all parts that are not there, and writes them.

    Args:
        classifier: the model.
        job: the run.
        workers: blocks of pictures worked on at a time, at least 1.
        tell: is called with the number of pictures that were read so far.

    Returns:
        What became of the pictures of this shard, those of earlier runs too.

    Raises:
        ProviderError: onnxruntime failed.
        WriteError: a part cannot be written; those before it stay.
    """
    parts, pending = job.parts, job.parts.pending
    left = job.positions
    if parts.before.pictures:
        left = array("Q")
        for part in pending:
            left.extend(job.positions[parts.rows_of(part)])
    sizes = [parts.count_of(part) for part in pending]
    counts = job.before
    held: list[Answer] = []
    done = 0
    for block in answers(
        classifier,
        Selection(job.listing, left),
        inputs.read_digits,
        workers=workers,
        cut=partial(blocks_of_parts, sizes=sizes),
    ):
        held += block
        done += len(block)
        while pending and len(held) >= (size := parts.count_of(pending[0])):
            counts += parts.write(pending.pop(0), held[:size])
            del held[:size]
        if tell is not None:
            tell(done)
    return counts


def blocks_of_parts(pictures: Sequence[Found], sizes: Sequence[int]) -> Iterator[Sequence[Found]]:
    """Cuts pictures into the same blocks whatever was done before, so that a part is the same to the last digit.

    Args:
        pictures: those of some parts, one after the other.
        sizes: how many each part has.
    """
    end = 0
    for size in sizes:
        start, end = end, end + size
        for at in range(start, end, LARGEST_BLOCK):
            yield pictures[at : min(at + LARGEST_BLOCK, end)]


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
        return encode_rows(told, form, top), count_answers(told)


def read_on_ray(
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

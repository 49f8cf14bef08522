"""Reads what is left of a run on this machine: part after part, with a window of blocks on its way."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from edge.batch import inputs
from edge.batch.listing import Listing, Selection, shards
from edge.batch.parts import BatchError, Parts, Run
from edge.batch.run import Counts, RunOptions
from edge.bundle.bundle import Bundle
from edge.classifier.answers import LARGEST_BLOCK, Answer, answers
from edge.classifier.classifier import Classifier
from edge.picture.paths import STANDARD_INPUT, Found


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

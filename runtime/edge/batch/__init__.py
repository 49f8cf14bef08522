"""Very many pictures: where they are, parts that a broken run goes on from, shards, and engines on many machines."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.batch.rows import Reader

__all__ = ["Reader"]


def __getattr__(name: str) -> object:
    if name != "Reader":
        raise AttributeError(f"module 'edge.batch' has no attribute {name!r}")
    from edge.batch.rows import Reader  # numpy, which `edge predict --help` does without

    return Reader

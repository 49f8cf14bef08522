"""Where and how the rows of a run are written, as it is asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from edge.errors import InputError

Form = Literal["jsonl", "parquet"]
FORMS: Final[tuple[Form, ...]] = ("jsonl", "parquet")

# A killed run loses one part at most: a second of small pictures, two minutes of photographs on one core.
PART_ROWS: Final = 5000


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where and how the rows of a run are written.

    Attributes:
        folder: for the parts and the manifest.
        shard: which one is to be read, from 1.
        shards: how many there are.
        form: of the parts.
        part_rows: rows of a part.
        top: only so many of the most probable labels; all without.
    """

    folder: Path
    shard: int = 1
    shards: int = 1
    form: Form = "jsonl"
    part_rows: int = PART_ROWS
    top: int | None = None


def parse_shard(text: str) -> tuple[int, int]:
    """Which shard of how many is meant, such as "3/16".

    Raises:
        InputError: it says none.
    """
    number, _, count = text.partition("/")
    if number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
        return int(number), int(count)
    raise InputError(f"{text} is no shard; write which one of how many, such as 3/16")

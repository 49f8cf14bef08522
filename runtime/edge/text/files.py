"""Writing a file in one step."""

import os
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that whoever opens it sees the old bytes or the new ones, never a part.

    Args:
        path: the file; its folder must exist. On any failure an old file stays as it was.
        data: all of the new bytes.

    Raises:
        OSError: the folder does not exist or is read-only, or the disk is full.
    """
    import secrets  # slow to import, and most commands write no file

    # In the same folder, because only a rename within one file system is a single step.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()  # gone already when all went well

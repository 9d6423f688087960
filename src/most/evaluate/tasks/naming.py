"""What follows from an item's id alone, so that it is the same in every batch and process: seed and file name."""

from __future__ import annotations

import os
import re
import zlib
from pathlib import Path

from most.evaluate.tasks.base import Row
from most.manifest import AudioRef


def seed_of(seed: int, item: str) -> int:
    """The item's own seed under a task's."""
    return zlib.crc32(f"{seed}/{item}".encode())


def file_name(item: str) -> str:
    """An id as a file name without suffix; what had to be changed is kept apart by its checksum."""
    plain = re.sub(r"[^\w.-]", "_", item)[:100]
    return plain if plain == item else f"{plain}-{zlib.crc32(item.encode()):08x}"


def audio_row(ref: AudioRef, folder: Path) -> Row:
    """A recording of the set as a row names it, relative to the folder of the task's audio."""
    row: Row = {"path": os.path.relpath(ref.path, folder)}
    row |= {"start": ref.start} if ref.start else {}
    return row | ({"duration": ref.duration} if ref.duration is not None else {})

"""Checkpoints that are whole or not there: written aside, forced to disk, listed with checksums, renamed into place.

Nothing in them is trusted: weights are safetensors, and what torch pickles (optimizer, schedule, random state) is read
by the Trainer with `weights_only=True`, which runs no code. A folder `checkpoint-N` is only ever made by a rename, and
only ever goes by one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
UNFINISHED = "unfinished"
"""Folder in a run's output that holds what is being written and what is being deleted."""
_CHUNK = 1 << 22


def step_of(folder: Path) -> int:
    return int(folder.name.split("-")[1])


def checkpoints(output: Path) -> list[Path]:
    """A run's checkpoints, oldest first, verified or not."""
    found = [p for p in output.glob("checkpoint-*") if p.name.removeprefix("checkpoint-").isdigit()]
    return sorted(found, key=step_of)


def seal(folder: Path) -> int:
    """List every file with size and sha256, and force all to disk. Returns the bytes listed."""
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        files[path.relative_to(folder).as_posix()] = {"bytes": path.stat().st_size, "sha256": _digest(path, sync=True)}
    with (folder / MANIFEST).open("w", encoding="utf-8") as f:
        json.dump({"files": files}, f, indent=1)
        f.flush()
        os.fsync(f.fileno())
    for path in [folder, *(p for p in folder.rglob("*") if p.is_dir())]:
        sync_folder(path)
    return sum(row["bytes"] for row in files.values())


def what_is_wrong(folder: Path) -> str | None:
    """Why a checkpoint cannot be used, None when every file is there, of its size and its checksum."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        return f"it has no {MANIFEST} that can be read"
    for name, row in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != row["bytes"]:
            return f"{name} has {path.stat().st_size} bytes instead of {row['bytes']}"
    for name, row in files.items():
        try:
            if _digest(folder / name) != row["sha256"]:
                return f"{name} is damaged (its checksum differs)"
        except OSError as e:
            return f"{name} cannot be read ({e.strerror})"
    return None


def newest_sound(output: Path, echo: Callable[[str], Any]) -> Path | None:
    """The newest checkpoint that verifies. Those that do not are said, and set aside as `checkpoint-N.torn`."""
    for folder in reversed(checkpoints(output)):
        wrong = what_is_wrong(folder)
        if wrong is None:
            return folder
        aside = folder.with_name(f"{folder.name}.torn")
        if aside.exists():
            discard(aside)
        os.replace(folder, aside)
        echo(f"  {folder.name} is torn: {wrong}; set aside as {aside.name}, an earlier one is tried")
    return None


def clear_unfinished(output: Path) -> None:
    """Delete what a killed run was writing or deleting."""
    shutil.rmtree(output / UNFINISHED, ignore_errors=True)


def publish(part: Path, folder: Path) -> None:
    """Give a sealed folder its name."""
    if folder.exists():
        discard(folder)
    os.replace(part, folder)
    sync_folder(folder.parent)


def rotate(output: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints."""
    for folder in checkpoints(output)[:-keep]:
        discard(folder)


def discard(folder: Path) -> None:
    """Delete a folder such that no part of it keeps its name, whenever the process dies."""
    aside = folder.parent / UNFINISHED / f"deleted-{folder.name}"
    aside.parent.mkdir(exist_ok=True)
    shutil.rmtree(aside, ignore_errors=True)
    os.replace(folder, aside)
    shutil.rmtree(aside, ignore_errors=True)


def lacks_space(folder: Path, n_bytes: int) -> str | None:
    """What to say when `n_bytes` do not fit on the disk, None when they do."""
    free = shutil.disk_usage(folder).free
    if free >= n_bytes:
        return None
    return f"it needs {n_bytes / 1e9:.2f} GB and the disk has {free / 1e9:.2f} GB left"


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(path: Path, sync: bool = False) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as f:
        while chunk := f.read(_CHUNK):
            digest.update(chunk)
        if sync:
            os.fsync(f.fileno())
    return digest.hexdigest()

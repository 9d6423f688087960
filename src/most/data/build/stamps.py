"""What a step was made with, beside what it made: how a build knows what is done, what has changed, and why.

A stamp holds the step's settings with every path replaced by what lies there: a fingerprint of an outside file, the key
of the step that makes it. So a moved folder changes nothing, and a change reaches all that depends on it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from most.data.build.recipe import Step
from most.files import write_text

FOLDER = ".build"
FORMAT = 1
_WHOLE_BYTES = 1 << 26
_END_BYTES = 1 << 12
_PASSING = frozenset(
    {"output", "workers", "threads", "attempts", "retry_seconds", "max_rejected", "max_rejected_share", "parallel"}
)
"""Settings that change how a step runs, not what it makes."""


def fingerprint(path: Path) -> str:
    """A file or a folder by names, sizes and content, so a copy is the same.

    Of more than 64 MiB only the first and the last 4 KiB of each file are read.
    """
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    whole = sum(f.stat().st_size for f in files) <= _WHOLE_BYTES
    digest = hashlib.blake2b(digest_size=12)
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.relative_to(path).as_posix()}\0{size}\n".encode())
        with file.open("rb") as f:
            digest.update(f.read() if whole else f.read(_END_BYTES))
            if not whole and size > _END_BYTES:
                f.seek(max(_END_BYTES, size - _END_BYTES))
                digest.update(f.read())
    return digest.hexdigest()


def listing(folder: Path) -> str:
    """Names and sizes of all that a step wrote."""
    digest = hashlib.blake2b(digest_size=12)
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\n".encode())
    return digest.hexdigest()


def content(value: Any, root: Path, keys: Mapping[str, str]) -> Any:
    """Settings as plain values, with what lies at a path in the path's place.

    Args:
        root: the build's folder; what lies in it is named by step, its key and the file.
        keys: step to key, of earlier steps.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        rows = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return content(rows, root, keys)
    if isinstance(value, Mapping):
        return {str(k): content(v, root, keys) for k, v in value.items() if k not in _PASSING}
    if isinstance(value, list | tuple):
        return [content(v, root, keys) for v in value]
    if not isinstance(value, Path) and not (isinstance(value, str) and os.sep in value):
        return value
    path = Path(value)
    if path.is_relative_to(root) and (parts := path.relative_to(root).parts) and parts[0] in keys:
        return {"step": parts[0], "key": keys[parts[0]], "file": "/".join(parts[1:])}
    return {"fingerprint": fingerprint(path)} if path.exists() else str(value)


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """A step as it was begun (`listing` empty) or finished."""

    key: str
    content: Any
    listing: str = ""

    @classmethod
    def of(cls, step: Step, root: Path, keys: Mapping[str, str]) -> Stamp:
        """The stamp that this step would have if it was begun now."""
        plain = {"format": FORMAT, "verb": step.verb_name, **content(step.settings, root, keys)}
        plain = json.loads(json.dumps(plain))
        text = json.dumps(plain, sort_keys=True, ensure_ascii=False)
        return cls(key=hashlib.blake2b(text.encode(), digest_size=8).hexdigest(), content=plain)

    @classmethod
    def read(cls, root: Path, name: str) -> Stamp | None:
        path = root / FOLDER / f"{name}.json"
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    def write(self, root: Path, name: str) -> None:
        (root / FOLDER).mkdir(parents=True, exist_ok=True)
        write_text(root / FOLDER / f"{name}.json", json.dumps(dataclasses.asdict(self), indent=1) + "\n")


def difference(old: Any, new: Any, where: str = "") -> str:
    """The first setting that differs, by its name and its values or what is known of them."""
    if isinstance(old, dict) and isinstance(new, dict) and "key" in old and "key" in new:
        same = (old["step"], old["file"]) == (new["step"], new["file"])
        return f"{where}: @{new['step']} has changed" if same else f"{where} was @{old['step']}/{old['file']}"
    if isinstance(old, dict) and isinstance(new, dict):
        for name in (*new, *(k for k in old if k not in new)):
            if old.get(name) != new.get(name):
                return difference(old.get(name), new.get(name), f"{where}.{name}" if where else name)
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for k, (a, b) in enumerate(zip(old, new, strict=True)):
            if a != b:
                return difference(a, b, f"{where}[{k}]")
    return f"{where}: what lies there has changed" if where.endswith("fingerprint") else f"{where} was {old!r:.60}"

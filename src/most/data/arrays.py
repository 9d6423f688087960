"""Arrays beside a manifest: the unit ids or encoder frames of many utterances, in a folder of parts read by memory map.

A part is `part-00000.npy` (rows of many utterances, one after another) and `part-00000.json` (key -> first row, number
of rows). The JSON is renamed into place last, so it marks the part as complete: an interrupted job goes on behind it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from most.errors import MostError
from most.manifest import AudioRef


def audio_key(ref: AudioRef, folder: Path) -> str:
    """What an audio stretch is called in an index: its path from `folder`, and its bounds where it has any."""
    name = os.path.relpath(ref.path, folder)
    if ref.start or ref.duration is not None:
        name += f"@{ref.start:.6f}+{'' if ref.duration is None else f'{ref.duration:.6f}'}"
    return name


class ArrayStore:
    """A folder of arrays under string keys.

    Args:
        folder: where the parts lie; need not exist yet.
        about: what the arrays are (codec, layer, rate); parts made under another description are refused.

    Raises:
        MostError: a part is torn, or was made under another description.
    """

    def __init__(self, folder: Path, about: dict[str, Any] | None = None) -> None:
        self.folder, self.about = folder, about
        self.rows: dict[str, tuple[int, int, int]] = {}
        self._parts: list[np.ndarray] = []
        for index in sorted(folder.glob("part-*.json")):
            self._open(index)
        self.about = self.about or {}

    def _open(self, index: Path) -> None:
        head = json.loads(index.read_text(encoding="utf-8"))
        if self.about is None:
            self.about = head["about"]
        if head["about"] != self.about:
            raise MostError("arrays", index, f"was made with {head['about']}, not {self.about}; use another folder")
        data = np.load(index.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
        if len(data) != head["total"]:
            raise MostError("arrays", index, f"names {head['total']} rows, its data has {len(data)}; delete both")
        for key, (first, n) in head["rows"].items():
            self.rows[key] = (len(self._parts), first, n)
        self._parts.append(data)

    def __contains__(self, key: str) -> bool:
        return key in self.rows

    def __len__(self) -> int:
        return len(self.rows)

    def length(self, key: str) -> int:
        """Rows under a key, without reading them."""
        return self._find(key)[2]

    def __getitem__(self, key: str) -> np.ndarray:
        part, first, n = self._find(key)
        return np.asarray(self._parts[part][first : first + n])

    def _find(self, key: str) -> tuple[int, int, int]:
        if key not in self.rows:
            raise MostError("arrays", key, f"not found in {self.folder}; run `most data encode` on this manifest")
        return self.rows[key]

    def extend(self, items: Iterable[tuple[str, np.ndarray]], part_size: int = 256) -> int:
        """Add arrays (each (R,) or (R, H)), a part at a time. Returns how many were added."""
        added = 0
        for chunk in _chunks(items, part_size):
            self.folder.mkdir(parents=True, exist_ok=True)
            index = self.folder / f"part-{len(self._parts):05d}.json"
            rows, total = {}, 0
            for key, array in chunk:
                rows[key] = (total, len(array))
                total += len(array)
            with (part := index.with_suffix(".npy.part")).open("wb") as f:
                np.save(f, np.concatenate([array for _, array in chunk]), allow_pickle=False)
            os.replace(part, index.with_suffix(".npy"))
            head = {"about": self.about, "total": total, "rows": rows}
            index.with_suffix(".json.part").write_text(json.dumps(head), encoding="utf-8")
            os.replace(index.with_suffix(".json.part"), index)
            self._open(index)
            added += len(chunk)
        return added


def _chunks(items: Iterable[tuple[str, np.ndarray]], size: int) -> Iterator[list[tuple[str, np.ndarray]]]:
    chunk: list[tuple[str, np.ndarray]] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk

"""Arrays beside a manifest: unit ids or encoder frames of many audios, in a folder of parts read by memory map.

A part is `part-NAME.npy` (rows of many audios, one after another) and `part-NAME.json` (what made it; key -> first row,
number of rows; what was rejected, and why). The JSON is renamed into place last: it marks the part as complete. Any
number of processes may write parts; a reader sees all complete ones as one store. `seal` merges their indexes into one
file, sorted by a digest of the keys and read by memory map, so that millions of keys cost neither memory nor time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from most.errors import MostError
from most.manifest import AudioRef

OPEN_PARTS = 128
"""Parts mapped at once; each holds a file descriptor."""


def audio_key(ref: AudioRef, folder: Path) -> str:
    """What an audio stretch is called in an index: its path from `folder`, and its bounds where it has any."""
    name = os.path.relpath(ref.path, folder)
    if ref.start or ref.duration is not None:
        name += f"@{ref.start:.6f}+{'' if ref.duration is None else f'{ref.duration:.6f}'}"
    return name


def key_digest(key: str) -> bytes:
    """16 bytes that stand for a key; no two keys are expected to share them."""
    return hashlib.blake2b(key.encode(), digest_size=16).digest()


class ArrayStore(Mapping[str, np.ndarray]):
    """A folder of arrays under string keys, as it was when opened.

    Args:
        folder: where the parts lie; need not exist yet.
        about: what the arrays are (codec, layer, rate); parts made under another description are refused.

    Raises:
        MostError: a part is torn, or was made under another description.
    """

    def __init__(self, folder: Path, about: dict[str, Any] | None = None) -> None:
        self.folder, self.about = Path(folder), None if about is None else json.loads(json.dumps(about))
        self.rejected: dict[str, dict[str, Any]] = {}
        """Key to `path`, `reason` and `stamp` of what was tried and could not be encoded."""
        self.parts = sorted(p.stem for p in self.folder.glob("part-*.json"))
        self._open: dict[int, np.ndarray] = {}
        self._merged = self.folder / f"merged-{self._state()}.npy"
        if self._merged.is_file():
            self._head(self.parts[0])
            self._index = np.asarray(np.load(self._merged, mmap_mode="r", allow_pickle=False))
            self._read_rejected()
        else:
            self._index = self._merge()
        self.about = self.about or {}

    def _state(self) -> str:
        digest = hashlib.blake2b(digest_size=8)
        for name in self.parts:
            stat = (self.folder / f"{name}.json").stat()
            digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def _head(self, name: str) -> dict[str, Any]:
        path = self.folder / f"{name}.json"
        try:
            head = json.loads(path.read_text(encoding="utf-8"))
            self.about = head["about"] if self.about is None else self.about
            if head["about"] == self.about:
                return head
        except (json.JSONDecodeError, KeyError) as e:
            raise MostError("arrays", path, "is no index of a part; delete it and run the command again") from e
        raise MostError("arrays", path, f"was made with {head['about']}, not {self.about}; use another folder")

    def _merge(self) -> np.ndarray:
        """(4, N) uint64, sorted: high and low half of the key's digest, part << 32 | number of rows, first row."""
        columns = [np.zeros((4, 0), np.uint64)]
        for number, name in enumerate(self.parts):
            head = self._head(name)
            data = self._load(name)
            if len(data) != head["total"]:
                raise MostError(
                    "arrays", self.folder / name, f"names {head['total']} rows, its data has {len(data)}; delete both"
                )
            self.rejected |= head.get("rejected", {})
            where = np.array(list(head["rows"].values()), dtype=np.uint64).reshape(-1, 2).T
            digests = np.frombuffer(b"".join(map(key_digest, head["rows"])), dtype=">u8").reshape(-1, 2).T
            columns.append(np.stack([*digests, where[1] | np.uint64(number << 32), where[0]]).astype(np.uint64))
        index = np.concatenate(columns, axis=1)
        index = np.ascontiguousarray(index[:, np.lexsort((index[1], index[0]))])
        # Two commands on overlapping manifests may both have encoded an audio: the same bits, one is enough.
        again = (index[:2, 1:] == index[:2, :-1]).all(axis=0)
        if again.any():
            index = np.ascontiguousarray(index[:, np.r_[True, ~again]])
        self._index = index
        self.rejected = {key: row for key, row in self.rejected.items() if key not in self}
        return index

    def _load(self, name: str) -> np.ndarray:
        try:
            return np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as e:
            raise MostError("arrays", self.folder / f"{name}.npy", f"cannot be read ({e}); delete its .json") from e

    def _read_rejected(self) -> None:
        path = self.folder / "rejected.jsonl"
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            row = json.loads(line)
            self.rejected[row.pop("key")] = row

    def seal(self) -> None:
        """Write what `merged-*.npy` and `rejected.jsonl` hold for the parts that lie there; remove what is stale."""
        if not self.parts:
            return
        rows = [json.dumps({"key": k, **row}, ensure_ascii=False) + "\n" for k, row in sorted(self.rejected.items())]
        if rows:
            _write_whole(self.folder / "rejected.jsonl", "".join(rows).encode())
        else:
            (self.folder / "rejected.jsonl").unlink(missing_ok=True)
        if not self._merged.is_file():
            _write_whole(self._merged, self._index)
        stale = [p for p in self.folder.glob("merged-*.npy") if p != self._merged]
        # What a killed writer left of a part that another has completed since.
        done = set(self.parts)
        stale += [p for p in self.folder.glob("part-*.part") if p.name.split(".")[0] in done]
        for path in stale:
            path.unlink(missing_ok=True)

    def present(self, digests: np.ndarray) -> np.ndarray:
        """Which of many keys are there, without their names: (N, 2) uint64 halves of `key_digest` -> (N,) bool."""
        if not len(self):
            return np.zeros(len(digests), bool)
        i = np.searchsorted(self._index[0], digests[:, 0]).clip(max=len(self) - 1)
        return (self._index[0][i] == digests[:, 0]) & (self._index[1][i] == digests[:, 1])

    def _where(self, key: str) -> tuple[int, int, int] | None:
        """Part, first row, number of rows."""
        high, low = np.frombuffer(key_digest(key), dtype=">u8").astype(np.uint64)
        i = int(np.searchsorted(self._index[0], high))
        while i < len(self) and self._index[0, i] == high:
            if self._index[1, i] == low:
                packed = int(self._index[2, i])
                return packed >> 32, int(self._index[3, i]), packed & 0xFFFFFFFF
            i += 1
        return None

    def _find(self, key: str) -> tuple[int, int, int]:
        found = self._where(key)
        if found is None:
            why = f"was rejected: {self.rejected[key]['reason']}" if key in self.rejected else "not found"
            raise MostError("arrays", key, f"{why} (in {self.folder}); run `most data encode` on this manifest")
        return found

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._where(key) is not None

    def __len__(self) -> int:
        return self._index.shape[1]

    def __iter__(self) -> Iterator[str]:
        """Keys, part after part, read from the parts' own indexes."""
        for number, name in enumerate(self.parts):
            for key in self._head(name)["rows"]:
                if self._find(key)[0] == number:
                    yield key

    def length(self, key: str) -> int:
        """Rows under a key, without reading them."""
        return self._find(key)[2]

    def __getitem__(self, key: str) -> np.ndarray:
        part, first, n = self._find(key)
        return np.asarray(self.part(part)[first : first + n])

    def part(self, number: int) -> np.ndarray:
        """All rows of a part, by memory map."""
        if number not in self._open:
            if len(self._open) >= OPEN_PARTS:
                self._open.pop(next(iter(self._open)))
            self._open[number] = self._load(self.parts[number])
        return self._open[number]

    def __reduce__(self) -> tuple[Any, ...]:
        # A memory map would be pickled as a copy of all its rows: another process opens the folder itself.
        return ArrayStore, (self.folder, self.about)


def write_part(
    folder: Path,
    name: str,
    about: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    rejected: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write one part, each array (R,) or (R, H), whole or not at all; writers of one part do not disturb each other."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, total = {}, 0
    for key, array in arrays.items():
        rows[key] = (total, len(array))
        total += len(array)
    joined = np.concatenate(list(arrays.values())) if arrays else np.zeros(0, np.int16)
    head = {"about": about, "total": total, "rows": rows} | ({"rejected": rejected} if rejected else {})
    _write_whole(folder / f"part-{name}.npy", joined)
    _write_whole(folder / f"part-{name}.json", json.dumps(head).encode())


def _write_whole(path: Path, content: bytes | np.ndarray) -> None:
    part = path.with_name(f"{path.name}.{os.uname().nodename}-{os.getpid()}.part")
    with part.open("wb") as f:
        if isinstance(content, np.ndarray):
            np.save(f, content, allow_pickle=False)
        else:
            f.write(content)
        f.flush()
        os.fsync(f.fileno())
    os.replace(part, path)

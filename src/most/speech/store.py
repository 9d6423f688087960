"""Units of a manifest, stored as integer arrays beside it: `<name>.units/` with units.i16 and index.jsonl.

units.i16 is all units end to end, little-endian 16-bit; a line of the index says where an utterance's lie. Both are
only ever appended to, so encoding resumes, and any size of corpus can be read through a memory map.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from most.errors import MostError
from most.manifest import Utterance, read_utterances
from most.speech.audio import MAX_SECONDS, read_audio
from most.speech.codec import Codec
from most.speech.parts import claim

_TYPE = np.dtype("<i2")


class UnitStore(Mapping[str, np.ndarray]):
    """Utterance id to unit ids (U,) int64, read on demand.

    Raises:
        MostError: no store there, or (on look-up) an id it does not hold.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if not (self.folder / "index.jsonl").is_file():
            raise MostError("units", self.folder, "holds no index.jsonl; make it with `most codec encode MANIFEST`")
        self.codec: dict[str, object] = json.loads((self.folder / "settings.json").read_text(encoding="utf-8"))
        self._where = {row["id"]: (row["start"], row["n"]) for row in _index(self.folder)}
        size = (self.folder / "units.i16").stat().st_size
        self._all = np.memmap(self.folder / "units.i16", dtype=_TYPE, mode="r") if size else np.zeros(0, _TYPE)

    def __getitem__(self, key: str) -> np.ndarray:
        if key not in self._where:
            raise MostError("id", key, f"has no units in {self.folder}; encode its manifest (again)")
        start, n = self._where[key]
        return self._all[start : start + n].astype(np.int64)

    def __contains__(self, key: object) -> bool:
        return key in self._where

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)


def _index(folder: Path) -> list[dict]:
    """Whole lines only: a run that was killed may have left half a line, or units without their line."""
    lines = (folder / "index.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def store_path(manifest: str | os.PathLike[str]) -> Path:
    """Where `encode_manifest` puts a manifest's units: `train.jsonl` -> `train.units`."""
    return Path(manifest).with_suffix(".units")


def encode_manifest(
    manifest: str | os.PathLike[str],
    codec: Codec,
    *,
    out: str | os.PathLike[str] | None = None,
    max_seconds: float = MAX_SECONDS,
    skip_bad: bool = False,
) -> tuple[UnitStore, list[tuple[str, str]]]:
    """Encode every utterance of a manifest, going on where an earlier run stopped.

    Args:
        out: folder of the store; None for `store_path(manifest)`.
        skip_bad: go on after an utterance that cannot be read; it is returned (and named) with its reason.

    Returns:
        the store, and (id, reason) of each utterance left out.

    Raises:
        MostError: an utterance that cannot be read (unless `skip_bad`), or a store begun with another codec.
    """
    utterances = read_utterances(manifest)
    folder = Path(out) if out is not None else store_path(manifest)
    state = {"codec": codec.fingerprint, "n_units": codec.n_units, "unit_rate_hz": codec.unit_rate_hz}
    claim(folder, state)
    index, units = folder / "index.jsonl", folder / "units.i16"
    index.touch()
    units.touch()
    rows = _index(folder)
    end = sum(row["n"] for row in rows)
    os.truncate(index, sum(len(json.dumps(row)) + 1 for row in rows))
    os.truncate(units, end * _TYPE.itemsize)
    done = {row["id"] for row in rows}
    todo = [u for u in utterances if u.id not in done]
    print(f"reads   {len(todo)} utterances of {manifest} ({len(done)} are done)\nwrites  {folder}", flush=True)
    skipped: list[tuple[str, str]] = []
    with index.open("a", encoding="utf-8") as lines, units.open("ab") as data:
        for row in tqdm(todo, desc="encode", unit="utt"):
            try:
                ids = _encode(row, codec, max_seconds)
            except MostError as e:
                if not skip_bad:
                    raise
                skipped.append((row.id, str(e)))
                continue
            data.write(ids.astype(_TYPE).tobytes())
            data.flush()
            lines.write(json.dumps({"id": row.id, "start": end, "n": len(ids)}) + "\n")
            lines.flush()
            end += len(ids)
    return UnitStore(folder), skipped


def _encode(row: Utterance, codec: Codec, max_seconds: float) -> np.ndarray:
    wav = read_audio(row.audio, codec.sample_rate, max_seconds=max_seconds, allow_silence=False)
    return codec.encode(wav)


def unit_usage(n_units: int, units: Sequence[np.ndarray]) -> dict[str, float]:
    """How evenly units are used: the share in use, and the perplexity of their distribution (at most n_units)."""
    count = np.bincount(np.concatenate(list(units)), minlength=n_units)
    p = count[count > 0] / count.sum()
    return {"used": float((count > 0).mean()), "perplexity": float(np.exp(-(p * np.log(p)).sum()))}

"""Import of the format that the paper's released code writes: `instruction`, `input`, `output`, with speech as unit
strings such as `[Hu12][Hu7]` (github.com/NUS-HPC-AI-Lab/MoST, MoST_dataset/posttraining_asr_tts).

Units become arrays under `OUT/arrays/units`, in the store that `most data encode` writes too; turns refer to them by
key. There is no audio: speech that is heard is known by its units alone (`meta.units_only`).
Reading is all the work there is, so an interrupted import starts over, to the same bytes.
The released scripts give clips of one speaker the same `id`, so keys and ids carry the row's number.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from most.data.arrays import audio_key, write_part
from most.data.corpora import state, write
from most.data.corpora.base import BAD_ROW, UNKNOWN_LICENCE, open_text, read_jsonl
from most.data.corpora.card import SplitCounts, data_card
from most.data.corpora.check import Record, Rejected, require_unicode
from most.errors import MostError
from most.files import write_text
from most.manifest import AudioRef, Example, Turn, write_jsonl

N_UNITS = 500
SPLIT = "train"
_PART_SIZE = 4096
_UNITS = re.compile(r"(?:\[Hu\d{1,9}\])+")
_CHUNK_CHARS = 1 << 20


@dataclass(frozen=True)
class _Row:
    example: Example
    arrays: tuple[tuple[str, np.ndarray], ...]


@dataclass(frozen=True)
class _Reader:
    files: list[Path]
    out: Path
    n_units: int
    licence: str

    def rows(self) -> Iterator[_Row | Record]:
        """Every row in order: an example with its arrays, or why it is left out."""
        number = 0
        for path in self.files:
            for row in _members(path):
                name = str(row.get("id") or path.stem) if isinstance(row, dict) else path.stem
                name = f"{name}-{number:08d}"
                try:
                    yield self._row(row, name, f"released/{number:08d}")
                except Rejected as e:
                    yield {"id": name, "split": SPLIT, "reason": e.args[0], "detail": f"{path.name}: {e.args[1]}"}
                number += 1

    def _row(self, row: Any, name: str, key: str) -> _Row:
        fields = ("instruction", "input", "output")
        if not isinstance(row, dict) or not all(isinstance(row.get(k), str) for k in fields):
            raise Rejected(BAD_ROW, "has not instruction, input and output as strings")
        require_unicode(name)
        instruction, asked, answer = (_parse(row[k], self.n_units) for k in fields)
        heard, said = isinstance(asked, np.ndarray), isinstance(answer, np.ndarray)
        if isinstance(instruction, np.ndarray):
            raise Rejected(BAD_ROW, "has units as its instruction")
        if answer is None:
            raise Rejected("empty", "output holds nothing")
        arrays: list[tuple[str, np.ndarray]] = []
        asked_text, asked_audio = self._part(asked, f"{key}-in", arrays)
        answer_text, answer_audio = self._part(answer, f"{key}-out", arrays)
        prompt = "\n\n".join(p for p in (instruction, asked_text) if p) or None
        if prompt is None and asked_audio is None:
            raise Rejected("empty", "instruction and input hold nothing")
        turns = (
            Turn(role="user", text=prompt, audio=asked_audio),
            Turn(role="assistant", text=answer_text, audio=answer_audio),
        )
        task = "dialogue" if heard == said else "asr" if heard else "tts"
        meta = {"units_only": True} if arrays else {}
        example = Example(id=name, task=task, turns=turns, source="release", licence=self.licence, meta=meta)
        return _Row(example, tuple(arrays))

    def _part(
        self, value: str | np.ndarray | None, key: str, arrays: list[tuple[str, np.ndarray]]
    ) -> tuple[str | None, AudioRef | None]:
        if not isinstance(value, np.ndarray):
            return value, None
        ref = AudioRef(path=self.out / key)
        arrays.append((audio_key(ref, self.out), value))
        return None, ref


def prepare_release(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    n_units: int = N_UNITS,
    licence: str = UNKNOWN_LICENCE,
    url: str = "",
    max_rejected: float = 0.02,
    echo: Callable[[str], Any] = print,
    progress: bool = True,
) -> dict[str, SplitCounts]:
    """Import a file (`.json`: a list or `{"data": [...]}`; `.jsonl`), or all such files of a folder, as `train.jsonl`.

    Args:
        n_units: units of the quantizer; a larger id rejects its row.
        max_rejected: share of all rows that may be rejected.

    Raises:
        MostError: no such file, a file that is no JSON, more than `max_rejected` rejected, or a folder that holds
            something else.
    """
    source, out = Path(source), Path(out).resolve()
    files = _files(source)
    settings = {"format": 1, "corpus": "release", "n_units": n_units, "licence": licence, "url": url,
                "source": [Path(os.path.relpath(f, out)).as_posix() for f in files]}  # fmt: skip
    if state.is_complete(out, settings):
        echo(f"{out} holds this set already; nothing to do")
        return state.finished_counts(out)
    echo(f"reads {len(files)} files of the released format from {source}; writes {out}")
    state.write_state(out, {"settings": settings})
    reader, counts, tasks = _Reader(files, out, n_units, licence), SplitCounts(), set[str]()
    folder, about = out / "arrays" / "units", {"released": True, "n_units": n_units}
    held: dict[str, np.ndarray] = {}
    part = itertools.count()
    for row in tqdm(reader.rows(), desc="units", unit="row", disable=not progress):
        if not isinstance(row, _Row):
            counts.add(row)
            continue
        counts.add({"text": "".join(t.text or "" for t in row.example.turns)})
        tasks.add(row.example.task)
        held.update(row.arrays)
        if len(held) >= _PART_SIZE:
            write_part(folder, f"{next(part):05d}", about, held)
            held = {}
    if held:
        write_part(folder, f"{next(part):05d}", about, held)
    for torn in folder.glob("*.part"):  # what a killed run left
        torn.unlink()
    journal = out / ".journal" / "rejected.jsonl"
    journal.parent.mkdir(exist_ok=True)
    write.write_rejected(journal, (r for r in reader.rows() if not isinstance(r, _Row)))
    state.refuse_too_many({SPLIT: counts}, max_rejected, out)
    write_jsonl(out / f"{SPLIT}.jsonl", (r.example for r in reader.rows() if isinstance(r, _Row)))
    os.replace(journal, out / "rejected.jsonl")
    rule = f"Speech is units alone, {n_units} of them, in `arrays/units`; there is no audio and no duration."
    card = data_card(
        title="Released instruction data", source="release", url=url, licence=licence, tasks=sorted(tasks),
        counts={SPLIT: counts}, kept_rule=rule, speech=False,
    )  # fmt: skip
    write_text(out / "README.md", card)
    state.write_state(out, {"settings": settings, "counts": {SPLIT: counts.plain()}})
    shutil.rmtree(journal.parent)
    echo(state.summary({SPLIT: counts}, out))
    return {SPLIT: counts}


def _files(source: Path) -> list[Path]:
    if source.is_dir():
        files = sorted(p for p in source.rglob("*") if p.suffix in (".json", ".jsonl") and p.is_file())
        if not files:
            raise MostError("source", source, "holds no .json and no .jsonl")
        return files
    if not source.is_file():
        raise MostError("source", source, "no such file or folder; give .json or .jsonl of the released format")
    return [source]


def _members(path: Path) -> Iterator[Any]:
    return (row for _, row in read_jsonl(path)) if path.suffix == ".jsonl" else _read_array(path)


def _parse(value: str, n_units: int) -> str | np.ndarray | None:
    """Text as it is, a string of units as integers (R,), None where there is nothing."""
    value = value.strip()
    if not value:
        return None
    require_unicode(value)
    if "[Hu" not in value:
        return value
    if not _UNITS.fullmatch(value):
        raise Rejected("unreadable units", "is neither text nor [Hu..] throughout")
    units = np.array(re.findall(r"\d+", value), dtype=np.int64)
    if units.max() >= n_units:
        raise Rejected("unit out of range", f"has unit {units.max()}, the last is {n_units - 1}")
    return units.astype(np.int16 if n_units - 1 <= np.iinfo(np.int16).max else np.int32)


def _read_array(path: Path) -> Iterator[Any]:
    """The members of a JSON list, a few at a time: the released scripts write one list of many gigabytes."""
    decoder = json.JSONDecoder()
    with open_text(path) as f:
        held = f.read(_CHUNK_CHARS).lstrip()
        if held.startswith("{"):
            try:
                whole = json.loads(held + f.read())
            except ValueError as e:
                raise MostError("source", path, f"is not JSON ({e}); name JSON lines .jsonl") from e
            yield from whole.get("data", [whole])
            return
        if not held.startswith("["):
            raise MostError("source", path, "is neither a JSON list nor an object")
        at = 1
        while True:
            while at < len(held) and held[at] in " \t\r\n,":
                at += 1
            try:
                member, at = decoder.raw_decode(held, at)
            except ValueError as e:
                if held.startswith("]", at):
                    return
                held, at = held[at:], 0
                if not (more := f.read(max(_CHUNK_CHARS, len(held)))):
                    raise MostError("source", path, f"ends inside its list, or is not JSON ({e})") from e
                held += more
                continue
            yield member

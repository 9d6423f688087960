"""Interruptions for a whole file: several at once, each in a journal as it is done, so that no answer is paid twice."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from tqdm import tqdm

from most.data.dialogue.collected import Collected, Rejection, write_collected
from most.data.dialogue.dialogue import Dialogue, dialogue_from_row, dialogue_row, read_dialogues
from most.data.dialogue.interruptions.base import InterruptionWriter
from most.data.dialogue.interruptions.validate import faults
from most.errors import MostError

_Answer = Future[dict[str, Any]]
FORMAT = 1
_IN_FLIGHT = 4
"""Dialogues waiting for each request that runs: enough to keep them busy, few enough to stream."""


def interrupt_file(
    source: str | os.PathLike[str], out: str | os.PathLike[str], writer: InterruptionWriter, *, seed: int = 0
) -> Collected:
    """Write `out`: the dialogues of `source` with one interruption each, in their order.

    A journal beside `out` holds every result as it comes; the same command goes on from it, and dialogues that
    changed since are done again. What the writer rejects, and what fails validation, is listed beside `out`.

    Raises:
        MostError: a journal of other settings, or a writer that cannot work at all (the journal keeps what was done).
    """
    source, out = Path(source), Path(out)
    if out.resolve() == source.resolve():
        raise MostError("out", out, "is the source; choose another file")
    journal = out.with_name(f"{out.stem}.journal.jsonl")
    out.parent.mkdir(parents=True, exist_ok=True)
    head = {"format": FORMAT, "writer": writer.name, "seed": seed, **writer.settings()}
    done = _open_journal(journal, head)
    with journal.open("a", encoding="utf-8") as f, ThreadPoolExecutor(writer.parallel) as pool:
        waiting: set[_Answer] = set()
        try:
            for dialogue in tqdm(read_dialogues(source), unit="dialogue", desc="interrupt", disable=None):
                key = _key(dialogue)
                if done.get(dialogue.id) == key:
                    continue
                waiting.add(pool.submit(_one, dialogue, key, writer, seed))
                if len(waiting) >= _IN_FLIGHT * writer.parallel:
                    _record(waiting, f)
            while waiting:
                _record(waiting, f)
        except BaseException:
            for future in waiting:
                future.cancel()
            for future in waiting:  # what was asked for already is kept
                if not future.cancelled() and future.exception() is None:
                    _write_line(f, future.result())
            raise
    return _finish(source, out, journal)


def _one(dialogue: Dialogue, key: str, writer: InterruptionWriter, seed: int) -> dict[str, Any]:
    digest = hashlib.sha256(dialogue.id.encode()).digest()
    rng = np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])
    result = writer.write(dialogue, rng)
    row: dict[str, Any] = {"id": dialogue.id, "key": key}
    if isinstance(result, Rejection):
        return row | {"reasons": list(result.reasons)}
    if found := faults(dialogue, result):
        return row | {"reasons": found}
    return row | {"dialogue": dialogue_row(result)}


def _key(dialogue: Dialogue) -> str:
    return hashlib.blake2b(json.dumps(dialogue_row(dialogue), sort_keys=True).encode(), digest_size=8).hexdigest()


def _record(waiting: set[_Answer], f: TextIO) -> None:
    """Write what is ready down and take it out of `waiting`; raises what one of them raised, the others written."""
    ready = wait(waiting, return_when=FIRST_COMPLETED).done
    waiting -= ready
    failed = None
    for future in ready:
        if future.exception() is None:
            _write_line(f, future.result())
        else:
            failed = future.exception()
    if failed is not None:
        raise failed


def _write_line(f: TextIO, row: dict[str, Any]) -> None:
    f.write(json.dumps(row, ensure_ascii=False) + "\n")
    f.flush()


def _open_journal(path: Path, head: dict[str, Any]) -> dict[str, str]:
    """Ids that are done, with the key of what they were made from; begins the journal, or mends a torn last line."""
    begins = (json.dumps(head) + "\n").encode()
    if not path.is_file() or (path.stat().st_size < len(begins) and begins.startswith(path.read_bytes())):
        path.write_bytes(begins)  # also over a head that a kill tore
        return {}
    done: dict[str, str] = {}
    with path.open("rb") as f:
        line = f.readline()
        row = _whole(line)
        if row is None or "writer" not in row:
            raise MostError("journal", path, "does not begin as a journal; remove it or choose another --out")
        if row != head:
            changed = sorted(k for k in row.keys() | head.keys() if row.get(k) != head.get(k))
            raise MostError(
                "journal", path, f"was begun with another {', '.join(changed)}; remove it or choose another --out"
            )
        n_whole = len(line)
        for line in f:
            row = _whole(line)
            if row is None:
                break
            n_whole += len(line)
            done[row["id"]] = row["key"]
    os.truncate(path, n_whole)
    return done


def _whole(line: bytes) -> dict[str, Any] | None:
    """A line of the journal; `None` if the run was killed while it wrote it."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and line.endswith(b"\n") else None


def _finish(source: Path, out: Path, journal: Path) -> Collected:
    """Put results in the order of the source; of two lines for one id the later holds."""
    at: dict[str, int] = {}
    with journal.open("rb") as f:
        f.readline()
        place = f.tell()
        while line := f.readline():
            at[json.loads(line)["id"]] = place
            place = f.tell()

        def results() -> Iterator[Dialogue | Rejection]:
            for dialogue in read_dialogues(source):
                f.seek(at[dialogue.id])
                row = json.loads(f.readline())
                if "dialogue" in row:
                    yield dialogue_from_row(row["dialogue"])
                else:
                    yield Rejection(id=row["id"], reasons=tuple(row["reasons"]))

        return write_collected(out, results())

"""From checked items to the files of a prepared set: example and utterance manifests, lhotse cuts, what was rejected.

Cuts are written as JSON, not through lhotse, so that the same input gives the same bytes under every version of it; a
test reads them back with lhotse and finds its own serialisation.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from most.data.corpora.check import Record
from most.data.prompts import prompt
from most.manifest import AudioRef, Example, Turn, Utterance, write_jsonl

TEST_PREFIXES = ("dev", "test", "valid", "eval")
PSEUDO_LABEL = "pseudo_label"
"""The key of `meta` that names the recogniser which wrote a transcript."""


def examples(
    records: Iterable[Record], out: Path, tasks: Sequence[str], split: str, source: str, licence: str
) -> Iterator[Example]:
    """Examples of the kept items, the tasks of an item side by side.

    Wordings are drawn by the item's id; splits to measure on use the canonical one. A record may name the only `tasks`
    it serves, what prompts call its voice (`called`), and further `meta`.
    """
    varied = not split.startswith(TEST_PREFIXES)
    for record in records:
        text, meta = record["text"], {"seconds": record.get("seconds"), **record.get("meta", {})}
        for task in record.get("tasks", tasks):
            if task not in tasks:
                continue
            name = f"{task}-{record['id']}"
            rng = np.random.default_rng(_seed(name)) if varied and task != "text" else None
            if task == "text":
                turns, meta = (Turn(role="document", text=text),), {}
            elif task == "asr":
                heard = Turn(
                    role="user", text=prompt("asr", rng=rng), audio=ref_of(record, out), speaker=record["speaker"]
                )
                turns = (heard, Turn(role="assistant", text=text))
            else:
                said = Turn(role="assistant", audio=ref_of(record, out), speaker=record["speaker"])
                asked = Turn(role="user", text=prompt("tts", text, rng, record.get("called", "")))
                turns, meta = (asked, said), {**meta, "text": text}
            yield Example(id=name, task=task, turns=turns, source=source, licence=licence, meta=meta)  # type: ignore[arg-type]


def _seed(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())


def ref_of(record: Record, out: Path) -> AudioRef:
    return AudioRef(path=out / record["audio"], start=record.get("start", 0.0), duration=record.get("duration"))


def utterances(records: Iterable[Record], out: Path) -> Iterator[Utterance]:
    """The clean ones: codecs and units are learnt from them. A pseudo-label is left out, for nothing here marks it."""
    for record in (r for r in records if "augmentation" not in r):
        text = None if PSEUDO_LABEL in record.get("meta", {}) else record["text"]
        yield Utterance(id=record["id"], audio=ref_of(record, out), speaker=record["speaker"], text=text)


def cut_of(record: Record) -> dict[str, Any]:
    """A lhotse MonoCut (MultiCut where the file has several channels) with one supervision, as JSON."""
    channels = list(range(record.get("channels", 1)))
    recording = record.get("recording", record["id"])
    total = record["frames"] / record["rate"]
    start = record.get("start", 0.0)
    duration = total if "start" not in record else min(record["seconds"], total - start)
    channel: int | list[int] = channels if len(channels) > 1 else 0
    supervision = {
        "id": record["id"], "recording_id": recording, "start": 0.0, "duration": duration, "channel": channel,
        "text": record["text"],
    }  # fmt: skip
    supervision |= {"speaker": record["speaker"]} if record["speaker"] else {}
    supervision |= {"custom": record["meta"]} if "meta" in record else {}
    return {
        "id": record["id"], "start": start, "duration": duration, "channel": channel, "supervisions": [supervision],
        "recording": {
            "id": recording, "sources": [{"type": "file", "channels": channels, "source": record["audio"]}],
            "sampling_rate": record["rate"], "num_samples": record["frames"], "duration": total,
            "channel_ids": channels,
        },
        "type": "MultiCut" if len(channels) > 1 else "MonoCut",
    }  # fmt: skip


def write_cuts(path: Path, records: Iterable[Record]) -> None:
    """Write a CutSet, whole or not at all; no time and no name in the gzip header."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as f, gzip.GzipFile(filename="", mode="wb", fileobj=f, mtime=0) as packed:
        for record in records:
            packed.write(json.dumps(cut_of(record), ensure_ascii=False).encode() + b"\n")
    os.replace(part, path)


def write_split(
    out: Path, split: str, kept: Callable[[], Iterable[Record]], tasks: Sequence[str], source: str, licence: str, *,
    speech: bool,
) -> None:  # fmt: skip
    """Write a split's manifests, each whole or not at all: examples, and of speech utterances and cuts.

    Args:
        kept: iterates the kept items, anew at each call.
    """
    write_jsonl(out / f"{split}.jsonl", examples(kept(), out, tasks, split, source, licence))
    if speech:
        write_jsonl(out / f"utterances_{split}.jsonl", utterances(kept(), out))
        write_cuts(out / f"cuts_{split}.jsonl.gz", kept())


def write_rejected(path: Path, records: Iterable[Record]) -> None:
    """Write what was left out, whole or not at all; ASCII, for a name may be no Unicode."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="ascii") as f:
        for record in records:
            row = {k: record.get(k) for k in ("id", "split", "audio", "reason", "detail")}
            f.write(json.dumps(row) + "\n")
    os.replace(part, path)

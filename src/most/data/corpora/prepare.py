"""`most data prepare`: a corpus becomes a set that training, `datasets` and lhotse read, with a card of what it holds.

Two steps. First every item is checked and written to a journal, in order; an interrupted run goes on behind it. Then
the files are written from the journals, each whole or not at all, the card last. The same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from most.data.corpora import state, write
from most.data.corpora.base import Corpus, Item
from most.data.corpora.card import SplitCounts, data_card
from most.data.corpora.check import Limits, Record, check, fingerprint
from most.data.corpora.journal import Journal
from most.data.corpora.table import open_corpus
from most.errors import MostError, nearest
from most.files import write_text
from most.settings import to_plain

FORMAT = 1
SPEECH_TASKS = ("asr", "tts")
_EARLY_ITEMS = 1000
_WINDOW_PER_WORKER = 16


def prepare(
    name: str,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    options: Mapping[str, Any] | None = None,
    splits: Sequence[str] | None = None,
    tasks: Sequence[str] = SPEECH_TASKS,
    limits: Limits | None = None,
    max_rejected: float = 0.02,
    workers: int | None = None,
    echo: Callable[[str], Any] = print,
    progress: bool = True,
) -> dict[str, SplitCounts]:
    """Prepare a corpus into the folder `out`; a folder that holds the result of these same arguments stays as it is.

    Args:
        name: a corpus of `table.CORPORA`.
        source: where it lies, or a hub name for those of the hub.
        options: the corpus' own fields, such as `audio_root`.
        splits: those to prepare; all that are there (of Common Voice: train, dev, test) when left out.
        tasks: of a speech corpus, `asr`, `tts` or both.
        max_rejected: share of all items that may be rejected.
        workers: threads that open files; 8, or 4 a core where that is fewer, when left out.

    Returns:
        Split -> what it holds and what was left out.

    Raises:
        MostError: an unknown corpus, split or option, a source of another layout, a folder that holds something else,
            a source that changed between two runs, or more than `max_rejected` rejected.
    """
    # Resolved, for `..` in a path relative to a symbolic link leads elsewhere.
    out, limits = Path(out).resolve(), limits or Limits()
    if not 0 <= max_rejected <= 1:
        raise MostError("--max-rejected", max_rejected, "is a share: it must lie between 0 and 1")
    corpus = open_corpus(name, Path(source), out, options)
    chosen = _choose_splits(corpus, splits)
    chosen_tasks = ["text"] if corpus.text_only else _choose_tasks(tasks)
    settings = {
        "format": FORMAT, "corpus": name, "options": _plain_options(corpus, out), "splits": list(chosen),
        "tasks": chosen_tasks, "limits": to_plain(limits),
    }  # fmt: skip
    journals = {s: Journal(out / ".journal" / f"{s}.jsonl") for s in chosen}
    if state.is_complete(out, settings):
        echo(f"{out} holds this set already; nothing to do")
        shutil.rmtree(out / ".journal", ignore_errors=True)
        return state.finished_counts(out)
    echo(f"reads {corpus.title}, {', '.join(chosen)}, from {source}; writes {out}")
    state.write_state(out, {"settings": settings})

    workers = workers if workers is not None else min(8, 4 * (os.cpu_count() or 1))
    for split, journal in journals.items():
        if not journal.complete:
            _check_split(corpus, split, journal, out, limits, max_rejected, max(1, workers), progress)
    counts = {split: SplitCounts.of(journal.records()) for split, journal in journals.items()}
    state.refuse_too_many(counts, max_rejected, out)
    _write_set(corpus, name, journals, counts, chosen_tasks, limits, out)
    state.write_state(out, {"settings": settings, "counts": {s: c.plain() for s, c in counts.items()}})
    shutil.rmtree(out / ".journal")
    echo(state.summary(counts, out))
    return counts


def _choose_splits(corpus: Corpus, wanted: Sequence[str] | None) -> tuple[str, ...]:
    there = corpus.splits()
    for split in there:
        if not re.fullmatch(r"\w[\w.-]*", split) or split == "rejected":
            raise MostError("split", split, "cannot name a file; use letters, digits, '.', '_' and '-'")
    if not wanted:
        return there
    known = getattr(corpus, "all_splits", corpus.splits)()
    for split in wanted:
        if split not in known:
            raise MostError("--split", split, f"is not there; {nearest(split, known)}")
    return tuple(s for s in known if s in wanted)


def _choose_tasks(tasks: Sequence[str]) -> list[str]:
    for task in tasks:
        if task not in SPEECH_TASKS:
            raise MostError("--tasks", task, nearest(task, SPEECH_TASKS))
    if not tasks:
        raise MostError("--tasks", tasks, "name at least one of asr, tts")
    return [t for t in SPEECH_TASKS if t in tasks]


def _plain_options(corpus: Corpus, out: Path) -> dict[str, Any]:
    """A corpus' fields; paths that exist relative to the set, so that moving both together changes nothing."""
    assert is_dataclass(corpus)
    plain = {}
    for f in fields(corpus):
        value = getattr(corpus, f.name)
        if isinstance(value, Path):
            value = Path(os.path.relpath(value, out)).as_posix() if value.exists() else str(value)
        if f.name != "out":
            plain[f.name] = value
    return plain


def _check_split(
    corpus: Corpus, split: str, journal: Journal, out: Path, limits: Limits, max_rejected: float, workers: int,
    progress: bool,
) -> None:  # fmt: skip
    items = iter(corpus.items(split))
    seen: set[int] = set()
    counts = SplitCounts()
    with journal.writer() as writer, tqdm(desc=split, unit="item", disable=not progress) as bar:

        def note(record: Record) -> None:
            counts.add(record)
            bar.update()
            if counts.items == _EARLY_ITEMS and counts.rejected.total() > max(max_rejected, 0.5) * _EARLY_ITEMS:
                state.refuse_too_many({split: counts}, max_rejected, out, early=True)

        for record in journal.records():
            item = next(items, None)
            if item is None or fingerprint(item) != record["key"]:
                raise MostError(
                    "source", record["id"], f"is no longer what {split} held here; use a new folder for a new source"
                )
            seen.add(_short(item.id))
            note(record)

        def tasks() -> Iterator[tuple[Item, bool]]:
            for item in items:
                short = _short(item.id)
                yield item, short in seen
                seen.add(short)

        for record in _in_order(tasks(), lambda t: check(t[0], out, limits, seen=t[1]), workers):
            writer.write(record)
            note(record)
        writer.end(counts.items)


def _short(name: str) -> int:
    """64 bits of an id: millions of them are held at once."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def _in_order(tasks: Iterable[Any], work: Callable[[Any], Record], workers: int) -> Iterator[Record]:
    """`map` over threads that looks a bounded number of items ahead."""
    pool = ThreadPoolExecutor(workers)
    ahead: deque[Future[Record]] = deque()
    todo = iter(tasks)
    try:
        for task in itertools.islice(todo, workers * _WINDOW_PER_WORKER):
            ahead.append(pool.submit(work, task))
        while ahead:
            record = ahead.popleft().result()
            for task in itertools.islice(todo, 1):
                ahead.append(pool.submit(work, task))
            yield record
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _write_set(
    corpus: Corpus, name: str, journals: Mapping[str, Journal], counts: Mapping[str, SplitCounts],
    tasks: Sequence[str], limits: Limits, out: Path,
) -> None:  # fmt: skip
    for split, journal in journals.items():
        if not counts[split].kept:
            continue

        def kept(journal: Journal = journal) -> Iterator[Record]:
            return (r for r in journal.records() if "reason" not in r)

        speech = not corpus.text_only
        write.write_split(out, split, kept, tasks, name, corpus.licence, speech=speech)
    rejected = ({"split": s} | r for s, j in journals.items() for r in j.records() if "reason" in r)
    write.write_rejected(out / "rejected.jsonl", rejected)
    card = data_card(
        title=corpus.title, source=name, url=corpus.url, licence=corpus.licence, tasks=tasks, counts=dict(counts),
        kept_rule=limits.sentence(speech=not corpus.text_only), speech=not corpus.text_only,
    )  # fmt: skip
    write_text(out / "README.md", card)

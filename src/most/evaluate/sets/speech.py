"""Recordings with transcripts, for recognition and for synthesis: published corpora as unpacked, and our manifests.

Layouts are read by the readers of `most.data.corpora`, which name their sources. Nothing is left out in silence: an
item without transcript, or a row that cannot be read, is an error here, for it would change the denominator.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from most.data.corpora.base import Item
from most.data.corpora.table import open_corpus
from most.data.prompts import TTS_PROMPTS
from most.errors import MostError, nearest
from most.evaluate.sets.base import SetInfo, SetSettings, manifest_info
from most.manifest import AudioRef, Example, Utterance, json_rows, read_examples, read_utterances

TEST_SPLIT = {"librispeech": "test-clean", "voxpopuli": "test", "commonvoice": "test", "hf": "test"}
"""The corpora read here, and the split where none is named."""
KINDS = ("manifest", *TEST_SPLIT)


@dataclass(frozen=True, kw_only=True)
class SpeechItem:
    """A recording and what is said in it; a text to be said may come without recording."""

    id: str
    text: str
    audio: AudioRef | None
    speaker: str = ""


@dataclass(frozen=True, kw_only=True)
class SpeechSet:
    info: SetInfo
    items: tuple[SpeechItem, ...]


def load_speech(settings: SetSettings, *, task: Literal["asr", "tts"], limit: int | None = None) -> SpeechSet:
    """The first `limit` items of a set, in its own order.

    Kinds:
        manifest: utterances, or examples; of examples those of `task`, turned round where there are only the other's.
        librispeech, voxpopuli, commonvoice, hf: options are `split` and those of the corpus (`most data prepare`);
            `hf` also takes `out`, a folder for audio that a dataset carries inline.

    Raises:
        MostError: an unknown kind or option, a set that is not there, or an item of no use; names it.
    """
    if settings.kind not in KINDS:
        raise MostError("set.kind", settings.kind, nearest(settings.kind, KINDS))
    info, items = _manifest(settings, task) if settings.kind == "manifest" else _corpus(settings)
    first = tuple(itertools.islice(items, limit))
    if not first:
        raise MostError("set", settings.path, f"holds nothing to use for {task}")
    for item in first:
        if task == "asr" and item.audio is None:
            raise MostError("set", f"{settings.path}: {item.id}", "has no audio to transcribe")
    return SpeechSet(info=info, items=first)


def _manifest(settings: SetSettings, task: str) -> tuple[SetInfo, Iterator[SpeechItem]]:
    path = settings.folder
    if settings.options:
        raise MostError(
            "set.options", sorted(settings.options)[0], "a manifest takes no options; name one split's file"
        )
    if not path.is_file():
        raise MostError("set.path", path, "no such file; give a manifest (JSONL)")
    _, head = next(json_rows(path, "set"), (0, {}))
    rows = read_examples(path) if "turns" in head else read_utterances(path)
    info = manifest_info(path, rows)
    examples = [r for r in rows if isinstance(r, Example)]
    if not examples:
        return info, (_of_utterance(r, path) for r in rows if isinstance(r, Utterance))
    own = [e for e in examples if e.task == task] or [e for e in examples if e.task in ("asr", "tts")]
    return info, (_of_example(e, path) for e in own)


def _of_utterance(row: Utterance, path: Path) -> SpeechItem:
    if row.text is None:
        raise MostError("set", f"{path}: {row.id}", "has no transcript")
    return SpeechItem(id=row.id, text=row.text, audio=row.audio, speaker=row.speaker)


def _of_example(example: Example, path: Path) -> SpeechItem:
    heard, said = next(((t, u) for t, u in itertools.pairwise(example.turns) if u.role == "assistant"), (None, None))
    if heard is None or said is None:
        raise MostError("set", f"{path}: {example.id}", "has no user turn with an answer")
    if example.task == "asr":
        text, audio, speaker = said.text, heard.audio, heard.speaker
    else:
        text, audio, speaker = example.meta.get("text") or _spoken_part(heard.text or ""), said.audio, said.speaker
    if text is None:
        raise MostError("set", f"{path}: {example.id}", "does not say which words are spoken; give meta.text")
    return SpeechItem(id=example.id, text=text, audio=audio, speaker=speaker)


def _spoken_part(instruction: str) -> str | None:
    """What one of our instructions asks to say."""
    for wording in TTS_PROMPTS:
        before, after = wording.split("{text}")
        if instruction.startswith(before) and instruction.endswith(after):
            return instruction[len(before) : len(instruction) - len(after)]
    return None


def _corpus(settings: SetSettings) -> tuple[SetInfo, Iterator[SpeechItem]]:
    options: dict[str, Any] = dict(settings.options)
    split = str(options.pop("split", TEST_SPLIT[settings.kind]))
    out = Path(options.pop("out")) if "out" in options else None
    corpus = open_corpus(settings.kind, settings.folder, out or settings.folder, options)
    known = getattr(corpus, "all_splits", corpus.splits)()
    if split not in known:
        raise MostError("set.options.split", split, f"{settings.path} does not hold it; {nearest(split, known)}")
    title = f"{corpus.title} {split}" if settings.kind != "hf" else f"{settings.path} {split}"
    info = SetInfo(name=title, source=corpus.url or settings.path, licence=corpus.licence)
    return info, (_of_item(item, settings, out) for item in corpus.items(split))


def _of_item(item: Item, settings: SetSettings, out: Path | None) -> SpeechItem:
    where = f"{settings.path}: {item.id}"
    if item.problem is not None:
        raise MostError("set", where, f"cannot be used ({': '.join(item.problem)}); mend it, every item counts")
    if item.audio is None or item.text is None:
        raise MostError("set", where, "has no transcript or no audio; mend it, every item counts")
    if item.content is not None:
        if out is None:
            raise MostError("set.options.out", None, f"{where} carries its audio inline; name a folder to write it to")
        if not item.audio.path.is_file():
            item.audio.path.parent.mkdir(parents=True, exist_ok=True)
            item.audio.path.write_bytes(item.content)
    return SpeechItem(id=item.id, text=item.text, audio=item.audio, speaker=item.speaker)

"""Is an item fit to train on? Opens the audio's header and its last samples, or decodes all of it; never changes it.

The answer is a plain record, so that it can be written down once and read back: everything a manifest needs, or the
reason why the item is left out.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile

from most.data.corpora.base import NO_TRANSCRIPT, Item
from most.errors import MostError
from most.manifest import AudioRef
from most.speech.audio import read_audio, require_sound

Record = dict[str, Any]

MISSING, EMPTY, UNREADABLE, DAMAGED = "missing", "empty audio", "unreadable", "damaged"
OUTSIDE, TOO_LONG, TOO_SHORT, SILENT = "outside the file", "too long", "too short", "silent"
NO_WORDS, NOT_UNICODE = "empty transcript", "not unicode"
TAIL_SECONDS = 0.1
SLACK_SECONDS = 0.05
"""How far a stretch may reach past its file's end, as in `read_audio`: manifests round."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is kept.

    Args:
        min_seconds: shortest utterance.
        max_seconds: longest utterance.
        max_chars: longest document of a text corpus.
        decode: decode every file whole instead of opening its header and end; silence is rejected too.
        lower_case: turn transcripts to lower case.
    """

    min_seconds: float = 0.2
    max_seconds: float = 40.0
    max_chars: int = 100_000
    decode: bool = False
    lower_case: bool = False

    def sentence(self, *, speech: bool) -> str:
        """What was kept, for the card."""
        if not speech:
            return f"Kept: documents of 1 to {self.max_chars} characters."
        depth = "the whole file decodes and is not silent" if self.decode else "header and last samples can be read"
        lower = " Transcripts were turned to lower case." if self.lower_case else ""
        bounds = f"{self.min_seconds:g} to {self.max_seconds:g} s"
        return f"Kept: recordings of {bounds} whose {depth}, with a transcript that has a letter or digit.{lower}"

    def __post_init__(self) -> None:
        if not 0 < self.min_seconds < self.max_seconds:
            raise MostError("min_seconds", self.min_seconds, f"must lie between 0 and max_seconds, {self.max_seconds}")
        if self.max_chars < 1:
            raise MostError("max_chars", self.max_chars, "must be at least 1")


class Rejected(Exception):
    """An item that is left out: (reason, detail)."""


def fingerprint(item: Item) -> str:
    """What tells whether an item is the one that was checked before; file contents are not looked at."""
    ref = item.audio
    parts = (item.id, ref and (os.fspath(ref.path), ref.start, ref.duration), item.text, item.speaker, item.problem)
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def check(item: Item, out: Path, limits: Limits, *, seen: bool = False) -> Record:
    """Check one item.

    Args:
        out: the prepared set's folder, which paths are noted relative to.
        seen: an earlier item had this id.

    Returns:
        `key`, `id`, `audio` and either `reason` and `detail`, or what `write.py` needs.
    """
    record: Record = {"key": fingerprint(item), "id": item.id}
    if item.audio is not None:
        record["audio"] = Path(os.path.relpath(item.audio.path, out)).as_posix()
    try:
        if item.problem is not None:
            raise Rejected(*item.problem)
        if seen:
            raise Rejected("duplicate id", "an earlier item of the split has this id")
        for part in (item.id, record.get("audio", ""), item.speaker, item.text or ""):
            require_unicode(part)
        if item.audio is None:
            return record | {"text": _document(item.text, limits)}
        text = _transcript(item.text, limits)
        if item.content is not None:
            _write_once(item.audio.path, item.content)
        return record | {"text": text, "speaker": item.speaker} | _audio(item, limits)
    except Rejected as e:
        return record | {"reason": e.args[0], "detail": e.args[1]}


def require_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Rejected(NOT_UNICODE, "holds bytes or code points that are not UTF-8") from None


def _transcript(text: str | None, limits: Limits) -> str:
    if text is None:
        raise Rejected(NO_TRANSCRIPT, "has no text")
    text = " ".join(text.split())
    if not any(c.isalnum() for c in text):
        raise Rejected(NO_WORDS, "holds no letter or digit")
    return text.lower() if limits.lower_case else text


def _document(text: str | None, limits: Limits) -> str:
    text = (text or "").strip()
    if not text:
        raise Rejected("empty", "holds no text")
    if len(text) > limits.max_chars:
        raise Rejected(TOO_LONG, f"has {len(text)} characters, over {limits.max_chars}")
    return text


def _write_once(path: Path, content: bytes) -> None:
    if path.is_file() and path.stat().st_size == len(content):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)


def _audio(item: Item, limits: Limits) -> Record:
    ref = item.audio
    assert ref is not None
    try:
        size = ref.path.stat().st_size if ref.path.is_file() else None
    except OSError as e:
        raise Rejected(UNREADABLE, e.strerror or str(e)) from e
    if size is None:
        raise Rejected(MISSING, "is a folder" if ref.path.is_dir() else "no such file")
    if size == 0:
        raise Rejected(EMPTY, "the file has 0 bytes")
    try:
        info = soundfile.info(str(ref.path))
    except soundfile.LibsndfileError as e:
        raise Rejected(UNREADABLE, e.error_string.strip()) from e
    if info.frames <= 0:
        raise Rejected(EMPTY, "the file holds no samples")
    total = info.frames / info.samplerate
    if ref.start >= total or (ref.duration is not None and ref.start + ref.duration > total + SLACK_SECONDS):
        end = "its end" if ref.duration is None else f"{ref.start + ref.duration:.3f} s"
        raise Rejected(OUTSIDE, f"runs from {ref.start:.3f} s to {end}, the file lasts {total:.3f} s")
    seconds = min(total - ref.start, total if ref.duration is None else ref.duration)
    if seconds > limits.max_seconds:
        raise Rejected(TOO_LONG, f"lasts {seconds:.2f} s, over {limits.max_seconds:g} s")
    if seconds < limits.min_seconds:
        raise Rejected(TOO_SHORT, f"lasts {seconds:.3f} s, under {limits.min_seconds:g} s")
    _decode(ref, seconds, info.samplerate, whole=limits.decode)
    record: Record = {"seconds": round(seconds, 6), "rate": info.samplerate, "frames": info.frames}
    record |= {"channels": info.channels} if info.channels > 1 else {}
    if ref.start or ref.duration is not None:
        record |= {"start": ref.start, "duration": ref.duration, "recording": item.recording or item.id}
    return record


def _decode(ref: AudioRef, seconds: float, rate: int, *, whole: bool) -> None:
    """A header can promise what a cut file no longer holds; so the last samples are read, or all."""
    if not whole:
        tail = min(TAIL_SECONDS, seconds)
        # Ends a little early: `seconds` is exact, a seek to it need not be.
        ref = AudioRef(path=ref.path, start=max(0.0, ref.start + seconds - tail), duration=tail)
    try:
        wav = read_audio(ref, rate, max_seconds=None)
    except MostError as e:
        raise Rejected(DAMAGED, e.remedy) from e
    except RuntimeError as e:  # soundfile, when a seek fails
        raise Rejected(DAMAGED, str(e)) from e
    if whole:
        try:
            require_sound(wav, "")
        except MostError as e:
            raise Rejected(SILENT, "every sample is zero") from e

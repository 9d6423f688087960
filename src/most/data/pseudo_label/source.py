"""The recordings of a folder or of an utterance manifest, and who speaks in them; no audio is opened."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import soundfile

from most.data.corpora.base import AUDIO_SUFFIXES
from most.errors import MostError
from most.manifest import AudioRef, read_utterances

_PROBES = 100


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A recording to be heard.

    Args:
        id: its path below the source without suffix, or what the manifest calls it.
        seen: an earlier one has this id.
    """

    id: str
    audio: AudioRef
    speaker: str = ""
    seen: bool = False

    @property
    def n_bytes(self) -> int:
        return self.audio.path.stat().st_size if self.audio.path.is_file() else 0


def read_recordings(source: Path, speaker: str = "", limit: int | None = None, speakers: str = "") -> list[Recording]:
    """Every recording in the order of the paths, or of the manifest.

    Args:
        speaker, speakers: regular expressions, as in the recipe.

    Raises:
        MostError: no such source, no recording in it or none by such speakers, or a manifest that holds transcripts.
    """
    found = _of_folder(source) if source.is_dir() else _of_manifest(source)
    who, ids, out = re.compile(speaker), set[str](), list[Recording]()
    for name, path_name, audio, known in found:
        match = who.search(path_name) if speaker and not known else None
        heard = (match[1] if match.re.groups else match[0]) or "" if match else known
        if speakers and not re.search(speakers, heard):
            continue
        out.append(Recording(id=name, audio=audio, speaker=heard, seen=name in ids))
        ids.add(name)
        if len(out) == limit:
            break
    if not out:
        raise MostError("speakers", speakers, f"matches no speaker of the {len(found)} recordings in {source}")
    return out


def _of_folder(source: Path) -> list[tuple[str, str, AudioRef, str]]:
    files = sorted(p for p in source.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES and p.is_file())
    if not files:
        raise MostError("source", source, f"holds no file that ends in {', '.join(AUDIO_SUFFIXES)}")
    names = [p.relative_to(source).with_suffix("").as_posix() for p in files]
    return [(name, name, AudioRef(path=path), "") for name, path in zip(names, files, strict=True)]


def _of_manifest(source: Path) -> list[tuple[str, str, AudioRef, str]]:
    if source.suffix != ".jsonl":
        raise MostError("source", source, "no such folder, nor a manifest (.jsonl); give a folder of audio files")
    rows = read_utterances(source)
    for row in rows:
        if row.text is not None:
            raise MostError(
                "source", f"{source}: {row.id}", "has a transcript, and a person's is better; "
                "leave it out here, or use it with `most data prepare generic`",
            )  # fmt: skip
    return [(u.id, _below(u.audio.path, source.parent), u.audio, u.speaker) for u in rows]


def _below(path: Path, folder: Path) -> str:
    path = path.relative_to(folder) if path.is_relative_to(folder) else path
    return path.with_suffix("").as_posix()


def roughly(recordings: list[Recording]) -> tuple[float, float]:
    """Seconds of all recordings and of a mean one, by the headers of up to a hundred; (0, 0) where none can be read."""
    known = []
    for recording in recordings[:: -(-len(recordings) // _PROBES)]:
        try:
            total = soundfile.info(str(recording.audio.path)).duration
        except (soundfile.LibsndfileError, OSError):
            continue
        known.append(min(recording.audio.duration or total, total))
    mean = sum(known) / len(known) if known else 0.0
    return mean * len(recordings), mean

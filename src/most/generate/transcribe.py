"""Files of any length as text: what is longer than a piece is cut where it is quiet, heard piece by piece, and joined.

Pieces of many files share a batch; only a batch of waveforms is in memory at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from most.errors import MostError
from most.generate.engine import Engine
from most.manifest import AudioRef
from most.speech.audio import SILENCE_PEAK, audio_seconds, read_audio, require_sound
from most.speech.cut import Cuts, Levels, cut, frame_levels, wave_levels

PIECE_SECONDS = 8.0
"""The longest speech that the shipped model learned from."""
_SHORTEST_PIECE_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """What was heard of one file, or why it was not (`error`).

    Args:
        n_pieces: that it was heard in; of these `n_silent` hold no sound and were left out.
        cut_in_speech: cuts that found no pause, so that a word may be lost there.
    """

    file: Path
    text: str = ""
    seconds: float = 0.0
    n_pieces: int = 1
    n_silent: int = 0
    cut_in_speech: int = 0
    error: MostError | None = None


@dataclass
class _File:
    path: Path
    seconds: float = 0.0
    pieces: list[AudioRef] = field(default_factory=list)
    cut_in_speech: int = 0
    texts: dict[int, str] = field(default_factory=dict)
    n_silent: int = 0
    error: MostError | None = None

    @property
    def done(self) -> bool:
        return self.error is not None or len(self.texts) + self.n_silent == len(self.pieces)

    def transcript(self) -> Transcript:
        if self.error is not None:
            return Transcript(file=self.path, error=self.error)
        text = " ".join(t for _, t in sorted(self.texts.items()) if t)
        return Transcript(
            file=self.path, text=text, seconds=self.seconds, n_pieces=len(self.pieces), n_silent=self.n_silent,
            cut_in_speech=self.cut_in_speech,
        )  # fmt: skip


def transcribe_files(
    engine: Engine, files: Iterable[str | Path], *, max_piece_seconds: float = PIECE_SECONDS, batch_size: int = 8
) -> Iterator[Transcript]:
    """The transcript of each file in order; a file that cannot be read never stops the rest.

    Raises:
        MostError: `max_piece_seconds` or `batch_size` that cannot be.
    """
    longest = engine.processor.max_audio_seconds
    if not 0 < max_piece_seconds <= longest:
        raise MostError("max_piece_seconds", max_piece_seconds, f"must lie in (0, {longest:g}], what the model takes")
    if batch_size < 1:
        raise MostError("batch_size", batch_size, "must be >= 1")
    return _transcribe(engine, files, max_piece_seconds, batch_size)


def _transcribe(
    engine: Engine, files: Iterable[str | Path], max_piece_seconds: float, batch_size: int
) -> Iterator[Transcript]:
    waiting: deque[_File] = deque()
    batch: list[tuple[_File, int, np.ndarray]] = []
    for path in files:
        file = _opened(Path(path), max_piece_seconds)
        waiting.append(file)
        for k, piece in enumerate(file.pieces):
            if (wav := _read(file, piece, engine)) is not None:
                batch.append((file, k, wav))
            if len(batch) == batch_size:
                _hear(engine, batch)
                batch.clear()
            if file.error is not None:
                break
        while waiting and waiting[0].done:
            yield waiting.popleft().transcript()
    _hear(engine, batch)
    yield from (file.transcript() for file in waiting)


def pieces_of(wav: np.ndarray, sample_rate: int, max_piece_seconds: float = PIECE_SECONDS) -> list[tuple[float, float]]:
    """Where (T,) float32 is cut, as starts and ends in seconds; pieces without sound are left out."""
    seconds = len(wav) / sample_rate
    bounds = [(0.0, seconds)]
    if seconds > max_piece_seconds:
        bounds = [*_cuts(wave_levels(wav, sample_rate), seconds, max_piece_seconds).bounds]
    heard = []
    for start, end in bounds:
        piece = wav[round(start * sample_rate) : round(end * sample_rate)]
        if np.abs(piece).max(initial=0.0) > SILENCE_PEAK:
            heard.append((start, end))
    return heard


def _cuts(levels: Levels, seconds: float, max_piece_seconds: float) -> Cuts:
    shortest = min(_SHORTEST_PIECE_SECONDS, max_piece_seconds / 2)
    return cut(levels, seconds, min_seconds=shortest, max_seconds=max_piece_seconds)


def _opened(path: Path, max_piece_seconds: float) -> _File:
    file = _File(path)
    try:
        file.seconds = audio_seconds(path)
        whole = AudioRef(path=path)
        if file.seconds <= max_piece_seconds:
            file.pieces = [whole]
        else:
            cuts = _cuts(frame_levels(whole), file.seconds, max_piece_seconds)
            file.pieces = [AudioRef(path=path, start=a, duration=b - a) for a, b in cuts.bounds]
            file.cut_in_speech = cuts.in_speech
    except MostError as e:
        file.error = e
    except soundfile.LibsndfileError as e:
        file.error = MostError("audio", path, f"is damaged ({e.error_string.strip()}); copy or record it again")
    return file


def _read(file: _File, piece: AudioRef, engine: Engine) -> np.ndarray | None:
    """A piece at the model's rate; None where it is silent, or has gone wrong and made the file an error."""
    try:
        wav = read_audio(piece, engine.processor.sample_rate, max_seconds=None)
        if engine.processor.num_positions(len(wav)) < 1:
            raise MostError("audio", file.path, "is too short to hear anything in")
        if np.abs(wav).max(initial=0.0) > SILENCE_PEAK:
            return wav
        file.n_silent += 1
        if file.n_silent == len(file.pieces):
            require_sound(wav, str(file.path))
    except MostError as e:
        file.error = e
    return None


def _hear(engine: Engine, batch: list[tuple[_File, int, np.ndarray]]) -> None:
    if batch:
        texts = engine.transcribe([w for *_, w in batch], batch_size=len(batch))
        for (file, k, _), text in zip(batch, texts, strict=True):
            file.texts[k] = text

"""Text to speech: the model says a text, and recognisers that it has no part in write down what they hear.

A judge errs on people too: its error rate on recordings of the same texts stands beside every figure. Speech that was
never made counts as all words deleted. Beside it, what the voice is like: pitch, and likeness to a speaker.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from most.errors import MostError
from most.evaluate.judges import Judge, JudgeSettings
from most.evaluate.score import Score
from most.evaluate.sets.base import SetInfo, SetSettings
from most.evaluate.sets.speech import SpeechItem, load_speech
from most.evaluate.subject import Capability, Subject
from most.evaluate.tasks.asr import NORMALIZER_FACTS
from most.evaluate.tasks.base import Row
from most.evaluate.tasks.naming import audio_row, file_name, seed_of
from most.evaluate.tasks.tts_scores import heard_wrong, speech_scores
from most.evaluate.voice import likeness, measure_pitch, speaker_model, voice_vectors
from most.evaluate.wer import check_references
from most.generate.engine import SPEAK_PROMPT, Speech
from most.manifest import AudioRef
from most.speech.audio import read_audio, write_audio

JUDGE_RATE = 16000


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One set of texts to be said.

    Args:
        judges: who listens; the first one's error rate is the main score.
        normalizer: `english`, or `digits` for strings of spoken digits.
        limit: the first so many items; all when left out.
        max_seconds: of speech; what is cut off there is judged as it is, and counted.
        seed: of the draw, together with an item's id.
        originals: whether the judges also hear the set's own recordings of the texts.
        pitch: whether to measure F0 (extra `codec`).
        speaker_model: folder or hub id of an x-vector model, for likeness.
        voice: utterance manifest of the voice that the model should speak with; the item's own recording where absent.
    """

    set: SetSettings
    judges: tuple[JudgeSettings, ...]
    normalizer: str = "english"
    limit: int | None = None
    max_seconds: float = 20.0
    seed: int = 0
    originals: bool = True
    pitch: bool = True
    speaker_model: str | None = None
    voice: Path | None = None

    def __post_init__(self) -> None:
        check_references([], normalizer=self.normalizer)
        if not self.judges:
            raise MostError("judges", [], "name at least one; known are those of most.evaluate.judges")
        if self.limit is not None and self.limit < 1:
            raise MostError("limit", self.limit, "must be at least 1")
        if not self.max_seconds > 0:
            raise MostError("max_seconds", self.max_seconds, "must be > 0")
        if self.seed < 0:
            raise MostError("seed", self.seed, "must be >= 0")
        if self.voice is not None and self.speaker_model is None:
            raise MostError("voice", self.voice, "is compared by a speaker_model; name one")


def make(settings: Settings, name: str) -> Tts:
    """The task; reads the set, loads no judge.

    Raises:
        MostError: a set that is not there, an item whose text holds no word, or a missing extra.
    """
    if settings.pitch and importlib.util.find_spec("pyworld") is None:
        raise MostError("pitch", True, "needs pyworld: pip install 'most-speech[codec]', or set pitch: false")
    found = load_speech(settings.set, task="tts", limit=settings.limit)
    check_references([(i.id, i.text) for i in found.items], normalizer=settings.normalizer)
    return Tts(settings=settings, name=name, info=found.info, items=found.items)


@dataclass(frozen=True, kw_only=True)
class Tts:
    settings: Settings
    name: str
    info: SetInfo
    items: Sequence[SpeechItem]

    family = "tts"
    needs: frozenset[Capability] = frozenset({"speak"})

    @property
    def facts(self) -> Mapping[str, str]:
        s = self.settings
        facts = {
            "items": f"the first {s.limit} of the set" if s.limit else "all of the set",
            "prompt": SPEAK_PROMPT,
            "speech": f"at most {s.max_seconds:g} s, seed {s.seed} with the item's id",
            "judges": "; ".join(str(j) for j in s.judges),
            "normalizer": NORMALIZER_FACTS[s.normalizer],
            "failed or empty": "all words of the text count as deleted; likeness is 0",
        }
        if s.originals:
            facts["originals"] = "the set's own recordings of the same texts, heard by the same judges"
        if s.pitch:
            facts["f0"] = "WORLD (DIO, StoneMask), 100 frames a second: mean of the items' medians over voiced frames"
        if s.speaker_model is not None:
            against = f"recordings of {s.voice}" if s.voice else "the item's own recording"
            facts["similarity"] = f"cosine of x-vectors ({s.speaker_model}) with {against}"
        return facts

    def answer(self, subject: Subject, items: Sequence[SpeechItem], folder: Path) -> list[Row]:
        s = self.settings
        judges = [j.judge() for j in s.judges]
        names = [j.name for j in judges]
        if len(set(names)) < len(names):
            raise MostError("judges", names, "two have the same name, so their scores could not be told apart")
        speeches = subject.speak(
            [i.text for i in items], seeds=[seed_of(s.seed, i.id) for i in items], max_seconds=s.max_seconds
        )
        return [self._row(item, speech, judges, folder) for item, speech in zip(items, speeches, strict=True)]

    def _row(self, item: SpeechItem, speech: Speech, judges: Sequence[Judge], folder: Path) -> Row:
        s, wav, rate = self.settings, speech.waveform, speech.sample_rate
        row: Row = {"id": item.id, "reference": item.text, "heard": {}, "heard_original": {}, "wav": ""}
        if len(wav):
            row["wav"] = write_audio(folder / f"{file_name(item.id)}.wav", wav, rate).name
        row |= {
            "seconds": round(len(wav) / rate, 3), "units": len(speech.units), "truncated": speech.truncated,
            "speaker": item.speaker,
        }  # fmt: skip
        row["heard"] = {j.name: j.transcribe(wav, rate) if len(wav) else "" for j in judges}
        original = None
        if item.audio is not None and (s.originals or s.speaker_model):
            original = read_audio(item.audio, JUDGE_RATE)
            row["original"] = audio_row(item.audio, folder)
        if original is not None and s.originals:
            row["original_seconds"] = round(len(original) / JUDGE_RATE, 3)
            row["heard_original"] = {j.name: j.transcribe(original, JUDGE_RATE) for j in judges}
        if s.pitch:
            row |= _pitch("", wav, rate)
            row |= _pitch("original_", original, JUDGE_RATE) if original is not None and s.originals else {}
        if s.speaker_model is not None:
            row |= self._similarity(s.speaker_model, item, wav, rate, original)
        return row

    def _similarity(self, name: str, item: SpeechItem, wav: np.ndarray, rate: int, original: np.ndarray | None) -> Row:
        model, voice = speaker_model(name), self.settings.voice
        own = [model.embed(original, JUDGE_RATE)] if original is not None else []
        against = list(voice_vectors(name, voice)) if voice else own
        if not against:
            return {}
        row: Row = {"similarity": round(likeness(model.embed(wav, rate), against), 4) if len(wav) else 0.0}
        other = self._same_speaker.get(item.id)
        if own and other is not None and not voice:
            row["original_similarity"] = round(likeness(own[0], [model.embed(read_audio(other), JUDGE_RATE)]), 4)
        return row

    @cached_property
    def _same_speaker(self) -> dict[str, AudioRef]:
        """For each item the next recording of the same named speaker: how alike a person is to themselves."""
        of: dict[str, list[SpeechItem]] = {}
        for item in self.items:
            if item.speaker and item.audio is not None:
                of.setdefault(item.speaker, []).append(item)
        return {
            item.id: following.audio
            for group in of.values() if len(group) > 1
            for item, following in zip(group, [*group[1:], group[0]], strict=True) if following.audio is not None
        }  # fmt: skip

    def score(self, rows: Sequence[Row]) -> list[Score]:
        """WER by each judge and on the originals, the share cut off, then how long, how high and how alike."""
        return speech_scores(rows, self._texts, self.settings.normalizer)

    def badness(self, row: Row) -> float:
        """The first judge's word error rate; a failed item is worse than any."""
        if "error" in row:
            return float("inf")
        (found,) = heard_wrong([row], next(iter(row["heard"])), self._texts, self.settings.normalizer)
        return found.errors / found.words

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {item.id: item.text for item in self.items}


def _pitch(prefix: str, wav: np.ndarray, rate: int) -> Row:
    found = measure_pitch(wav, rate)
    median = None if found.median_hz is None else round(found.median_hz, 2)
    return {f"{prefix}f0_hz": median, f"{prefix}voiced": round(found.voiced, 4)}

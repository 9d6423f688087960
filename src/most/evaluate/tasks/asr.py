"""Speech recognition: the model writes down what it hears; word and character errors, as jiwer counts them.

Corpus-level rates, errors over reference words (or characters, spaces included) of the whole set, after one normaliser
on both sides. Items that failed or came back empty stay in: all of their words count as deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from most.errors import MostError
from most.evaluate.score import Score, ratio_interval
from most.evaluate.sets.base import SetInfo, SetSettings
from most.evaluate.sets.speech import SpeechItem, load_speech
from most.evaluate.subject import Capability, Subject
from most.evaluate.tasks.base import Row
from most.evaluate.tasks.naming import audio_row
from most.evaluate.wer import ItemErrors, check_references, item_errors
from most.generate.engine import TRANSCRIBE_PROMPT

NORMALIZER_FACTS = {
    "english": "Whisper's for English, with its spelling table, on both sides",
    "digits": "Whisper's for English, then a digit a word, on both sides",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One set to be transcribed.

    Args:
        normalizer: `english`, or `digits` for strings of spoken digits.
        limit: the first so many items; all when left out.
        max_new_tokens: of a transcript; what is cut off there counts as it is.
    """

    set: SetSettings
    normalizer: str = "english"
    limit: int | None = None
    max_new_tokens: int = 256

    def __post_init__(self) -> None:
        check_references([], normalizer=self.normalizer)
        for name in ("limit", "max_new_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise MostError(name, value, "must be at least 1")


def make(settings: Settings, name: str) -> Asr:
    """The task; reads the set, opens no audio.

    Raises:
        MostError: a set that is not there, or an item whose reference holds no word.
    """
    found = load_speech(settings.set, task="asr", limit=settings.limit)
    check_references([(i.id, i.text) for i in found.items], normalizer=settings.normalizer)
    return Asr(settings=settings, name=name, info=found.info, items=found.items)


@dataclass(frozen=True, kw_only=True)
class Asr:
    settings: Settings
    name: str
    info: SetInfo
    items: Sequence[SpeechItem]

    family = "asr"
    needs: frozenset[Capability] = frozenset({"hear"})

    @property
    def facts(self) -> Mapping[str, str]:
        s = self.settings
        return {
            "items": f"the first {s.limit} of the set" if s.limit else "all of the set",
            "prompt": TRANSCRIBE_PROMPT,
            "decoding": f"the most likely token each time, at most {s.max_new_tokens}",
            "normalizer": NORMALIZER_FACTS[s.normalizer],
            "cer": "characters of the normalised text, spaces included",
            "failed or empty": "all words of the reference count as deleted",
        }

    def answer(self, subject: Subject, items: Sequence[SpeechItem], folder: Path) -> list[Row]:
        audios = [item.audio for item in items if item.audio is not None]
        texts = subject.transcribe(audios, max_new_tokens=self.settings.max_new_tokens)
        return [
            {
                "id": item.id, "reference": item.text, "hypothesis": text, "speaker": item.speaker,
                "audio": audio_row(audio, folder),
            }
            for item, audio, text in zip(items, audios, texts, strict=True)
        ]  # fmt: skip

    def score(self, rows: Sequence[Row]) -> list[Score]:
        """WER, its three parts, CER, and how many words they rest on."""
        found = self._errors(rows)
        failed = sum("error" in row for row in rows)
        empty = sum(e.empty for e in found) - failed
        words, chars = [e.words for e in found], [e.chars for e in found]
        parts = {
            "wer": ([e.errors for e in found], words),
            "cer": ([e.char_errors for e in found], chars),
            "substitutions": ([e.substitutions for e in found], words),
            "deletions": ([e.deletions for e in found], words),
            "insertions": ([e.insertions for e in found], words),
        }
        scores = []
        for metric, (errors, of) in parts.items():
            value, low, high = ratio_interval(errors, of)
            scores.append(
                Score(
                    metric=metric, value=value, low=low, high=high, n_items=len(rows), n_failed=failed, n_empty=empty,
                    better="lower",
                )
            )  # fmt: skip
        n = float(sum(words))
        words_score = Score(
            metric="words", value=n, low=n, high=n, n_items=len(rows), n_failed=failed, n_empty=empty, unit="words",
            better=None,
        )  # fmt: skip
        return [*scores, words_score]

    def badness(self, row: Row) -> float:
        """Word error rate; a failed item is worse than any."""
        (found,) = self._errors([row])
        return float("inf") if "error" in row else found.errors / found.words

    def _errors(self, rows: Sequence[Row]) -> list[ItemErrors]:
        # A failed item's row may hold nothing but its id.
        texts = {item.id: item.text for item in self.items}
        refs = [row["reference"] if "reference" in row else texts[row["id"]] for row in rows]
        hyps = ["" if "error" in row else row["hypothesis"] for row in rows]
        return item_errors(refs, hyps, normalizer=self.settings.normalizer, ids=[str(row["id"]) for row in rows])

"""Settings of the verbs that have no recipe of their own, as a step of a build takes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from most.data.build.text_dialogues import TextTask
from most.data.corpora.check import Limits
from most.data.dialogue.balance import BalanceRecipe
from most.data.dialogue.filters import SpeechLimits
from most.data.dialogue.spoken.chunks import MAX_WORDS
from most.data.digits import Augment
from most.data.encode import SHARD_SIZE
from most.errors import MostError
from most.speech.audio import MAX_SECONDS


@dataclass(frozen=True, kw_only=True)
class PrepareStep:
    """`most data prepare`: `corpus` is its NAME, `options` its further options, with underscores."""

    corpus: str
    source: str
    options: dict[str, Any] = field(default_factory=dict)
    splits: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ("asr", "tts")
    limits: Limits = field(default_factory=Limits)
    max_rejected: float = 0.02
    workers: int | None = None


@dataclass(frozen=True, kw_only=True)
class DigitsStep:
    """Connected digits by recorded people, as `most.data.digits.build_digits` takes its arguments."""

    n_train: int = 3000
    n_test: int = 200
    n_text: int = 1000
    n_tts: int = 0
    digits_per_utterance: tuple[int, int] = (3, 6)
    held_out_speaker: str = "lucas"
    seed: int = 0
    augment: Augment | None = None
    varied_prompts: bool = True
    tts_speakers: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class SentencesStep:
    """Different sentences of text files or dialogues, those to test on kept apart.

    Args:
        sources: `.txt` (a sentence a line), `.jsonl` (field `text`), folders of them, or dialogues, whose turns are cut
            into chunks of at most `max_words`.
        test_share: of all sentences, chosen by their text alone: the same sentence is always on the same side.
        limit, test_limit: how many of each to keep; a larger one only adds.
    """

    sources: tuple[Path, ...]
    min_words: int = 2
    max_words: int = 20
    test_share: float = 0.02
    limit: int | None = None
    test_limit: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.min_words <= self.max_words:
            raise MostError("min_words", self.min_words, f"must lie in 1..max_words, {self.max_words}")
        _check_share("test_share", self.test_share)


@dataclass(frozen=True, kw_only=True)
class HoldOutStep:
    """A file of dialogues in two, `train.jsonl` and `test.jsonl`, chosen by their texts alone."""

    dialogues: Path
    test_share: float = 0.05

    def __post_init__(self) -> None:
        _check_share("test_share", self.test_share)


@dataclass(frozen=True, kw_only=True)
class CollectStep:
    """`most data dialogues collect`."""

    source: str
    config: str | None = None
    split: str = "train"
    licence: str = ""
    limit: int | None = None
    limits: SpeechLimits = field(default_factory=SpeechLimits)


@dataclass(frozen=True, kw_only=True)
class InterruptStep:
    """`most data dialogues interrupt`: `settings` are those of the writer."""

    dialogues: Path
    writer: str = "rules"
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class SpeakableStep:
    """`most data dialogues speakable`."""

    dialogues: Path
    max_words: int = MAX_WORDS
    locale: Literal["US", "GB"] = "US"


@dataclass(frozen=True, kw_only=True)
class BalanceStep(BalanceRecipe):
    """`most data dialogues balance`."""

    dialogues: Path


@dataclass(frozen=True, kw_only=True)
class BiasStep:
    """`most data dialogues bias`: a file of dialogues, or the folder of a `speak` step."""

    dialogues: Path


@dataclass(frozen=True, kw_only=True)
class TextDialoguesStep:
    """Dialogues in writing, as examples: `dialogue` is a chat, `text` a document of its turns."""

    dialogues: Path
    tasks: tuple[TextTask, ...] = ("dialogue",)
    spoken: bool = False


@dataclass(frozen=True, kw_only=True)
class EncodeStep:
    """`most data encode`: what training reads of the audio. `codec` is the shipped one where it is left out."""

    manifests: tuple[Path, ...]
    codec: Path | None = None
    layer: int | None = None
    workers: int = 0


@dataclass(frozen=True, kw_only=True)
class AlignStep:
    """`most data align`."""

    manifests: tuple[Path, ...]
    arrays: Path
    model: Path


@dataclass(frozen=True, kw_only=True)
class UnitsStep:
    """`most data units`."""

    manifests: tuple[Path, ...]
    codec: Path | None = None
    engine: str = "local"
    workers: int = 1
    threads: int | None = None
    max_rejected: float = 0.01
    max_seconds: float = MAX_SECONDS
    shard_size: int = SHARD_SIZE


def _check_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise MostError(name, value, "must lie between 0 and 1")

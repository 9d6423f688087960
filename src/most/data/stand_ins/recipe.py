"""What the steps `sblimp`, `swuggy`, `story-cloze` and `spoken-qa` of a build may say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from most.data.dialogue.sources import ASSETS as DIALOGUES
from most.data.dialogue.voice.augment import AugmentSettings
from most.data.dialogue.voice.quality import GateSettings
from most.data.dialogue.voice.recipe import VoiceRecipe
from most.errors import MostError

ASSETS = Path(__file__).resolve().parents[2] / "assets" / "eval"
TRIVIA = "trivia-sample.jsonl"
"""Multiple choice; read as it is."""
SHIPPED = "shipped"
"""In a source's place: the texts in the package."""


@dataclass(frozen=True, kw_only=True)
class StandInRecipe(VoiceRecipe):
    """What all stand-ins have in common; speech is clean and, of pairs, unjudged.

    Args:
        source: the texts; `shipped` for those of the package.
        licence: of the texts, where they are not those of the package.
        every_voice: each item in every voice, as the published pairs are; else in one, drawn by the item.
    """

    source: Path
    licence: str = ""
    every_voice: bool = False
    gate: GateSettings = field(default_factory=lambda: GateSettings(judge="none"))

    shipped: ClassVar[str] = ""
    shipped_licence: ClassVar[str] = ""
    words_an_item: ClassVar[float] = 0.0
    """Roughly, for estimates."""
    passing: ClassVar[frozenset[str]] = VoiceRecipe.passing | {"source"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.augment != AugmentSettings():
            raise MostError("augment", "set", "is for training; what is measured on is clean, leave it out")
        if str(self.source) == SHIPPED:
            object.__setattr__(self, "source", ASSETS / self.shipped)
            object.__setattr__(self, "licence", self.licence or self.shipped_licence)

    def _refuse_gate(self) -> None:
        if self.gate.judge != "none":
            raise MostError(
                "gate.judge", self.gate.judge,
                "would remake or reject one side of a pair more often than the other and give it away; leave it out",
            )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SBlimpRecipe(StandInRecipe):
    """Minimal pairs of BLiMP: its folder, its `data.tar.gz`, or one JSONL file of its lines. `limit` counts pairs."""

    shipped: ClassVar[str] = "blimp-sample.jsonl"
    shipped_licence: ClassVar[str] = "CC BY"
    words_an_item: ClassVar[float] = 15.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._refuse_gate()


@dataclass(frozen=True, kw_only=True)
class SWuggyRecipe(StandInRecipe):
    """Words and pseudo-words. `source` is a dictionary in CMUdict's form; `limit` counts pairs.

    Args:
        texts: text to count words in, for words that are in use and bands of frequency: text files, JSON lines or
            dialogues; none for any word of the dictionary. `shipped` for the package's dialogues.
        min_count: how often a word must stand there, in lower case: names are left out by that.
        bands: groups of equally many words, from frequent to rare.
        phones: fewest and most phones of a word.
        candidates: pseudo-words drawn for each word, of which one that is much alike is kept.
    """

    texts: tuple[Path, ...] = ()
    min_count: int = 2
    bands: int = 2
    phones: tuple[int, ...] = (3, 12)
    candidates: int = 300

    shipped: ClassVar[str] = "cmudict.dict.xz"
    shipped_licence: ClassVar[str] = "BSD-2-Clause (CMUdict)"
    words_an_item: ClassVar[float] = 2.0
    passing: ClassVar[frozenset[str]] = StandInRecipe.passing | {"texts"}

    def __post_init__(self) -> None:
        super().__post_init__()
        self._refuse_gate()
        if len(self.phones) != 2 or not 2 <= self.phones[0] <= self.phones[1]:
            raise MostError("phones", list(self.phones), "must be two numbers, fewest and most, from 2 up")
        for name in ("min_count", "bands", "candidates"):
            if getattr(self, name) < 1:
                raise MostError(name, getattr(self, name), "must be at least 1")
        shipped = DIALOGUES / "self-dialogue.jsonl"
        object.__setattr__(self, "texts", tuple(shipped if str(t) == SHIPPED else t for t in self.texts))


@dataclass(frozen=True, kw_only=True)
class StoryClozeRecipe(StandInRecipe):
    """Stories and their endings: JSON lines with `sentences` or `text`, dialogues, or text files, a story a paragraph.

    Args:
        endings: `similar` takes the wrong ending from a story that is most alike, `random` from any.
        sentences: of a story, the ending among them.
        min_ending_words: a story is cut where its ending has so many.
        max_words: of a sentence; stories with a longer one are left out.
    """

    endings: Literal["similar", "random"] = "similar"
    sentences: int = 5
    min_ending_words: int = 4
    max_words: int = 30

    words_an_item: ClassVar[float] = 75.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._refuse_gate()
        if self.sentences < 2:
            raise MostError("sentences", self.sentences, "must be at least 2, the ending among them")
        if not 1 <= self.min_ending_words <= self.max_words:
            raise MostError("min_ending_words", self.min_ending_words, f"must lie in 1..max_words, {self.max_words}")
        if self.source == ASSETS:  # nothing of its own: the package's dialogues
            object.__setattr__(self, "source", DIALOGUES / "self-dialogue.jsonl")
            object.__setattr__(self, "licence", self.licence or "BSD-3-Clause (Self-Dialogue)")


@dataclass(frozen=True, kw_only=True)
class SpokenQaRecipe(StandInRecipe):
    """Written questions with answers: WebQuestions, NQ-open, TriviaQA, or JSON lines with `question` and `answers`.

    Args:
        title: what the questions are called.
        stand_in_for: the spoken version that they take the place of.
        max_answer_words: questions are left out whose answers are all longer.
    """

    title: str = "WebQuestions"
    stand_in_for: str = "WebQuestions, spoken"
    max_answer_words: int | None = None

    shipped: ClassVar[str] = "webquestions-sample.jsonl"
    shipped_licence: ClassVar[str] = "CC BY 4.0"
    words_an_item: ClassVar[float] = 8.0

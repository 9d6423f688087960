"""What a recipe of `most data read-aloud` may say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from most.data.dialogue.voice.recipe import VoiceRecipe
from most.errors import MostError


@dataclass(frozen=True, kw_only=True)
class ReadAloudRecipe(VoiceRecipe):
    """Sentences in, a prepared set of utterances out. `roles` of voices and of `augment` mean nothing here.

    Args:
        sentences: files or folders of `.txt` (a sentence a line) or `.jsonl` (field `text`), or dialogues, whose turns
            are read in chunks.
        split: the name of what is made; names that begin with `test` or `dev` are to measure on.
        tasks: examples to make of each utterance; what is augmented serves `asr` alone.
        transcript: whether examples carry the text as said (`spoken`) or as it was (`written`).
        called: what the prompts of `tts` call the voice, so that several can be learnt; none where it is empty.
        skip: so many sentences are passed over first, for sets that share no sentence.
        chunk_words: words said at one go; longer sentences have pauses.
        licence: of the sentences.
    """

    sentences: tuple[Path, ...]
    split: str = "train"
    tasks: tuple[Literal["asr", "tts"], ...] = ("asr", "tts")
    transcript: Literal["spoken", "written"] = "spoken"
    called: str = ""
    skip: int = 0
    chunk_words: int = 20
    licence: str = "unknown"

    passing: ClassVar[frozenset[str]] = VoiceRecipe.passing | {"sentences", "skip"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sentences:
            raise MostError("sentences", list(self.sentences), "name at least one file")
        if not self.tasks:
            raise MostError("tasks", list(self.tasks), "name at least one of asr, tts")
        if not re.fullmatch(r"\w[\w.-]*", self.split) or self.split == "rejected":
            raise MostError("split", self.split, "cannot name a file; use letters, digits, '.', '_' and '-'")
        if self.skip < 0:
            raise MostError("skip", self.skip, "must be at least 0 sentences")
        if self.chunk_words < 1:
            raise MostError("chunk_words", self.chunk_words, "must be at least 1")

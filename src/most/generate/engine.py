"""One engine for everything that generates: speech to text, text to speech, dialogues. Used by CLI, evaluation, demo.

A spoken reply is written first and then said, in one turn, as `most.data.dataset` lays out what training reads.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import LogitsProcessor, TemperatureLogitsWarper, TopPLogitsWarper

from most.data.prompts import ASR_PROMPTS, TTS_PROMPTS
from most.errors import MostError
from most.generate.decode import Choice, decode
from most.generate.draw import SeededDraw, row_seeds
from most.manifest import AudioRef
from most.model.legal import LegalTokens
from most.model.load import codec_dir_of, load_most
from most.sequence import IGNORE, Encoded
from most.speech.codec import Codec

TRANSCRIBE_PROMPT = ASR_PROMPTS[0]
SPEAK_PROMPT = TTS_PROMPTS[0]

Audio = np.ndarray | str | Path | AudioRef
Content = Sequence[dict[str, Any]]
"""One user turn: parts `{"type": "text", "text": ...}` and `{"type": "audio", "audio": ...}`."""
Conversation = Sequence[dict[str, Any]]
"""Turns `{"role": ..., "content": text or parts}`, of which the assistant's next is asked for."""


@dataclass(frozen=True, kw_only=True)
class SpeakSettings:
    """How units are drawn.

    Args:
        temperature: 0 takes the most likely unit each time.
        top_p: the share of probability drawn from.
        max_seconds: of speech; reaching it is reported in `Speech.truncated`, never hidden.
        seed: of the draw, where no seed is given for each row: a row's draw then follows from this and its number.
    """

    temperature: float = 0.9
    top_p: float = 0.95
    max_seconds: float = 20.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise MostError("temperature", self.temperature, "must be >= 0; 0 takes the most likely unit")
        if not 0 < self.top_p <= 1:
            raise MostError("top_p", self.top_p, "must lie in (0, 1]")
        if not self.max_seconds > 0:
            raise MostError("max_seconds", self.max_seconds, "must be > 0")
        if self.seed < 0:
            raise MostError("seed", self.seed, "must be >= 0")


@dataclass(frozen=True)
class Speech:
    """Generated speech: float32 (T,) in [-1, 1] at `sample_rate` Hz, and the units it was made from."""

    waveform: np.ndarray
    sample_rate: int
    units: np.ndarray
    truncated: bool


@dataclass(frozen=True)
class Reply:
    """A spoken reply: what the model wrote, and how it said it."""

    text: str
    speech: Speech


class Engine:
    """A loaded MoST with its processor and codec.

    Raises:
        MostError: the model's units are not the codec's.
    """

    def __init__(self, model: Any, processor: Any, codec: Codec | None = None) -> None:
        self.model, self.processor, self.codec = model.eval(), processor, codec
        if codec is not None and codec.n_units != processor.n_units:
            raise MostError("codec", codec.n_units, f"has another number of units than the model ({processor.n_units})")

    @classmethod
    def load(cls, folder: str | Path, codec: str | Path | None = None, device: str = "cpu") -> Engine:
        """Load a model folder or hub id, with the codec named, the one it brings along, or the shipped one."""
        model, processor = load_most(folder)
        return cls(model.to(device), processor, Codec.load(codec or codec_dir_of(folder)))  # type: ignore[arg-type]

    def transcribe(
        self,
        audios: Sequence[Audio],
        *,
        prompt: str = TRANSCRIBE_PROMPT,
        batch_size: int = 8,
        max_new_tokens: int = 256,
    ) -> list[str]:
        """Text of each audio, greedily; the result does not depend on the batch size."""
        content = [[{"type": "audio", "audio": a}, {"type": "text", "text": prompt}] for a in audios]
        return self.answer_text(content, batch_size=batch_size, max_new_tokens=max_new_tokens)

    def answer_text(self, contents: Sequence[Content], *, batch_size: int = 8, max_new_tokens: int = 256) -> list[str]:
        """The written answer to each user turn; see `write`."""
        return self.write([_asked(c) for c in contents], batch_size=batch_size, max_new_tokens=max_new_tokens)

    def write(
        self, conversations: Sequence[Conversation], *, batch_size: int = 8, max_new_tokens: int = 256
    ) -> list[str]:
        """The assistant's next turn of each conversation in writing, greedily; it does not depend on the batch size."""
        prompts = [self._prompt(c, "text") for c in conversations]
        rows = self._generate(prompts, "text", batch_size, max_new_tokens)
        return [self.processor.decode_text(row) for row in rows]

    def speak(
        self,
        texts: Sequence[str],
        *,
        speaker: str | None = None,
        settings: SpeakSettings | None = None,
        prompt: str = SPEAK_PROMPT,
        batch_size: int = 8,
        seeds: Sequence[int] | None = None,
    ) -> list[Speech]:
        """Speech for each text; it does not depend on the batch size.

        Args:
            speaker: voice of the codec; its main one when left out.
            seeds: one a text, so that how it is said does not depend on the others; of `settings.seed` and the text's
                number when left out.

        Raises:
            MostError: an empty text, no codec, an unknown speaker, or seeds that do not fit.
        """
        for text in texts:
            if not text.strip():
                raise MostError("text", text, "is empty; give some words to say")
        asked = [_asked([{"type": "text", "text": prompt.replace("{text}", t)}]) for t in texts]
        prompts = [self._prompt(c, "speech") for c in asked]
        return self._say(prompts, speaker, settings or SpeakSettings(), batch_size, seeds)

    def answer_speech(
        self,
        contents: Sequence[Content],
        *,
        speaker: str | None = None,
        settings: SpeakSettings | None = None,
        batch_size: int = 8,
        seeds: Sequence[int] | None = None,
    ) -> list[Speech]:
        """The spoken answer to each user turn; see `reply`."""
        replies = self.reply(
            [_asked(c) for c in contents], speaker=speaker, settings=settings, batch_size=batch_size, seeds=seeds
        )
        return [r.speech for r in replies]

    def reply(
        self,
        conversations: Sequence[Conversation],
        *,
        speaker: str | None = None,
        settings: SpeakSettings | None = None,
        batch_size: int = 8,
        max_new_tokens: int = 128,
        seeds: Sequence[int] | None = None,
    ) -> list[Reply]:
        """The assistant's next turn of each conversation, written greedily and then said; as `speak` otherwise.

        Args:
            max_new_tokens: of the written part.
        """
        prompts = [self._prompt(c, "text") for c in conversations]
        ends = (self._eos, self.processor.vocab.audio_begin)
        rows = self._generate(prompts, "any", batch_size, max_new_tokens, until=ends[1])
        written = [
            list(itertools.takewhile(lambda i: i not in ends, row.tolist())) for row in rows
        ]  # no padding behind
        said = []
        for prompt, row in zip(prompts, written, strict=True):
            ids = np.array([*prompt.ids, *row, ends[1]], dtype=np.int64)
            said.append(Encoded(ids, np.full_like(ids, IGNORE), prompt.waves))
        speeches = self._say(said, speaker, settings or SpeakSettings(), batch_size, seeds)
        return [Reply(self.processor.decode_text(r), s) for r, s in zip(written, speeches, strict=True)]

    def _prompt(self, conversation: Conversation, answer: Literal["text", "speech"]) -> Encoded:
        return self.processor.builder.prompt(self.processor.messages(conversation), answer)

    def _say(
        self,
        prompts: Sequence[Encoded],
        speaker: str | None,
        settings: SpeakSettings,
        batch_size: int,
        seeds: Sequence[int] | None,
    ) -> list[Speech]:
        """Speech behind prompts that end with its begin marker."""
        if self.codec is None:
            raise MostError("codec", None, "is needed to speak; load the engine with one")
        limit = int(settings.max_seconds * self.codec.unit_rate_hz) + 2  # and the two markers
        own = row_seeds(seeds, settings.seed, len(prompts))

        warpers: list[LogitsProcessor] = []
        if settings.temperature not in (0, 1):
            warpers.append(TemperatureLogitsWarper(settings.temperature))
        if settings.temperature > 0 and settings.top_p < 1:
            warpers.append(TopPLogitsWarper(settings.top_p))
        seeds_of = own if settings.temperature > 0 else None
        rows = self._generate(prompts, "speech", batch_size, limit, warpers=warpers, seeds=seeds_of)
        return [self._said(row, speaker) for row in rows]

    def _said(self, ids: torch.Tensor, speaker: str | None) -> Speech:
        assert self.codec is not None
        units = self.processor.units_of(ids)
        wav, rate = np.zeros(0, dtype=np.float32), self.codec.sample_rate
        if len(units):
            wav, rate = self.codec.decode(units, speaker=speaker)
        return Speech(wav, rate, units, self.processor.vocab.audio_end not in ids.tolist())

    @property
    def _eos(self) -> int:
        return int(self.processor.tokenizer.eos_token_id)

    def _generate(
        self,
        prompts: Sequence[Encoded],
        mode: Literal["text", "speech", "any"],
        batch_size: int,
        max_new_tokens: int,
        *,
        warpers: Sequence[LogitsProcessor] = (),
        seeds: Sequence[int | tuple[int, int]] | None = None,
        until: int | None = None,
    ) -> Iterator[torch.Tensor]:
        """New ids (T,) behind each prompt, in their order; the likeliest ones where no seeds are given.

        Args:
            seeds: of each row's draw.
            until: a token that ends a row as the end of sequence does.
        """
        ends = [self._eos] if until is None else [self._eos, until]
        for i in range(0, len(prompts), batch_size):
            batch = self.processor.collate(prompts[i : i + batch_size]).to(self.model.device)
            length = batch["input_ids"].shape[1]
            own = None if seeds is None else seeds[i : i + batch_size]
            draw = None if own is None else SeededDraw(own, prompt_length=length, max_new_tokens=max_new_tokens)
            legal = LegalTokens(self.processor.vocab, mode, eos_token_id=self._eos, prompt_length=length)
            steps = decode(
                self.model, batch, choose=Choice(legal, batch["input_ids"], warpers, draw), eos_token_id=ends,
                pad_token_id=self.processor.tokenizer.pad_token_id, max_new_tokens=max_new_tokens,
            )  # fmt: skip
            yield from torch.stack(list(steps), dim=1)


def _asked(content: Content) -> Conversation:
    return [{"role": "user", "content": list(content)}]

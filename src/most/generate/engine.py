"""One engine for everything that generates: speech to text, text to speech, dialogues. Used by CLI, evaluation, demo.

A spoken reply is written first and then said, in one turn, as `most.data.dataset` lays out what training reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from most.data.prompts import ASR_PROMPTS, TTS_PROMPTS
from most.errors import MostError
from most.generate.batch import Batch
from most.generate.draw import row_seeds, takes
from most.generate.hearing import Hearing
from most.generate.request import Part, Request
from most.generate.stream import Assembler, Ended, Said, Written
from most.generate.takes import best_take
from most.manifest import AudioRef
from most.model.load import codec_dir_of, load_most
from most.model.plain import is_plain, load_plain
from most.model.weight_only import pack_weights
from most.sequence import Encoded
from most.speech.codec import Codec
from most.speech.vocoder.stream import StreamSettings

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
        best_of: takes that are drawn, of which the one is kept in which the model itself hears the text most surely
            (`most.generate.takes`). The first is that of 1. More than one cannot be streamed.
    """

    temperature: float = 0.4
    top_p: float = 0.95
    max_seconds: float = 20.0
    seed: int = 0
    best_of: int = 1

    def __post_init__(self) -> None:
        if self.best_of < 1:
            raise MostError("best_of", self.best_of, "must be at least 1")
        if not self.temperature >= 0:
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
        self.hearing = Hearing() if getattr(model.config, "ctc_loss_weight", 0) > 0 else None
        """How transcripts are searched for; None writes the likeliest token each time."""
        if codec is not None and codec.n_units != processor.n_units:
            raise MostError("codec", codec.n_units, f"has another number of units than the model ({processor.n_units})")

    def hear_by(self, hearing: Hearing) -> None:
        """Search for transcripts in another way.

        Raises:
            MostError: a model that was trained without a CTC term.
        """
        if self.hearing is None:
            raise MostError("hearing", hearing, "is for models that were trained with a CTC term; leave it out")
        self.hearing = hearing

    @classmethod
    def load(
        cls, folder: str | Path, codec: str | Path | None = None, device: str = "cpu", bits: int | None = None
    ) -> Engine:
        """Load a model folder or hub id, with the codec named, the one it brings along, or the shipped one.

        A plain language model, such as `most export` writes, gets none: it only writes.

        Args:
            bits: keep weights in 8 or 4 bits (`most.model.weight_only`); as they are when left out.
        """
        plain = is_plain(folder)
        model, processor = load_plain(folder) if plain else load_most(folder)
        if bits is not None:
            pack_weights(model, bits)
        own = None if plain else Codec.load(codec or codec_dir_of(folder))
        return cls(model.to(device), processor, own)  # type: ignore[arg-type]

    def transcribe(
        self,
        audios: Sequence[Audio],
        *,
        prompt: str = TRANSCRIBE_PROMPT,
        batch_size: int = 8,
        max_new_tokens: int = 256,
    ) -> list[str]:
        """Text of each audio, as `hearing` says; the result does not depend on the batch size."""
        requests = [self.to_transcribe(audio, max_new_tokens, prompt) for audio in audios]
        return [self.processor.decode_text(row) for (row,) in self.answers(requests, batch_size)]

    def answer_text(self, contents: Sequence[Content], *, batch_size: int = 8, max_new_tokens: int = 256) -> list[str]:
        """The written answer to each user turn; see `write`."""
        return self.write([_asked(c) for c in contents], batch_size=batch_size, max_new_tokens=max_new_tokens)

    def write(
        self, conversations: Sequence[Conversation], *, batch_size: int = 8, max_new_tokens: int = 256
    ) -> list[str]:
        """The assistant's next turn of each conversation in writing, greedily; it does not depend on the batch size."""
        requests = [self.to_write(c, max_new_tokens) for c in conversations]
        return [self.processor.decode_text(row) for (row,) in self.answers(requests, batch_size)]

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
        settings = settings or SpeakSettings()
        own = row_seeds(seeds, settings.seed, len(texts))
        requests = [
            self.to_say(t, settings, take, prompt)
            for t, seed in zip(texts, own, strict=True)
            for take in takes(seed, settings.best_of)
        ]
        said = (self.speech(row, speaker) for (row,) in self.answers(requests, batch_size))
        by_text = [(text, list(islice(said, settings.best_of))) for text in texts]
        return [own[best_take(self, text, own, batch_size)] for text, own in by_text]

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
        settings = settings or SpeakSettings()
        own = row_seeds(seeds, settings.seed, len(conversations))
        asked = zip(conversations, own, strict=True)
        requests = [
            self.to_reply(c, settings, take, max_new_tokens)
            for c, seed in asked
            for take in takes(seed, settings.best_of)
        ]
        answers = self.answers(requests, batch_size)
        replies = []
        for _ in conversations:
            written, said = zip(*islice(answers, settings.best_of), strict=True)
            text = self.processor.decode_text(written[0])
            speeches = [self.speech(ids, speaker) for ids in said]
            replies.append(Reply(text, speeches[best_take(self, text, speeches, batch_size)]))
        return replies

    def stream(
        self, request: Request, *, speaker: str | None = None, settings: StreamSettings | None = None
    ) -> Iterator[Written | Said | Ended]:
        """One request as it is answered; closing the iterator stops the model at once.

        Args:
            request: of `to_write`, `to_say` or `to_reply`.
            settings: of the vocoder's chunks.
        """
        batch, assembler = Batch(self.model, self.processor, 1), Assembler(self, speaker, settings)
        batch.add(request)
        while batch.busy:
            for token in batch.step():
                yield from assembler.feed(token)

    def to_write(self, conversation: Conversation, max_new_tokens: int) -> Request:
        """What a `Batch` is asked for a written turn."""
        part = Part(mode="text", until=(self._eos,), max_new_tokens=max_new_tokens)
        return Request(prompt=self._prompt(conversation, "text"), parts=(part,))

    def to_transcribe(self, audio: Audio, max_new_tokens: int, prompt: str = TRANSCRIBE_PROMPT) -> Request:
        """What a `Batch` is asked for the text of an audio."""
        asked = _asked([{"type": "audio", "audio": audio}, {"type": "text", "text": prompt}])
        request = self.to_write(asked, max_new_tokens)
        return replace(request, parts=(replace(request.parts[0], hearing=self.hearing),))

    def to_say(
        self, text: str, settings: SpeakSettings, seed: int | tuple[int, ...], prompt: str = SPEAK_PROMPT
    ) -> Request:
        """What a `Batch` is asked to say a text; only the codec's units are asked for, not its sound."""
        asked = _asked([{"type": "text", "text": prompt.replace("{text}", text)}])
        return Request(prompt=self._prompt(asked, "speech"), parts=(self._said(settings, seed, text),))

    def to_reply(
        self, conversation: Conversation, settings: SpeakSettings, seed: int | tuple[int, ...], max_new_tokens: int
    ) -> Request:
        """What a `Batch` is asked for a turn that is written first and then said."""
        begin = self.processor.vocab.audio_begin
        written = Part(mode="any", until=(self._eos, begin), max_new_tokens=max_new_tokens)
        said = replace(self._said(settings, seed, ""), begin=begin)
        return Request(prompt=self._prompt(conversation, "text"), parts=(written, said))

    def _prompt(self, conversation: Conversation, answer: Literal["text", "speech"]) -> Encoded:
        return self.processor.builder.prompt(self.processor.messages(conversation), answer)

    def _said(self, settings: SpeakSettings, seed: int | tuple[int, ...], text: str) -> Part:
        if self.codec is None:
            raise MostError("codec", None, "is needed to speak; load the engine with one")
        return Part(
            mode="speech", until=(self.processor.vocab.audio_end,), temperature=settings.temperature,
            top_p=settings.top_p, seed=seed, guided=text if self.processor.guided_speech else None,
            max_new_tokens=int(settings.max_seconds * self.codec.unit_rate_hz) + 1,  # and the marker
        )  # fmt: skip

    def speech(self, ids: Sequence[int], speaker: str | None = None) -> Speech:
        """The sound of generated ids.

        Raises:
            MostError: no codec, or an unknown speaker.
        """
        if self.codec is None:
            raise MostError("codec", None, "is needed to speak; load the engine with one")
        units = self.processor.units_of(ids)
        wav, rate = np.zeros(0, dtype=np.float32), self.codec.sample_rate
        if len(units):
            wav, rate = self.codec.decode(units, speaker=speaker)
        return Speech(wav, rate, units, self.processor.vocab.audio_end not in ids)

    @property
    def _eos(self) -> int:
        return int(self.processor.tokenizer.eos_token_id)

    def answers(self, requests: Sequence[Request], batch_size: int = 8) -> Iterator[list[list[int]]]:
        """The ids of each part of each request, in their order; each as soon as it and those before it are whole."""
        batch = Batch(self.model, self.processor, batch_size)
        numbers = [batch.add(request) for request in requests]
        parts = {n: [[] for _ in r.parts] for n, r in zip(numbers, requests, strict=True)}
        whole: set[int] = set()
        for number in numbers:
            while number not in whole:
                for token in batch.step():
                    parts[token.request][token.part].append(token.id)
                    whole |= {token.request} if token.last else set()
            yield parts.pop(number)


def _asked(content: Content) -> Conversation:
    return [{"role": "user", "content": list(content)}]

"""One engine for everything that generates: speech to text, text to speech. Used by the CLI, evaluation and demo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import GenerationConfig

from most.data.prompts import ASR_PROMPTS, TTS_PROMPTS
from most.errors import MostError
from most.manifest import AudioRef
from most.model.load import load_most
from most.speech.codec import Codec, default_codec_dir

TRANSCRIBE_PROMPT = ASR_PROMPTS[0]
SPEAK_PROMPT = TTS_PROMPTS[0]

Audio = np.ndarray | str | Path | AudioRef


@dataclass(frozen=True, kw_only=True)
class SpeakSettings:
    """How units are drawn.

    Args:
        temperature: 0 takes the most likely unit each time.
        top_p: the share of probability drawn from.
        max_seconds: of speech; reaching it is reported in `Speech.truncated`, never hidden.
        seed: of the draw.
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


@dataclass(frozen=True)
class Speech:
    """Generated speech: float32 (T,) in [-1, 1] at `sample_rate` Hz, and the units it was made from."""

    waveform: np.ndarray
    sample_rate: int
    units: np.ndarray
    truncated: bool


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
        """Load a model folder or hub id, and its codec (the shipped nano codec unless another is named)."""
        model, processor = load_most(folder)
        return cls(model.to(device), processor, Codec.load(codec or default_codec_dir()))  # type: ignore[arg-type]

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
        texts: list[str] = []
        for ids in self._generate(content, "text", batch_size, max_new_tokens, GenerationConfig(do_sample=False)):
            texts += [self.processor.decode_text(row) for row in ids]
        return texts

    def speak(
        self,
        texts: Sequence[str],
        *,
        speaker: str | None = None,
        settings: SpeakSettings | None = None,
        prompt: str = SPEAK_PROMPT,
        batch_size: int = 8,
    ) -> list[Speech]:
        """Speech for each text.

        Raises:
            MostError: no codec, an unknown speaker, or an empty text.
        """
        settings = settings or SpeakSettings()
        if self.codec is None:
            raise MostError("codec", None, "is needed to speak; load the engine with one")
        for text in texts:
            if not text.strip():
                raise MostError("text", text, "is empty; give some words to say")
        limit = int(settings.max_seconds * self.codec.unit_rate_hz)
        config = GenerationConfig(do_sample=False)
        if settings.temperature > 0:
            config = GenerationConfig(do_sample=True, temperature=settings.temperature, top_p=settings.top_p, top_k=0)
        torch.manual_seed(settings.seed)
        content = [[{"type": "text", "text": prompt.format(text=t)}] for t in texts]
        out: list[Speech] = []
        for ids in self._generate(content, "speech", batch_size, limit + 2, config):
            for row in ids:
                units = self.processor.units_of(row)
                truncated = self.processor.vocab.audio_end not in row.tolist()
                if len(units):
                    wav, rate = self.codec.decode(units, speaker=speaker)
                else:
                    wav, rate = np.zeros(0, dtype=np.float32), self.codec.sample_rate
                out.append(Speech(wav, rate, units, truncated))
        return out

    @torch.inference_mode()
    def _generate(
        self,
        contents: Sequence[list[dict[str, Any]]],
        answer: Literal["text", "speech"],
        batch_size: int,
        max_new_tokens: int,
        config: GenerationConfig,
    ) -> Iterator[torch.Tensor]:
        """New ids (B, T) per batch. Prompts of like length share a batch only in their given order."""
        tokenizer = self.processor.tokenizer
        config.update(
            max_new_tokens=max_new_tokens, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id
        )
        for i in range(0, len(contents), batch_size):
            batch = self.processor(
                [[{"role": "user", "content": c}] for c in contents[i : i + batch_size]], answer=answer
            )
            batch = batch.to(self.model.device)
            length = batch["input_ids"].shape[1]
            yield self.model.generate(**batch, generation_config=config, mode=answer)[:, length:]

"""Parler-TTS, the paper's voices: a described speaker, drawn by a transformer. Needs the package `parler_tts`.

Its newest release asks for transformers 4, MoST for 5: where both cannot live in one environment, run Parler behind
an OpenAI-compatible server in its own and use `endpoint`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from most.errors import MostError, nearest


class Parler:
    """Voices by description.

    Args:
        model: folder or hub id, such as parler-tts/parler-tts-large-v1.
        descriptions: voice name -> how it sounds ("Jon's voice is calm and close up, with very clear audio.").
    """

    name = "parler"
    licence = "Apache-2.0"

    def __init__(self, model: str, *, descriptions: Mapping[str, str], device: str = "cpu") -> None:
        if not descriptions:
            raise MostError("parler.descriptions", descriptions, "describe at least one voice: name: description")
        self._model_name, self._descriptions, self._device = model, dict(descriptions), device
        self.voices = tuple(self._descriptions)

    @cached_property
    def _parts(self) -> tuple[Any, Any, Any]:
        try:
            from parler_tts import ParlerTTSForConditionalGeneration  # type: ignore[import-not-found]
        except ImportError as e:
            raise MostError(
                "parler", "parler_tts cannot be imported",
                f"({e}) pip install parler-tts in an environment of its own, serve it, and use kind: endpoint",
            ) from e  # fmt: skip
        from transformers import AutoTokenizer

        model = ParlerTTSForConditionalGeneration.from_pretrained(self._model_name).to(self._device).eval()
        prompt = AutoTokenizer.from_pretrained(self._model_name)
        # Some releases read descriptions with their text encoder's own tokenizer.
        name = getattr(model.config.text_encoder, "_name_or_path", "") or self._model_name
        return model, prompt, AutoTokenizer.from_pretrained(name)

    @property
    def sample_rate(self) -> int:
        return int(self._parts[0].config.sampling_rate)

    def synthesize(self, text: str, voice: str, seed: int, *, speed: float = 1.0) -> np.ndarray:
        """Speech sampled under `seed`. The model has no speed: a second take differs by its seed alone."""
        import torch

        if voice not in self.voices:
            raise MostError("parler.voice", voice, nearest(voice, self.voices))
        model, prompt, description = self._parts
        says = description(self._descriptions[voice], return_tensors="pt").to(self._device)
        text_ids = prompt(text, return_tensors="pt").to(self._device)
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(seed % 2**63)
            wav = model.generate(
                input_ids=says.input_ids, attention_mask=says.attention_mask,
                prompt_input_ids=text_ids.input_ids, prompt_attention_mask=text_ids.attention_mask,
            )  # fmt: skip
        return wav.float().cpu().numpy().reshape(-1)

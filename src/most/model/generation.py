"""What `generate` must know of audio: it goes in with the prompt only, and a repeated row takes all its clips along."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import GenerationMixin

from most.errors import MostError
from most.model.adapter import clips_of_rows
from most.model.legal import LegalTokens
from most.vocab import SpeechVocab

AUDIO_INPUTS = ("waveforms", "waveform_lengths", "audio_features", "audio_feature_lengths")


class AudioGenerationMixin(GenerationMixin):
    """transformers' generation for a model whose forward takes AUDIO_INPUTS and `modality_ids`."""

    config: Any
    vocab: SpeechVocab
    num_positions: Callable[[int], int]

    def generate(  # type: ignore[override]
        self,
        inputs: torch.Tensor | None = None,
        *args: Any,
        mode: str = "any",
        logits_processor: Any = None,
        **kwargs: Any,
    ) -> Any:
        """As in transformers, but only legal tokens are ever produced.

        Args:
            mode: `text` for an answer in text, `speech` for one stretch of speech, `any` for both (see `LegalTokens`).

        Raises:
            MostError: an unknown mode, or `speech` without an end-of-sequence token.
        """
        config = kwargs.get("generation_config") or self.generation_config
        eos = kwargs.get("eos_token_id", config.eos_token_id)
        if eos is None:
            eos = self.generation_config.eos_token_id
        if eos is None and mode == "speech":
            raise MostError("eos_token_id", None, "speech ends with it; set it in the generation config")
        prompt = kwargs.get("input_ids", inputs)
        length = 0 if prompt is None else prompt.shape[1]
        # Without an end of sequence any text id serves: in these modes all of them are legal anyway.
        legal = LegalTokens(self.vocab, mode, eos_token_id=0 if eos is None else eos, prompt_length=length)
        return super().generate(inputs, *args, logits_processor=[*(logits_processor or []), legal], **kwargs)  # type: ignore[misc]

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.Tensor,
        *args: Any,
        inputs_embeds: torch.Tensor | None = None,
        is_first_iteration: bool | None = False,
        modality_ids: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Audio goes in with the prompt only; given modality ids cover the prompt, later ones follow from the ids."""
        prepare: Any = super().prepare_inputs_for_generation  # type: ignore[misc]
        inputs = prepare(input_ids, *args, inputs_embeds=inputs_embeds, is_first_iteration=is_first_iteration, **kwargs)
        if not is_first_iteration and kwargs.get("use_cache", True):
            for name in AUDIO_INPUTS:
                inputs.pop(name, None)
        embeds = inputs.get("inputs_embeds")
        if modality_ids is not None and embeds is not None:
            inputs["modality_ids"] = modality_ids[:, -embeds.shape[1] :]
        elif modality_ids is not None and modality_ids.shape[1] <= input_ids.shape[1]:
            derived = self.vocab.modality_of(input_ids[:, modality_ids.shape[1] :])
            inputs["modality_ids"] = torch.cat([modality_ids, derived], dim=1)[:, -inputs["input_ids"].shape[1] :]
        return inputs

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: torch.Tensor | None = None,
        **model_kwargs: Any,
    ) -> Any:
        # Clips are listed by batch, not by row: a row with two clips must be repeated whole, not clip by clip.
        audio = {k: model_kwargs.pop(k) for k in AUDIO_INPUTS if model_kwargs.get(k) is not None}
        if audio and expand_size > 1 and input_ids is not None:
            counts = self._positions_of(audio)
            rows = clips_of_rows(input_ids == self.vocab.wave, counts)
            order = torch.tensor([clip for row in rows for _ in range(expand_size) for clip in row], dtype=torch.long)
            audio = {k: v[order.to(v.device)] for k, v in audio.items()}
        expand: Any = super()._expand_inputs_for_generation  # type: ignore[misc]
        ids, model_kwargs = expand(
            expand_size=expand_size, is_encoder_decoder=is_encoder_decoder, input_ids=input_ids, **model_kwargs
        )
        return ids, {**model_kwargs, **audio}

    def _positions_of(self, audio: dict[str, torch.Tensor]) -> torch.Tensor:
        """Positions that each clip takes (N,)."""
        if "audio_features" in audio:
            n, f = audio["audio_features"].shape[:2]
            n_frames = audio.get("audio_feature_lengths", torch.full((n,), f))
            return (n_frames + self.config.audio_stack - 1) // self.config.audio_stack
        n, t = audio["waveforms"].shape
        lengths = audio.get("waveform_lengths", torch.full((n,), t)).tolist()
        return torch.tensor([self.num_positions(int(x)) for x in lengths])

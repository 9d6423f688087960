"""MostConfig: a backbone's config, an audio encoder's config, and what MoST adds between them (arXiv 2601.10272)."""

import dataclasses
import functools
import json
from typing import Any, ClassVar

import torch
from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.modeling_outputs import MoeCausalLMOutputWithPast

from most.errors import MostError
from most.model.partition import ExpertPartition
from most.vocab import SpeechVocab

CACHE = {"cache", "past_key_values"}.intersection(f.name for f in dataclasses.fields(MoeCausalLMOutputWithPast)).pop()
"""What transformers calls the cache of keys and values, in arguments and outputs; renamed in 5.24."""

# No postponed annotations here: `strict` reads the field types when the class is made.


@strict
class MostConfig(PreTrainedConfig):
    r"""
    Args:
        text_config: the backbone's config (dict or object); its `vocab_size` counts audio tokens and padding rows, too.
        audio_config: the audio encoder's config (a dict for `most.speech.encoder.build_encoder`), or None for a model
            that hears discrete units only.
        text_size: ids below this one are text; units and markers follow.
        n_units: discrete speech units.
        partitions: expert partitions as JSON objects: none (split by index), one for all MoE layers, or one for each.
        modality_routing: False leaves routing to the backbone: the ablation, and the way to run a plain backbone.
        balance_loss_alpha: weight of the balance loss; 0 turns it off.
        text_loss_weight: how often a text label counts in the loss, against an audio label: a second of speech is 50 of
            these, and some four of those.
        ctc_loss_weight: how often a CTC term of a transcript's token counts, against an audio label; 0 turns it off.
        audio_stack: encoder frames concatenated into one position of the language model (2: 50 Hz becomes 25 Hz).
        audio_layer: encoder layer that is read, counted from 1; None for its final output.

    Raises:
        MostError: settings that do not fit each other.
    """

    model_type = "most"
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": AutoConfig}
    base_model_fsdp_plan: ClassVar[dict[Any, str]] = {}  # the backbone's own plan applies to the backbone
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        CACHE, "router_logits", "hidden_states", "attentions",
        "text_loss", "audio_loss", "balance_loss", "ctc_loss", "n_text_labels", "n_audio_labels",
        "token_losses",
    ]  # fmt: skip

    text_config: dict | PreTrainedConfig | None = None
    audio_config: dict | None = None
    text_size: int = 100002
    n_units: int = 500
    partitions: list[dict] | None = None
    modality_routing: bool = True
    balance_loss_alpha: float = 0.001
    text_loss_weight: float = 1.0
    ctc_loss_weight: float = 0.0
    audio_stack: int = 1
    audio_layer: int | None = None
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        text: Any = {} if self.text_config is None else self.text_config
        if isinstance(text, dict):
            text = AutoConfig.for_model(**{"model_type": "deepseek_v2", **text})
        self.text_config = text
        self.tie_word_embeddings = bool(text.tie_word_embeddings)
        if self.partitions is not None:
            self.partitions = [p.to_json() if isinstance(p, ExpertPartition) else dict(p) for p in self.partitions]
        if self.audio_stack < 1:
            raise MostError("audio_stack", self.audio_stack, "must be at least 1 frame a position")
        if self.balance_loss_alpha < 0:
            raise MostError("balance_loss_alpha", self.balance_loss_alpha, "must be >= 0; 0 turns it off")
        if not self.text_loss_weight > 0:
            raise MostError("text_loss_weight", self.text_loss_weight, "must be > 0; 1 counts every label alike")
        if self.ctc_loss_weight < 0:
            raise MostError("ctc_loss_weight", self.ctc_loss_weight, "must be >= 0; 0 turns it off")
        _ = self.vocab
        # The base class hands its own choice, which is none yet, down to a config that a live model may already run by.
        attention, experts = text._attn_implementation, text._experts_implementation
        super().__post_init__(**kwargs)
        if self._attn_implementation is None:
            text._attn_implementation = attention
        if self._experts_implementation is None:
            text._experts_implementation = experts

    @property
    def vocab(self) -> SpeechVocab:
        return SpeechVocab(text_size=self.text_size, n_units=self.n_units, vocab_size=self.text_config.vocab_size)  # type: ignore[union-attr]

    @property
    def sample_rate(self) -> int:
        """Samples a second of the waveforms that the audio encoder takes."""
        return self._encoder_shape().sample_rate

    @property
    def position_rate_hz(self) -> float:
        """Positions that one second of continuous audio takes in the language model."""
        return self._encoder_shape().frame_rate_hz / self.audio_stack

    def num_positions(self, n_samples: int) -> int:
        """Positions (`<|wave|>` placeholders) that a waveform takes: its frames, stacked, rounded up; 0 under 25 ms."""
        return -(-self._encoder_shape().num_frames(n_samples) // self.audio_stack)

    def _encoder_shape(self) -> Any:
        if self.audio_config is None:
            raise MostError("audio_config", None, "this model has no audio encoder; it takes discrete units only")
        return encoder_shape(self.audio_config)


def encoder_shape(audio_config: dict[str, Any]) -> Any:
    """A speech encoder without weights, for its rates and frame counts: on the meta device one costs no memory."""
    return _encoder_shape(json.dumps(audio_config, sort_keys=True))


@functools.lru_cache(maxsize=8)
def _encoder_shape(audio_config: str) -> Any:
    from most.speech.encoder import build_encoder

    with torch.device("meta"):
        return build_encoder(json.loads(audio_config))

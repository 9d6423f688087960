"""MostForConditionalGeneration: a MoE language model with modality-aware routing that hears frozen encoder frames.

Between embeddings and logits all is the backbone's own transformers code. The routing is in `router.py`, audio input in
`adapter.py`, the auxiliary loss in `balance.py` (arXiv 2601.10272, section on the model).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import MoeCausalLMOutputWithPast
from transformers.utils.generic import can_return_tuple

from most.errors import MostError
from most.model.adapter import AudioProjection, splice, stack_frames
from most.model.balance import balance_loss
from most.model.configuration import CACHE, MostConfig
from most.model.experts import DEFAULT_EXPERTS
from most.model.generation import AudioGenerationMixin
from most.model.install import install, routers
from most.model.losses import ctc_loss, token_losses
from most.model.packed import SDPA_PACKED
from most.model.router import collect_router_logits
from most.vocab import SpeechVocab


@dataclass
class MostOutput(MoeCausalLMOutputWithPast):
    """What a forward returns, in addition to what transformers' mixtures of experts do.

    `loss` is the token mean over both modalities plus the weighted balance loss. `text_loss` and `audio_loss` are
    means over the labels of each modality, detached, nan where there is none; `n_text_labels`, `n_audio_labels` count.
    `token_losses` (B, T) holds each label's loss at its own position, detached, 0 where there is no label.
    `balance_loss` is weighted by alpha, detached. `router_logits` holds (B * T, E) of each MoE layer, before the mask.
    `ctc_loss` is a mean over the tokens of transcripts, detached, without its weight.
    """

    text_loss: torch.Tensor | None = None
    audio_loss: torch.Tensor | None = None
    balance_loss: torch.Tensor | None = None
    ctc_loss: torch.Tensor | None = None
    n_text_labels: torch.Tensor | None = None
    n_audio_labels: torch.Tensor | None = None
    token_losses: torch.Tensor | None = None


class MostPreTrainedModel(PreTrainedModel):
    """Loading and initialisation shared by MoST models."""

    config_class = MostConfig
    base_model_prefix = ""
    input_modalities: ClassVar[list[str]] = ["audio", "text"]  # type: ignore[misc]
    supports_gradient_checkpointing = True
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = False

    @classmethod
    def _can_set_experts_implementation(cls) -> bool:
        return True  # the backbone's; transformers would look for experts in the source of this module

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, AudioProjection):
            text_config: Any = self.config.get_text_config()
            init.normal_(module.linear.weight, std=module.initial_std(getattr(text_config, "initializer_range", 0.02)))

    def save_pretrained(self, *args: Any, save_original_format: bool = False, **kwargs: Any) -> None:
        """As in transformers, but experts stay fused, as the modules hold them.

        Files then have the modules' own names, which the Trainer needs: it resumes by reading them straight into the
        modules, and weights split per expert would be left out of that with no more than a warning.
        """
        super().save_pretrained(*args, save_original_format=save_original_format, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As in transformers, but strict: every weight must be there and have its shape.

        Raises:
            MostError: the checkpoint lacks a weight, has one too many, or one of another shape.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        kwargs.setdefault("ignore_mismatched_sizes", True)  # collected here, refused below with all else
        loaded: Any = super().from_pretrained(pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs)
        model, info = loaded
        for kind, key in (
            ("lacks", "missing_keys"),
            ("has unknown", "unexpected_keys"),
            ("differs in", "mismatched_keys"),
        ):
            if wrong := sorted(map(str, info.get(key) or [])):
                remedy = (
                    f"{kind} {len(wrong)} weights of this config, such as {wrong[0]}; is it another model's config?"
                )
                raise MostError("checkpoint", str(pretrained_model_name_or_path), remedy)
        if getattr(model, "audio_encoder", None) is not None:
            model.audio_encoder.requires_grad_(False)  # loading makes new parameters, which require gradients
        return (model, info) if wants_info else model


class MostForConditionalGeneration(MostPreTrainedModel, AudioGenerationMixin):
    """Listens to waveforms and units, writes text and units.

    Args:
        config: the config; its `text_config` names the backbone.
        language_model: an already loaded backbone to adopt instead of building one; it is changed in place.
        audio_encoder: an already loaded `SpeechEncoder` to adopt.

    Raises:
        MostError: an unknown backbone family, or partitions that do not fit it.
    """

    def __init__(self, config: MostConfig, language_model: Any = None, audio_encoder: Any = None) -> None:
        super().__init__(config)
        text_config: Any = config.text_config
        for adopted in (language_model, audio_encoder):
            for module in adopted.modules() if adopted is not None else ():
                module._is_hf_initialized = True
        self.language_model: Any = language_model
        if language_model is None:
            text_config._experts_implementation = text_config._experts_implementation or DEFAULT_EXPERTS
            self.language_model = AutoModelForCausalLM.from_config(text_config)
        install(self.language_model, config.partitions, routing=config.modality_routing)
        self.audio_encoder: Any = None
        self.audio_projection: AudioProjection | None = None
        if config.audio_config is not None:
            from most.speech.encoder import build_encoder

            self.audio_encoder = build_encoder(config.audio_config) if audio_encoder is None else audio_encoder
            self.audio_encoder.requires_grad_(False).eval()
            in_features = config.audio_stack * self.audio_encoder.hidden_size
            self.audio_projection = AudioProjection(in_features, text_config.hidden_size)
        self.post_init()

    @property
    def vocab(self) -> SpeechVocab:
        return self.config.vocab

    def num_positions(self, n_samples: int) -> int:
        """Positions (`<|wave|>` placeholders) that a waveform of `n_samples` takes."""
        return self.config.num_positions(n_samples)

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.language_model.get_output_embeddings()

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.language_model.set_output_embeddings(new_embeddings)

    def get_decoder(self) -> nn.Module:
        return self.language_model.get_decoder()

    def train(self, mode: bool = True) -> MostForConditionalGeneration:
        super().train(mode)
        if self.audio_encoder is not None:
            self.audio_encoder.eval()  # frozen: neither dropout nor time masking
        return self

    def encode_audio(
        self, waveforms: torch.Tensor, waveform_lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The frozen encoder's frames, which may be computed once and passed as `audio_features`.

        Args:
            waveforms: (N, T) float at `config.sample_rate`, in [-1, 1].
            waveform_lengths: (N,) samples.

        Returns:
            (N, F, H) and the true lengths (N,).
        """
        if self.audio_encoder is None:
            raise MostError("waveforms", tuple(waveforms.shape), "this model has no audio encoder (audio_config)")
        with torch.no_grad():
            return self.audio_encoder(waveforms, waveform_lengths, layer=self.config.audio_layer)

    def embed_audio(self, frames: torch.Tensor, n_frames: torch.Tensor) -> torch.Tensor:
        """Encoder frames (N, F, H) of true lengths (N,) -> projected positions of all clips in order (P, hidden)."""
        if self.audio_projection is None:
            raise MostError("audio_features", tuple(frames.shape), "this model has no audio projection (audio_config)")
        stacked, _ = stack_frames(frames, n_frames.to(frames.device), self.config.audio_stack)
        return self.audio_projection(stacked)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        modality_ids: torch.Tensor | None = None,
        waveforms: torch.Tensor | None = None,
        waveform_lengths: torch.Tensor | None = None,
        audio_features: torch.Tensor | None = None,
        audio_feature_lengths: torch.Tensor | None = None,
        cache: Any | None = None,
        past_key_values: Any | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        token_mask: torch.Tensor | None = None,
        transcribed: torch.Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        output_router_logits: bool | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> MostOutput:
        """Run the model.

        Args:
            input_ids: (B, T); every `<|wave|>` is overwritten, in row-major order, with a projected audio position.
            attention_mask: (B, T), 0 where padded, or what the backbone takes.
            position_ids: (B, T); from the attention mask when absent. Packed rows: positions that restart at 0 with
                each example (and with what is padding), no attention mask, and a `token_mask`.
            modality_ids: (B, T) of the positions passed; from `input_ids` when absent.
            waveforms, waveform_lengths: (N, samples) and (N,), all clips of the batch in order.
            audio_features, audio_feature_lengths: (N, F, H) and (N,), frames from `encode_audio`, instead of waveforms.
            cache: keys and values of the positions before; called `past_key_values` up to transformers 5.23.
            labels: (B, T), -100 where there is none; shifted inside.
            token_mask: (B, T) bool, positions that count for the balance loss; the attention mask when absent.
            transcribed: (B, T), as `most.model.losses.ctc_loss` takes it; no CTC term when absent.
            output_router_logits: also return the router logits.
            num_items_in_batch: labels in the whole accumulated batch, as the Trainer passes it. The balance loss is
                then weighted by this batch's share of the labels, so that accumulation does not multiply it.

        Raises:
            MostError: audio that does not match its placeholders; no modality ids; `labels` with `logits_to_keep`.
        """
        if modality_ids is None:
            modality_ids = self.vocab.modality_of(input_ids) if input_ids is not None else None
        elif modality_ids.numel() and not 0 <= int(modality_ids.min()) <= int(modality_ids.max()) <= 1:
            raise MostError("modality_ids", modality_ids.unique().tolist(), "must be 0 (text) or 1 (audio)")
        if inputs_embeds is None:
            inputs_embeds = self._embed(input_ids, waveforms, waveform_lengths, audio_features, audio_feature_lengths)
        n_positions = inputs_embeds.shape[1]
        if position_ids is None and attention_mask is not None and attention_mask.ndim == 2:
            position_ids = (attention_mask.long().cumsum(dim=-1) - 1).clamp(min=0)[:, -n_positions:]
        sequence_ids = None
        cache = past_key_values if cache is None else cache
        if attention_mask is None and cache is None and position_ids is not None:
            sequence_ids = _packed_sequences(position_ids)
            if sequence_ids is not None and use_cache:
                raise MostError("use_cache", True, "rows that are packed from several examples take no cache")
            use_cache = use_cache if sequence_ids is None else False
        if sequence_ids is not None and self.language_model.config._attn_implementation == SDPA_PACKED:
            kwargs["sequence_lengths"] = sequence_ids.flatten().bincount().tolist()
        alpha = self.config.balance_loss_alpha
        with collect_router_logits(bool(output_router_logits) or (labels is not None and alpha > 0)) as router_logits:
            outputs = self.language_model(
                attention_mask=attention_mask,
                position_ids=position_ids,
                modality_ids=modality_ids,
                inputs_embeds=inputs_embeds,
                use_cache=use_cache,
                logits_to_keep=logits_to_keep,
                **{CACHE: cache},
                **kwargs,
            )
        result = MostOutput(
            logits=outputs.logits,
            **{CACHE: outputs.get(CACHE)},
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            router_logits=tuple(router_logits) if output_router_logits else None,  # type: ignore[arg-type]
        )
        if labels is None:
            return result
        if isinstance(logits_to_keep, torch.Tensor) or logits_to_keep:
            raise MostError("logits_to_keep", logits_to_keep, "labels need the logits of all positions; leave it out")
        losses = token_losses(outputs.logits, labels, self.vocab, num_items_in_batch, self.config.text_loss_weight)
        result.loss, result.text_loss, result.audio_loss = losses.total, losses.text, losses.audio
        result.n_text_labels, result.n_audio_labels = losses.n_text, losses.n_audio
        result.token_losses = losses.per_token
        if transcribed is not None and self.config.ctc_loss_weight > 0 and input_ids is not None:
            eos = self.config.get_text_config().eos_token_id
            ends = [eos] if isinstance(eos, int) else list(eos or ())
            summed = ctc_loss(outputs.logits, input_ids, labels, transcribed, self.vocab, ends)
            n_labels = losses.n_text + losses.n_audio if num_items_in_batch is None else num_items_in_batch
            result.ctc_loss = summed.detach() / ((transcribed >= 0) & (labels >= 0)).sum().clamp(min=1)
            result.loss = result.loss + self.config.ctc_loss_weight * summed / n_labels
        if alpha > 0 and router_logits:
            if token_mask is None and attention_mask is not None and attention_mask.ndim == 2:
                token_mask = attention_mask
            loss = alpha * self._balance_loss(router_logits, modality_ids, token_mask, labels.shape, sequence_ids)
            result.balance_loss = loss.detach()
            share = 1.0 if num_items_in_batch is None else (losses.n_text + losses.n_audio) / num_items_in_batch
            result.loss = result.loss + (share * loss).to(losses.total.device)
        return result

    def _embed(
        self,
        input_ids: torch.Tensor | None,
        waveforms: torch.Tensor | None,
        waveform_lengths: torch.Tensor | None,
        audio_features: torch.Tensor | None,
        audio_feature_lengths: torch.Tensor | None,
    ) -> torch.Tensor:
        """Token embeddings with the placeholders overwritten (B, T, H)."""
        if input_ids is None:
            raise MostError("input_ids", None, "pass input_ids or inputs_embeds")
        inputs_embeds = self.get_input_embeddings()(input_ids)
        if waveforms is not None:
            if audio_features is not None:
                raise MostError(
                    "audio_features", tuple(audio_features.shape), "pass waveforms or their frames, not both"
                )
            if waveform_lengths is None:
                waveform_lengths = torch.full((waveforms.shape[0],), waveforms.shape[1], device=waveforms.device)
            if waveforms.shape[0]:
                audio_features, audio_feature_lengths = self.encode_audio(waveforms, waveform_lengths)
        if audio_features is not None and audio_features.shape[0]:
            if audio_feature_lengths is None:
                n, f = audio_features.shape[:2]
                audio_feature_lengths = torch.full((n,), f, device=audio_features.device)
            audio = self.embed_audio(audio_features, audio_feature_lengths).to(inputs_embeds.device)
            return splice(inputs_embeds, input_ids == self.vocab.wave, audio)
        if bool((input_ids == self.vocab.wave).any()):
            splice(inputs_embeds, input_ids == self.vocab.wave, inputs_embeds.new_zeros(0, inputs_embeds.shape[-1]))
        if self.training and self.audio_projection is not None:
            # Zero, but in the graph: data parallelism waits for a gradient of every trainable weight on every rank.
            idle = self.audio_projection(inputs_embeds.new_zeros(1, self.audio_projection.linear.in_features))
            inputs_embeds = inputs_embeds + 0.0 * idle.sum().to(inputs_embeds.dtype)
        return inputs_embeds

    def _balance_loss(
        self,
        router_logits: list[torch.Tensor],
        modality_ids: torch.Tensor | None,
        token_mask: torch.Tensor | None,
        shape: torch.Size,
        sequence_ids: torch.Tensor | None,
    ) -> torch.Tensor:
        """Before alpha."""
        installed, device = routers(self.language_model), router_logits[0].device
        if torch.is_grad_enabled() and installed[0].weight.requires_grad and not router_logits[0].requires_grad:
            remedy = (
                "router logits carry no gradient, so nothing would be balanced; checkpoint with use_reentrant=False"
            )
            raise MostError("gradient_checkpointing", True, remedy)
        modality_ids = torch.zeros(shape, dtype=torch.long) if modality_ids is None else modality_ids
        mask = torch.ones(shape) if token_mask is None else token_mask
        return balance_loss(
            [x.to(device) for x in router_logits],
            modality_ids.to(device),
            mask.to(device).bool(),
            [r.partition if r.routing else None for r in installed],
            installed[0].rule,
            [r.selection_bias for r in installed],
            None if sequence_ids is None else sequence_ids.to(device),
        )


def _packed_sequences(position_ids: torch.Tensor) -> torch.Tensor | None:
    """Which sequence each position (B, T) is of, counted over the batch; None where every row is one.

    transformers finds them in the same way and keeps their attention apart, but only where there is no cache.
    """
    begins = position_ids == 0
    begins[:, 0] = True
    if int(begins.sum()) == len(position_ids):
        return None
    return (begins.flatten().cumsum(0) - 1).view_as(position_ids)

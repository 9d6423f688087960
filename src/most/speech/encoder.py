"""Speech encoders behind one seam: a 16 kHz waveform in, frames out. HuBERT and the Whisper encoder, from transformers.

An encoder is frozen: it stays in eval mode, runs without gradients, and what it returns for an utterance does not
depend on what else is in the batch. Adding a family is one class and one line in `ENCODERS`.
"""

from __future__ import annotations

import functools
import json
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import AutoConfig, HubertConfig, HubertModel, PreTrainedConfig, WhisperConfig
from transformers.audio_utils import mel_filter_bank
from transformers.models.whisper.modeling_whisper import WhisperEncoder
from transformers.utils import logging

from most.errors import MostError, nearest

MIN_SAMPLES = 400
"""25 ms: the window of Whisper's mel spectrogram and the receptive field of HuBERT's convolutions."""
_BOOKKEEPING = ("transformers_version", "architectures", "dtype", "_name_or_path", "torch_dtype")


class SpeechEncoder(nn.Module, ABC):
    """The seam: what the codec and the language model need to know of a pretrained speech encoder."""

    sample_rate: int = 16000

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        self.config = config

    @property
    @abstractmethod
    def frame_rate_hz(self) -> float:
        """Frames a second."""

    @property
    @abstractmethod
    def hidden_size(self) -> int:
        """Width of a frame."""

    @property
    @abstractmethod
    def n_layers(self) -> int:
        """Number of transformer layers; `layer` counts from 1."""

    @abstractmethod
    def num_frames(self, n_samples: int) -> int:
        """Frames made of `n_samples` samples; 0 where the audio is too short to encode (under 25 ms)."""

    @abstractmethod
    def _encode(self, waveforms: torch.Tensor, layer: int | None) -> torch.Tensor:
        """Encode waveforms (B, T) of one true length; returns (B, F, H)."""

    def config_dict(self) -> dict[str, Any]:
        """All that `build_encoder` needs, as JSON types."""
        row = {k: v for k, v in self.config.to_diff_dict().items() if k not in _BOOKKEEPING}
        return {"model_type": self.config.model_type, **row}

    def freeze(self) -> SpeechEncoder:
        self.requires_grad_(False)
        return self.eval()

    def train(self, mode: bool = True) -> SpeechEncoder:
        """Stays in eval mode: the encoder is frozen, so its dropout must never wake up."""
        return super().train(False)

    @torch.no_grad()
    def forward(
        self, waveforms: torch.Tensor, n_samples: torch.Tensor, layer: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode a padded batch; utterances of equal length run together, others apart, so padding is never seen.

        Args:
            waveforms: (B, T) float32 at `sample_rate`, in [-1, 1].
            n_samples: (B,) true lengths.
            layer: 1..n_layers for the output of that layer as it is, None for the encoder's final output.

        Returns:
            frames (B, F, H), zero after the true end, and n_frames (B,) int64.

        Raises:
            MostError: a layer that does not exist, or an utterance under 25 ms or longer than the batch.
        """
        if layer is not None and not 1 <= layer <= self.n_layers:
            raise MostError("layer", layer, f"this encoder has layers 1..{self.n_layers}; or leave it out")
        if waveforms.dim() != 2 or n_samples.shape != waveforms.shape[:1]:
            shapes = (tuple(waveforms.shape), tuple(n_samples.shape))
            raise MostError("waveforms, n_samples", shapes, "must have shapes (B, T) and (B,)")
        lengths = [int(n) for n in n_samples.tolist()]
        for length in lengths:
            if not MIN_SAMPLES <= length <= waveforms.shape[1]:
                raise MostError(
                    "n_samples",
                    length,
                    f"must lie in {MIN_SAMPLES}..{waveforms.shape[1]}: at least 25 ms",
                )
        n_frames = [self.num_frames(length) for length in lengths]
        frames: torch.Tensor | None = None
        for length in sorted(set(lengths)):
            rows = [i for i, n in enumerate(lengths) if n == length]
            part = self._encode(waveforms[rows, :length].float(), layer)
            if frames is None:
                frames = part.new_zeros(len(lengths), max(n_frames), part.shape[-1])
            frames[rows, : part.shape[1]] = part
        if frames is None:
            raise MostError("waveforms", tuple(waveforms.shape), "the batch is empty")
        return frames, torch.tensor(n_frames, device=waveforms.device)

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype = torch.float32) -> None:
        """Write config.json, preprocessor_config.json and model.safetensors, as transformers names them."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        prefix = saved_prefix(self)
        inner: nn.Module = self.get_submodule("model")
        tensors = {prefix + k: v.to(dtype).contiguous().cpu() for k, v in inner.state_dict().items()}
        row = self.config_dict()
        pre = {"sampling_rate": self.sample_rate, "do_normalize": row.pop("do_normalize", False)}
        (folder / "config.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
        (folder / "preprocessor_config.json").write_text(json.dumps(pre, indent=1) + "\n", encoding="utf-8")
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


class HubertSpeechEncoder(SpeechEncoder):
    """Any HuBERT checkpoint; its frame rate follows from its convolutions (50 Hz, or 25 Hz with one more stride).

    `do_normalize` is the feature extractor's (zero mean, unit variance an utterance); the published ones have it.
    """

    def __init__(self, config: HubertConfig, do_normalize: bool = True) -> None:
        super().__init__(config)
        self.do_normalize = do_normalize
        self.model = HubertModel(config)
        self.freeze()

    @property
    def frame_rate_hz(self) -> float:
        return self.sample_rate / int(np.prod(list(self.model.config.conv_stride)))

    @property
    def hidden_size(self) -> int:
        return self.model.config.hidden_size

    @property
    def n_layers(self) -> int:
        return self.model.config.num_hidden_layers

    def num_frames(self, n_samples: int) -> int:
        if n_samples < MIN_SAMPLES:
            return 0
        n = n_samples
        for kernel, stride in zip(self.model.config.conv_kernel, self.model.config.conv_stride, strict=True):
            n = (n - kernel) // stride + 1
        return max(0, n)

    def config_dict(self) -> dict[str, Any]:
        return {**super().config_dict(), "do_normalize": self.do_normalize}

    def _encode(self, waveforms: torch.Tensor, layer: int | None) -> torch.Tensor:
        if self.num_frames(waveforms.shape[1]) == 0:
            raise MostError("n_samples", waveforms.shape[1], "is too short for one frame of this HuBERT")
        if self.do_normalize:
            variance, mean = torch.var_mean(waveforms, dim=1, keepdim=True, correction=0)
            waveforms = (waveforms - mean) / torch.sqrt(variance + 1e-7)
        waveforms = waveforms.to(self.model.dtype)
        if layer is None:
            return self.model(waveforms).last_hidden_state
        return self.model(waveforms, output_hidden_states=True).hidden_states[layer]


@functools.lru_cache(maxsize=8)
def _mel_tables(n_mels: int, n_fft: int, sample_rate: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    # Not buffers: a model cast to bfloat16, or built on the meta device, must keep them exact.
    bank = mel_filter_bank(1 + n_fft // 2, n_mels, 0.0, sample_rate / 2, sample_rate, norm="slaney", mel_scale="slaney")
    with torch.inference_mode(False):
        return torch.hann_window(n_fft, device=device), torch.from_numpy(bank.T).to(device, torch.float32)


class WhisperSpeechEncoder(SpeechEncoder):
    """The Whisper encoder on the true length of the audio: the position table is cut, nothing is padded to 30 s.

    Audio over the table's 30 s runs in consecutive windows; the last one reaches back so that it is full, too, and
    only its new frames are kept. The mel spectrogram is Whisper's own, computed here from the waveform.
    """

    n_fft, hop = 400, 160

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__(config)
        self.model = WhisperEncoder(config)
        self.freeze()

    @property
    def frame_rate_hz(self) -> float:
        return self.sample_rate / (2 * self.hop)

    @property
    def hidden_size(self) -> int:
        return self.model.config.d_model

    @property
    def n_layers(self) -> int:
        return self.model.config.encoder_layers

    @property
    def window_samples(self) -> int:
        """Samples that the position table covers: 480,000 (30 s) in the published checkpoints."""
        return self.model.config.max_source_positions * 2 * self.hop

    def num_frames(self, n_samples: int) -> int:
        return -(-(n_samples // self.hop) // 2) if n_samples >= MIN_SAMPLES else 0

    def log_mel(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Whisper's log-mel spectrogram: (B, T) float32 -> (B, n_mels, T // 160), as WhisperFeatureExtractor has it."""
        window, bank = _mel_tables(self.model.config.num_mel_bins, self.n_fft, self.sample_rate, waveforms.device)
        spectrum = torch.stft(waveforms, self.n_fft, self.hop, window=window, return_complex=True)
        mel = bank @ spectrum[..., :-1].abs().square()
        log = mel.clamp(min=1e-10).log10()
        return (torch.maximum(log, log.amax(dim=(1, 2), keepdim=True) - 8.0) + 4.0) / 4.0

    def _encode(self, waveforms: torch.Tensor, layer: int | None) -> torch.Tensor:
        n, window, step = waveforms.shape[1], self.window_samples, 2 * self.hop
        if n <= window:
            return self._encode_window(waveforms, layer)
        parts = [self._encode_window(waveforms[:, s : s + window], layer) for s in range(0, n - window + 1, window)]
        done = sum(p.shape[1] for p in parts)
        if done < self.num_frames(n):
            start = -(-(n - window) // step) * step
            parts.append(self._encode_window(waveforms[:, start:], layer)[:, done - start // step :])
        return torch.cat(parts, dim=1)

    def _encode_window(self, waveforms: torch.Tensor, layer: int | None) -> torch.Tensor:
        model = self.model
        x = self.log_mel(waveforms).to(model.conv1.weight.dtype)
        x = nn.functional.gelu(model.conv1(x))
        x = nn.functional.gelu(model.conv2(x)).transpose(1, 2)
        x = x + model.embed_positions.weight[: x.shape[1]]
        for block in model.layers[: self.n_layers if layer is None else layer]:
            x = block(x, None)
        return model.layer_norm(x) if layer is None else x


ENCODERS: dict[str, tuple[type[PreTrainedConfig], type[SpeechEncoder]]] = {
    "hubert": (HubertConfig, HubertSpeechEncoder),
    "whisper": (WhisperConfig, WhisperSpeechEncoder),
}
"""transformers' `model_type` -> its config class and our encoder."""

_SAVED_PREFIX: dict[type[SpeechEncoder], str] = {HubertSpeechEncoder: "", WhisperSpeechEncoder: "encoder."}


def saved_prefix(encoder: SpeechEncoder) -> str:
    """What the names of an encoder's tensors start with in its file, as in the checkpoints of its family."""
    return _SAVED_PREFIX[type(encoder)]


def _family(model_type: object) -> tuple[type[PreTrainedConfig], type[SpeechEncoder]]:
    if model_type not in ENCODERS:
        raise MostError("model_type", model_type, f"no such speech encoder; {nearest(str(model_type), ENCODERS)}")
    return ENCODERS[str(model_type)]


def build_encoder(config: dict[str, Any] | PreTrainedConfig) -> SpeechEncoder:
    """An encoder with random weights from `config_dict()` or a transformers config; weights are loaded over it.

    Args:
        config: has `model_type`; a dict may also hold `do_normalize` (HuBERT), default true.

    Raises:
        MostError: a model type without an encoder, or settings its config class refuses.
    """
    if isinstance(config, PreTrainedConfig):
        return _family(config.model_type)[1](config)
    settings = dict(config)
    config_class, encoder_class = _family(settings.pop("model_type", None))
    normalize = settings.pop("do_normalize", None)
    try:
        built = config_class(**settings)
    except (TypeError, ValueError) as e:
        raise MostError("audio encoder config", settings, f"{config_class.__name__} refuses it: {e}") from e
    encoder = encoder_class(built)
    if isinstance(encoder, HubertSpeechEncoder) and normalize is not None:
        encoder.do_normalize = bool(normalize)
    return encoder


def load_encoder(name: str | os.PathLike[str], dtype: torch.dtype = torch.float32) -> SpeechEncoder:
    """Load a pretrained encoder from a folder or a hub id (`facebook/hubert-base-ls960`, `openai/whisper-tiny.en`).

    Of a Whisper checkpoint only the encoder is kept, of a HuBERT one its heads are dropped.

    Raises:
        MostError: nothing there, a model type without an encoder, or weights that are not all present.
    """
    name = os.fspath(name)
    try:
        config = AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as e:
        raise MostError("audio encoder", name, "is no folder with config.json and no hub id in reach") from e
    encoder = build_encoder(config)
    try:
        if isinstance(encoder, WhisperSpeechEncoder):
            model, info = _weights(WhisperEncoder, name, dtype, key_mapping={r"^(model\.)?encoder\.": ""})
        else:
            model, info = _weights(HubertModel, name, dtype)
            encoder.do_normalize = _feature_setting(name, "do_normalize", True)  # type: ignore[assignment]
    except (OSError, RuntimeError) as e:
        raise MostError("audio encoder", name, f"its weights cannot be read: {e}") from e
    # `masked_spec_embed` serves pretraining only; published checkpoints may lack it.
    missing = sorted(k for k in info["missing_keys"] if not k.endswith("masked_spec_embed"))
    if missing or info["mismatched_keys"]:
        wrong = missing or list(info["mismatched_keys"])
        raise MostError("audio encoder", name, f"does not hold all weights its config asks for, such as {wrong[0]!r}")
    encoder.model = model
    encoder.config = model.config
    rate = _feature_setting(name, "sampling_rate", encoder.sample_rate)
    if rate != encoder.sample_rate:
        raise MostError("audio encoder", name, f"takes {rate} Hz audio; MoST feeds {encoder.sample_rate} Hz")
    return encoder.freeze()


def _weights(model_class: Any, name: str, dtype: torch.dtype, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
    # A bar for a file of a few megabytes would stand between a command's own lines.
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        return model_class.from_pretrained(name, dtype=dtype, output_loading_info=True, **kwargs)
    finally:
        if shown:
            logging.enable_progress_bar()


def _feature_setting(name: str, key: str, default: Any) -> Any:
    """One value of a checkpoint's preprocessor_config.json, or the default where there is none."""
    from transformers.utils.hub import cached_file

    try:
        path = cached_file(name, "preprocessor_config.json", _raise_exceptions_for_missing_entries=False)
    except OSError:
        return default
    return json.loads(Path(path).read_text(encoding="utf-8")).get(key, default) if path else default

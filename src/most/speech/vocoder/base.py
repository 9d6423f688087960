"""The vocoder seam: what every unit vocoder declares, how it is saved, and the table that finds its class."""

from __future__ import annotations

import importlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from most.errors import MostError, nearest
from most.speech.vocoder.stream import Span, StreamSettings, VocoderStream

if TYPE_CHECKING:
    from most.speech.vocoder.data import Batch, Stream

VOCODERS = {"convnext": "ConvNextVocoder", "hifigan": "HifiGanVocoder"}
"""`kind` in a vocoder's config.json, which is also its module here, -> its class."""


class UnitVocoder(nn.Module, ABC):
    """The seam. A subclass sets `kind` and `config_class` (a frozen dataclass with the fields named below)."""

    kind: ClassVar[str]
    config_class: ClassVar[type]

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    @property
    def sample_rate(self) -> int:
        return self.config.sample_rate

    @property
    def unit_rate_hz(self) -> float:
        return self.config.unit_rate_hz

    @property
    def n_units(self) -> int:
        return self.config.n_units

    @property
    def speakers(self) -> tuple[str, ...]:
        return tuple(self.config.speakers)

    @property
    def samples_per_unit(self) -> int:
        return round(self.sample_rate / self.unit_rate_hz)

    @abstractmethod
    def _waveform(self, units: torch.Tensor, speaker: torch.Tensor) -> torch.Tensor:
        """Units (U,), one a frame, and a speaker's index () to samples (U * samples_per_unit,)."""

    @property
    @abstractmethod
    def context_units(self) -> int:
        """Units to either side that can change a unit's samples."""

    @abstractmethod
    def _spans(self, speaker: torch.Tensor) -> Span:
        """What renders one utterance of a speaker's index () span by span."""

    def stream(self, speaker: str, settings: StreamSettings | None = None) -> VocoderStream:
        """Speech of units that are still being made.

        Raises:
            MostError: an unknown speaker.
        """
        self.eval()
        return VocoderStream(self, self._spans(self._index(speaker)), settings or StreamSettings())

    def _index(self, speaker: str) -> torch.Tensor:
        if speaker not in self.speakers:
            raise MostError("speaker", speaker, nearest(speaker, self.speakers))
        return torch.tensor(self.speakers.index(speaker), device=next(self.parameters()).device)

    @property
    def f0_rate_hz(self) -> float:
        """Rate of the F0 contours that `losses` wants; a vocoder without a use for F0 takes one value a unit."""
        return self.unit_rate_hz

    @abstractmethod
    def losses(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Speech made of the batch's units, shaped as `batch.audio`, and weighted losses whose sum is minimised.

        Randomness comes from torch's global generator.
        """

    def fit_statistics(self, streams: Sequence[Stream]) -> None:
        """Set what is measured from the training data rather than learned; called once before the first step."""

    def predict_durations(self, units: torch.Tensor, speaker: torch.Tensor) -> torch.Tensor:
        """Frames that each of (U,) collapsed units lasts, (U,) int64; vocoders that learn none say so."""
        raise MostError("durations", None, f"this {self.kind} vocoder predicts none; give units with their repeats")

    @torch.no_grad()
    def synthesize(
        self, units: np.ndarray, speaker: str, durations: np.ndarray | None = None, *, collapsed: bool = False
    ) -> np.ndarray:
        """Unit ids (U,) to float32 (T,) in [-1, 1], T = frames * samples_per_unit. The same ids give the same samples.

        Args:
            durations: (U,) frames each unit lasts; None where each lasts one frame.
            collapsed: the units are without repeats and the vocoder is to predict how long each lasts.

        Raises:
            MostError: ids, durations or a speaker that do not fit this vocoder.
        """
        from most.speech.codec import check_units

        index = self._index(speaker)
        ids = torch.from_numpy(check_units(units, self.n_units)).to(index.device)
        self.eval()
        if durations is not None:
            lasts = torch.as_tensor(np.asarray(durations), device=index.device)
            if lasts.shape != ids.shape or lasts.is_floating_point() or bool((lasts < 1).any()):
                raise MostError(
                    "durations", tuple(lasts.shape), f"must be {len(ids)} integers of at least 1, one a unit"
                )
            ids = ids.repeat_interleave(lasts)
        elif collapsed:
            ids = ids.repeat_interleave(self.predict_durations(ids, index))
        return self._waveform(ids, index).clamp(-1, 1).float().cpu().numpy()

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype = torch.float32) -> None:
        """Write config.json and model.safetensors."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        row = {"vocoder": self.kind, **asdict(self.config)}
        (folder / "config.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
        tensors = {k: v.to(dtype).contiguous().cpu() for k, v in self.state_dict().items()}
        save_file(tensors, folder / "model.safetensors")


def vocoder_class(kind: str) -> type[UnitVocoder]:
    """The class of a kind of vocoder.

    Raises:
        MostError: an unknown kind.
    """
    if kind not in VOCODERS:
        raise MostError("vocoder", kind, nearest(str(kind), VOCODERS))
    return getattr(importlib.import_module(f"most.speech.vocoder.{kind}"), VOCODERS[kind])


def build_vocoder(kind: str, settings: dict[str, Any]) -> UnitVocoder:
    """A vocoder with random weights.

    Raises:
        MostError: an unknown kind or an unknown or wrong setting.
    """
    cls = vocoder_class(kind)
    known = {f.name for f in fields(cls.config_class)}
    if unknown := sorted(set(settings) - known):
        raise MostError(f"vocoder.{unknown[0]}", settings[unknown[0]], f"unknown setting; {nearest(unknown[0], known)}")
    return cls(cls.config_class(**settings))


def load_vocoder(folder: str | os.PathLike[str]) -> UnitVocoder:
    """Read what `save` wrote; weights become float32.

    Raises:
        MostError: files missing, an unknown kind or setting, or weights that do not fit the config.
    """
    folder = Path(folder)
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise MostError("vocoder", folder, f"has no {name}; train one with `most codec train-vocoder`")
    row = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    model = build_vocoder(row.pop("vocoder", ""), row)
    tensors = {k: v.float() for k, v in load_file(folder / "model.safetensors").items()}
    try:
        model.load_state_dict(tensors)
    except RuntimeError as e:
        raise MostError(
            "vocoder", folder, f"its weights do not fit its config: {str(e).splitlines()[-1].strip()}"
        ) from e
    return model.eval()

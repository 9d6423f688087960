"""The codec: encoder, layer, units and vocoder as one folder. Speech to unit ids and back.

Layout: codec.json, encoder/, units.json + units.safetensors, vocoder/ (absent until one is trained).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from most.errors import MostError, nearest
from most.speech.audio import check_waveform
from most.speech.encoder import SpeechEncoder, load_encoder
from most.speech.units import KMeansQuantizer

if TYPE_CHECKING:
    from most.speech.vocoder import UnitVocoder
    from most.speech.vocoder.stream import StreamSettings, VocoderStream


def default_codec_dir() -> Path:
    """The codec that ships with the package: the shipped model's own."""
    return Path(__file__).resolve().parent.parent / "assets" / "nano" / "codec"


@dataclass(frozen=True, kw_only=True)
class CodecSettings:
    """What codec.json holds.

    Args:
        layer: encoder layer that the units are made of, None for the final output.
        peak: audio is scaled to this peak before encoding, so that units do not depend on gain; None leaves it.
        default_speaker: the vocoder's voice where none is named.
    """

    layer: int | None = None
    peak: float | None = 0.7
    default_speaker: str = ""

    def __post_init__(self) -> None:
        if self.peak is not None and not 0 < self.peak <= 1:
            raise MostError("codec.peak", self.peak, "must lie in (0, 1], or be null to leave the gain alone")
        if self.layer is not None and self.layer < 1:
            raise MostError("codec.layer", self.layer, "layers count from 1; null is the encoder's final output")


class Codec:
    """Encoder + layer + units + vocoder. `vocoder` may be None while there is none yet; then only encoding works."""

    def __init__(
        self, encoder: SpeechEncoder, quantizer: KMeansQuantizer, vocoder: UnitVocoder | None, settings: CodecSettings
    ) -> None:
        if quantizer.mean.shape[0] != encoder.hidden_size:
            raise MostError("units", quantizer.mean.shape[0], f"the encoder's frames are {encoder.hidden_size} wide")
        if vocoder is not None and vocoder.n_units != quantizer.n_units:
            raise MostError("vocoder.n_units", vocoder.n_units, f"the quantizer has {quantizer.n_units} units")
        if vocoder is not None and vocoder.unit_rate_hz != encoder.frame_rate_hz:
            raise MostError("vocoder.unit_rate_hz", vocoder.unit_rate_hz, f"the encoder has {encoder.frame_rate_hz}")
        self.encoder, self.quantizer, self.vocoder, self.settings = encoder, quantizer, vocoder, settings

    @property
    def n_units(self) -> int:
        return self.quantizer.n_units

    @property
    def unit_rate_hz(self) -> float:
        return self.encoder.frame_rate_hz

    @property
    def sample_rate(self) -> int:
        """Rate of what `encode` takes; `decode` says its own."""
        return self.encoder.sample_rate

    @property
    def speakers(self) -> tuple[str, ...]:
        return tuple(self.vocoder.speakers) if self.vocoder is not None else ()

    @property
    def default_speaker(self) -> str:
        return self.settings.default_speaker or (self.speakers[0] if self.speakers else "")

    @property
    def fingerprint(self) -> str:
        """Names the units: two codecs with one fingerprint give the same ids for the same audio."""
        state = {"encoder": self.encoder.config_dict(), "layer": self.settings.layer, "peak": self.settings.peak}
        digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode())
        # The weights enter through one vector of each tensor: cheap, and changed by any training.
        for tensor in (*self.encoder.state_dict().values(), *self.quantizer.state_dict().values()):
            digest.update(tensor.detach().half().cpu().reshape(-1)[:256].numpy().tobytes())
        return digest.hexdigest()[:16]

    def level(self, waveform: np.ndarray) -> np.ndarray:
        """(T,) float32 scaled to the codec's peak; digital silence stays as it is."""
        peak = float(np.abs(waveform).max(initial=0.0))
        return waveform if self.settings.peak is None or peak == 0 else waveform * np.float32(self.settings.peak / peak)

    def frames(self, waveform: np.ndarray) -> torch.Tensor:
        """The encoder's frames, at the codec's layer and level, of one utterance: (F, H)."""
        wav = torch.from_numpy(self.level(check_waveform(waveform)))[None]
        return self.encoder(wav, torch.tensor([wav.shape[1]]), layer=self.settings.layer)[0][0]

    def encode(self, waveform: np.ndarray) -> np.ndarray:
        """(T,) at `sample_rate` to unit ids (U,) int64, one a frame, repeats kept.

        Raises:
            MostError: audio under 25 ms or of a wrong dtype, shape or range.
        """
        return self.quantizer(self.frames(waveform)).numpy()

    def encode_batch(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """`encode` for each; what is beside an utterance never changes its units."""
        return [self.encode(w) for w in waveforms]

    def decode(
        self, units: np.ndarray | Sequence[int], speaker: str | None = None, durations: np.ndarray | None = None
    ) -> tuple[np.ndarray, int]:
        """Unit ids (U,) to speech: float32 (T,) in [-1, 1] and its sample rate. Deterministic.

        Args:
            speaker: one of `speakers`; None for `default_speaker`.
            durations: (U,) frames each unit lasts, for collapsed sequences.

        Raises:
            MostError: no vocoder in this codec, no units, ids out of range, or an unknown speaker.
        """
        vocoder, name = self._voiced(speaker)
        return vocoder.synthesize(check_units(units, self.n_units), name, durations), vocoder.sample_rate

    def stream(self, speaker: str | None = None, settings: StreamSettings | None = None) -> VocoderStream:
        """`decode` of units that are still being made, one a frame.

        Raises:
            MostError: no vocoder in this codec, or an unknown speaker.
        """
        vocoder, name = self._voiced(speaker)
        return vocoder.stream(name, settings)

    def _voiced(self, speaker: str | None) -> tuple[UnitVocoder, str]:
        if self.vocoder is None:
            raise MostError(
                "codec", "no vocoder", "this codec can only encode; train one with `most codec train-vocoder`"
            )
        name = self.default_speaker if speaker is None else speaker
        if name not in self.speakers:
            raise MostError("speaker", name, nearest(name, self.speakers))
        return self.vocoder, name

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype = torch.float32) -> None:
        """Write the codec as a folder; `dtype` float16 halves it."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.encoder.save(folder / "encoder", dtype)
        self.quantizer.save(folder, dtype)
        if self.vocoder is not None:
            self.vocoder.save(folder / "vocoder", dtype)
        row = {"format": "most-codec-1", **asdict(self.settings)}
        (folder / "codec.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Codec:
        """Read a codec's folder.

        Raises:
            MostError: not a codec's folder, or parts that do not fit each other.
        """
        from most.speech.vocoder import load_vocoder

        folder = Path(folder)
        if not (folder / "codec.json").is_file():
            raise MostError("codec", folder, "has no codec.json; give a codec's folder, or make one with `most codec`")
        row = json.loads((folder / "codec.json").read_text(encoding="utf-8"))
        if row.pop("format", None) != "most-codec-1":
            raise MostError("codec", folder / "codec.json", "is not of format most-codec-1")
        known = CodecSettings.__dataclass_fields__
        if unknown := sorted(set(row) - set(known)):
            raise MostError(f"codec.{unknown[0]}", row[unknown[0]], f"unknown setting; {nearest(unknown[0], known)}")
        vocoder = load_vocoder(folder / "vocoder") if (folder / "vocoder").is_dir() else None
        return cls(load_encoder(folder / "encoder"), KMeansQuantizer.load(folder), vocoder, CodecSettings(**row))


def assemble(
    units: str | os.PathLike[str],
    vocoder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    speaker: str = "",
    half: bool = True,
) -> Codec:
    """Encoder and units of one codec folder with a vocoder folder, saved as a whole codec in `out`.

    Raises:
        MostError: parts that do not fit each other, or a default speaker the vocoder does not have.
    """
    from most.speech.vocoder import load_vocoder

    base, voice = Codec.load(units), load_vocoder(vocoder)
    if speaker and speaker not in voice.speakers:
        raise MostError("speaker", speaker, nearest(speaker, voice.speakers))
    whole = Codec(base.encoder, base.quantizer, voice, replace(base.settings, default_speaker=speaker))
    whole.save(out, torch.float16 if half else torch.float32)
    return whole


def check_units(units: np.ndarray | Sequence[int], n_units: int) -> np.ndarray:
    """Unit ids from a user as int64 (U,).

    Raises:
        MostError: none, not one-dimensional, not integers, or out of 0..n_units-1.
    """
    ids = np.asarray(units)
    if ids.ndim != 1 or ids.size == 0 or ids.dtype.kind not in "iu":
        raise MostError("units", f"{ids.dtype} {ids.shape}", "must be a non-empty one-dimensional sequence of integers")
    if ids.min() < 0 or ids.max() >= n_units:
        wrong = int(ids.min() if ids.min() < 0 else ids.max())
        raise MostError("units", wrong, f"ids must lie in 0..{n_units - 1}")
    return ids.astype(np.int64)

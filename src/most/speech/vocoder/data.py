"""What a vocoder is trained on: aligned streams of audio, units and F0, one a voice, from utterances and a codec."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from most.errors import MostError
from most.manifest import Utterance
from most.speech.audio import band_limit, read_audio
from most.speech.codec import Codec
from most.speech.f0 import fill_unvoiced, measure_f0
from most.speech.parts import claim, in_parts


@dataclass(frozen=True, kw_only=True)
class Batch:
    """`units` (B, U), `speaker` (B,), `audio` (B, U * samples a unit), `log_f0` and `voiced` (B, F) at `f0_rate_hz`."""

    units: torch.Tensor
    speaker: torch.Tensor
    audio: torch.Tensor
    log_f0: torch.Tensor
    voiced: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One voice, its utterances end to end: a stretch may run over a joint, where both sides are near silence."""

    audio: torch.Tensor
    units: torch.Tensor
    narrow_units: torch.Tensor
    log_f0: torch.Tensor
    voiced: torch.Tensor


def prepare(
    utterances: Sequence[Utterance], codec: Codec, speakers: Sequence[str], f0_rate_hz: float, folder: Path
) -> list[Stream]:
    """Read, encode and measure the utterances of `speakers`; kept in `folder` a part at a time.

    Raises:
        MostError: a speaker without utterances, an utterance that cannot be read, or a folder begun otherwise.
    """
    chosen = [u for u in utterances if u.speaker in set(speakers)]
    for name in speakers:
        if not any(u.speaker == name for u in chosen):
            raise MostError("vocoder.speakers", name, "speaks no utterance of the manifest")
    ids = hashlib.sha256(json.dumps([u.id for u in chosen]).encode()).hexdigest()
    claim(folder, {"codec": codec.fingerprint, "f0_rate_hz": f0_rate_hz, "utterances": ids})
    per_unit = round(codec.sample_rate / codec.unit_rate_hz)
    per_f0 = round(f0_rate_hz / codec.unit_rate_hz)

    def make(row: Utterance) -> dict[str, torch.Tensor]:
        wav = codec.level(read_audio(row.audio, codec.sample_rate, allow_silence=False))
        units = codec.encode(wav)
        wav = np.pad(wav, (0, max(0, len(units) * per_unit - len(wav))))[: len(units) * per_unit]
        f0 = measure_f0(wav, codec.sample_rate, len(units) * per_f0, f0_rate_hz)
        narrow = codec.encode(band_limit(wav, codec.sample_rate))
        # HuBERT gives a frame less than the audio's length over its stride; the pad above can add one.
        narrow = np.pad(narrow, (0, max(0, len(units) - len(narrow))), mode="edge")[: len(units)]
        return {
            "speaker": torch.tensor([list(speakers).index(row.speaker)]),
            "audio": torch.from_numpy((wav * 32767).astype(np.int16)),
            "units": torch.from_numpy(units.astype(np.int32)),
            "narrow_units": torch.from_numpy(narrow.astype(np.int32)),
            "log_f0": torch.from_numpy(fill_unvoiced(f0)),
            "voiced": torch.from_numpy(f0 > 0),
        }

    rows: list[list[dict[str, torch.Tensor]]] = [[] for _ in speakers]
    for part in in_parts(folder, chosen, make, desc="prepare"):
        cut = {k: v.split(part[f"{k}.n"].tolist()) for k, v in part.items() if not k.endswith(".n")}
        for i, speaker in enumerate(part["speaker"].tolist()):
            rows[speaker].append({k: v[i] for k, v in cut.items() if k != "speaker"})
    return [Stream(**{k: torch.cat([r[k] for r in voice]) for k in voice[0]}) for voice in rows]


def draw(
    streams: Sequence[Stream], shares: Sequence[float], n_units: int, batch_size: int, narrow_share: float, seed: int
) -> Batch:
    """A batch of random stretches of `n_units` units; a function of its arguments alone, so a resumed run is alike.

    Raises:
        MostError: a voice with less audio than one stretch.
    """
    rng = np.random.default_rng(seed)
    p = np.asarray(shares, dtype=np.float64) / sum(shares)
    speakers = rng.choice(len(streams), size=batch_size, p=p)
    out: dict[str, list[torch.Tensor]] = {"units": [], "audio": [], "log_f0": [], "voiced": []}
    for speaker in speakers:
        stream = streams[speaker]
        total = len(stream.units)
        if total < n_units:
            raise MostError("vocoder.segment_seconds", n_units, f"units a stretch, but a voice has {total}; shorten it")
        start = int(rng.integers(total - n_units + 1))
        ids = stream.narrow_units if rng.random() < narrow_share else stream.units
        out["units"].append(ids[start : start + n_units].long())
        for name in ("audio", "log_f0", "voiced"):
            values = getattr(stream, name)
            per = len(values) // total
            out[name].append(values[start * per : (start + n_units) * per].float())
    joined = {k: torch.stack(v) for k, v in out.items()}
    joined["audio"] = joined["audio"] / 32767
    return Batch(speaker=torch.from_numpy(speakers), **joined)

"""Train k-means units from utterance manifests: choose audio, encode it, cluster the frames, save an encode-only codec.

Encoded frames are kept in the output folder a part at a time, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Sequence
from pathlib import Path

import torch

from most.errors import MostError
from most.manifest import Utterance
from most.speech.audio import band_limit, read_audio
from most.speech.codec import Codec, CodecSettings
from most.speech.encoder import SpeechEncoder, load_encoder
from most.speech.parts import claim, in_parts
from most.speech.settings import UnitSettings
from most.speech.units import KMeansQuantizer, train_kmeans


def train_units(utterances: Sequence[Utterance], settings: UnitSettings, out: str | os.PathLike[str]) -> Codec:
    """Train units and write `out` as a codec without a vocoder.

    Raises:
        MostError: an utterance that cannot be read, too little audio, or an `out` begun with other settings.
    """
    out = Path(out)
    encoder = load_encoder(settings.encoder)
    chosen = choose(utterances, settings)
    seconds = sum(s for _, _, s in chosen)
    print(
        f"reads   {len(chosen)} of {len(utterances)} utterances, {seconds / 60:.1f} minutes with band-limited copies\n"
        f"writes  {out}: encoder, {settings.n_units} units, frames in {out / 'frames'}\n"
        f"costs   about {seconds * encoder.frame_rate_hz * encoder.hidden_size * 2 / 2**20:.0f} MiB of disk and twice "
        f"that of memory; on two Zen 4 cores an hour of audio takes a few minutes",
        flush=True,
    )
    frames = _encode_frames(encoder, chosen, settings, out / "frames")
    quantizer = train_kmeans(frames, settings.n_units, iterations=settings.iterations, seed=settings.seed)
    codec = Codec(encoder, quantizer, None, CodecSettings(layer=settings.layer, peak=settings.peak))
    # Half precision on disk for the frozen parts: rounding moves the units, so it is done before anyone uses them.
    codec.save(out, torch.float16)
    return Codec.load(out)


def choose(utterances: Sequence[Utterance], settings: UnitSettings) -> list[tuple[Utterance, bool, float]]:
    """The utterances to train on, up to each speaker's bound, as (utterance, band-limited?, seconds)."""
    import soundfile

    rng = random.Random(settings.seed)
    order = list(utterances)
    rng.shuffle(order)
    used: dict[str, float] = {}
    out: list[tuple[Utterance, bool, float]] = []
    for row in order:
        bound = settings.main_minutes if row.speaker == settings.main_speaker else settings.minutes_per_speaker
        if used.get(row.speaker, 0.0) >= 60 * bound:
            continue
        try:
            seconds = row.audio.duration or soundfile.info(row.audio.path).duration - row.audio.start
        except soundfile.LibsndfileError as e:
            raise MostError("audio", row.audio.path, "cannot be read; mend it or take it out of the manifest") from e
        used[row.speaker] = used.get(row.speaker, 0.0) + seconds
        out.append((row, False, seconds))
        if rng.random() < settings.band_limited_share:
            out.append((row, True, seconds))
    return out


def _encode_frames(
    encoder: SpeechEncoder, chosen: list[tuple[Utterance, bool, float]], settings: UnitSettings, folder: Path
) -> torch.Tensor:
    digest = hashlib.sha256(json.dumps([(u.id, narrow) for u, narrow, _ in chosen]).encode()).hexdigest()
    claim(folder, {"encoder": settings.encoder, "layer": settings.layer, "peak": settings.peak, "utterances": digest})
    # A codec with a stand-in quantizer: the frames it gives are exactly those that the finished codec will quantize.
    width = encoder.hidden_size
    blank = KMeansQuantizer(torch.zeros(width), torch.ones(width), torch.zeros(1, width))
    codec = Codec(encoder, blank, None, CodecSettings(layer=settings.layer, peak=settings.peak))

    def encode(item: tuple[Utterance, bool, float]) -> dict[str, torch.Tensor]:
        row, narrow, _ = item
        wav = read_audio(row.audio, encoder.sample_rate, allow_silence=False)
        if encoder.num_frames(len(wav)) == 0:
            raise MostError(
                "audio", row.audio.path, f"lasts {len(wav) / encoder.sample_rate:.3f} s, too short to encode"
            )
        return {"frames": codec.frames(band_limit(wav, encoder.sample_rate) if narrow else wav).half()}

    return torch.cat([part["frames"] for part in in_parts(folder, chosen, encode, desc="encode")]).float()

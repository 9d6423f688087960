"""`most data encode`: the audio of example manifests as arrays, once, before training.

What is heard becomes encoder frames (float16), what is said becomes units. An audio that is both is read once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from most.data.arrays import ArrayStore, audio_key
from most.errors import MostError
from most.manifest import AudioRef, Example, read_examples
from most.speech.audio import read_audio
from most.speech.codec import Codec


def encode_manifests(
    manifests: Sequence[Path],
    out: Path,
    codec: Codec,
    *,
    layer: int | None = None,
    echo: Any = print,
    progress: bool = True,
) -> dict[str, int]:
    """Encode the audio that manifests name into `<out>/frames` and `<out>/units`; what is there already stays.

    Args:
        layer: encoder layer of the frames; None for its final output.

    Returns:
        How many audios were encoded: `frames`, `units`, and `kept` that lay there already.

    Raises:
        MostError: unreadable audio (the file is named), manifests of several folders, or arrays of another codec.
    """
    folders = {m.parent.resolve() for m in manifests}
    if len(folders) != 1:
        raise MostError("manifests", [str(m) for m in manifests], "must lie in one folder")
    folder = manifests[0].parent
    heard, said = _wanted([e for m in manifests for e in read_examples(m)], folder)
    about = {"codec": codec.fingerprint, "sample_rate": codec.encoder.sample_rate}
    frames = ArrayStore(out / "frames", {**about, "layer": layer})
    units = ArrayStore(out / "units", {**about, "n_units": codec.n_units, "unit_rate_hz": codec.unit_rate_hz})
    left = sum(key not in frames for key in heard) + sum(key not in units for key in said)
    echo(f"encode: {len(heard)} heard, {len(said)} said, {left} of them still to encode; writes {out}")

    def items(kind: str) -> Iterator[tuple[str, np.ndarray]]:
        wanted, store = (heard, frames) if kind == "frames" else (said, units)
        keys = [key for key in wanted if key not in store]
        for key in tqdm(keys, desc=kind, unit="audio", disable=not progress):
            wav = read_audio(wanted[key], sample_rate=codec.encoder.sample_rate)
            if kind == "frames":
                batch = torch.from_numpy(wav)[None]
                out_frames, _ = codec.encoder(batch, torch.tensor([len(wav)]), layer=layer)
                yield key, out_frames[0].to(torch.float16).numpy()
            else:
                yield key, codec.encode(wav).astype(np.int32)

    done = {"frames": frames.extend(items("frames")), "units": units.extend(items("units"))}
    return done | {"kept": len(heard) + len(said) - done["frames"] - done["units"]}


def _wanted(examples: Sequence[Example], folder: Path) -> tuple[dict[str, AudioRef], dict[str, AudioRef]]:
    """Audio that is heard (user, system) and audio that is said (assistant, document), by key."""
    heard: dict[str, AudioRef] = {}
    said: dict[str, AudioRef] = {}
    for example in examples:
        for turn in example.turns:
            if turn.audio is not None:
                (heard if turn.role in ("user", "system") else said)[audio_key(turn.audio, folder)] = turn.audio
    return heard, said

"""`most data encode` and `most data units`: the audio of manifests as arrays, once, before training.

`encode` follows what the model does with audio: what is heard becomes encoder frames (float16), what is said becomes
units. `units` makes units of all. Both are plans for `most.data.units`, which does the work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from most.data.arrays import ArrayStore
from most.data.units.plan import Job, Plan, Wanted
from most.data.units.run import Engine, fill, unit_usage
from most.errors import MostError
from most.speech.audio import MAX_SECONDS
from most.speech.codec import Codec

SHARD_SIZE = 128
"""Audios a part: of ten-second utterances 20 minutes of sound, half a minute of work for a small encoder on a core."""
_USAGE_PARTS = 64


def encode_manifests(
    manifests: Sequence[Path],
    out: Path,
    codec: Codec,
    *,
    layer: int | None = None,
    workers: int = 0,
    echo: Callable[[str], Any] = print,
    progress: bool = True,
) -> dict[str, int]:
    """Encode the audio that manifests name into `<out>/frames` and `<out>/units`; what is there already stays.

    Args:
        layer: encoder layer of the frames; None for its final output.
        workers: processes; 0 does the work in this one.

    Returns:
        How many audios were encoded: `frames`, `units`, and `kept` that lay there already.

    Raises:
        MostError: audio that cannot be read (named, when the rest is done), manifests of several folders, or arrays of
            another codec.
    """
    about = {"codec": codec.fingerprint, "sample_rate": codec.sample_rate, "layer": layer}
    heard = Job(folder=out / "frames", kind="frames", about=about, wanted="heard", layer=layer)
    plans = [Plan(manifests, heard, SHARD_SIZE), Plan(manifests, units_job(out / "units", codec, "said"), SHARD_SIZE)]
    fill([plan for plan in plans if plan.total], codec, Engine(workers=workers, progress=progress), echo)
    return {"frames": plans[0].todo, "units": plans[1].todo, "kept": plans[0].kept + plans[1].kept}


def units_job(folder: Path, codec: Codec, wanted: Wanted, max_seconds: float = MAX_SECONDS) -> Job:
    about = {"codec": codec.fingerprint, "sample_rate": codec.sample_rate}
    about |= {"n_units": codec.n_units, "unit_rate_hz": codec.unit_rate_hz}
    return Job(folder=folder, kind="units", about=about, wanted=wanted, max_seconds=max_seconds)


def encode_units(
    manifests: Sequence[Path],
    out: Path,
    codec: Codec,
    engine: Engine | None = None,
    *,
    shard_size: int = SHARD_SIZE,
    max_seconds: float = MAX_SECONDS,
    echo: Callable[[str], Any] = print,
) -> ArrayStore:
    """Units of all audio that manifests of utterances or examples name; what is there already stays.

    Raises:
        MostError: as `fill` and `Plan` do.
    """
    plan = Plan(manifests, units_job(out, codec, "all", max_seconds), shard_size)
    if not plan.total:
        raise MostError("manifests", [str(m) for m in manifests], "name no audio")
    fill([plan], codec, engine or Engine(), echo)
    store = ArrayStore(out)
    parts = [store.part(i) for i in range(min(len(store.parts), _USAGE_PARTS))]
    if any(map(len, parts)):
        usage = unit_usage(codec.n_units, parts)
        echo(f"store   {len(store)} audios in {out}; {usage['used']:.0%} of {codec.n_units} units in use, "
             f"perplexity {usage['perplexity']:.0f}")  # fmt: skip
    return store

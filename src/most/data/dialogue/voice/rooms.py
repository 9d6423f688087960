"""Room impulse responses `(R,)` float32 that start with the direct sound at 1.0.

`exponential`: noise under an exponential decay, the textbook model of a diffuse room (Polack). `image`: the image
sources of a drawn shoebox room, speaker and microphone, by pyroomacoustics.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from most.errors import MostError

_EARLIEST_SECONDS = 0.003
"""The first reflection of a room is later than the direct sound by at least this (one metre of detour)."""


def exponential_response(sample_rate: int, rt60_seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Direct sound, then decaying noise with a direct-to-reverberant ratio drawn between 0 and 12 dB."""
    n = max(2, round(rt60_seconds * sample_rate))
    tail = rng.normal(size=n) * 10 ** (-3 * np.arange(n) / n)
    tail[: round(_EARLIEST_SECONDS * sample_rate)] = 0
    energy = float(np.sum(tail**2))
    tail *= np.sqrt(10 ** (-rng.uniform(0, 12) / 10) / energy) if energy else 0
    tail[0] = 1.0
    return tail.astype(np.float32)


def image_response(sample_rate: int, rt60_seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A room of 3-8 by 3-8 by 2.4-3.5 m whose walls give this reverberation time.

    Raises:
        MostError: pyroomacoustics is missing.
    """
    try:
        import pyroomacoustics as pra
    except ImportError as e:
        raise MostError(
            "augment.room.kind", "image", "install the extra: pip install 'most-speech[room]', or use exponential"
        ) from e
    size = rng.uniform([3, 3, 2.4], [8, 8, 3.5])
    places = rng.uniform(0.15, 0.85, size=(2, 3)) * size
    try:
        absorption, order = pra.inverse_sabine(rt60_seconds, size)
    except ValueError:  # so large a room cannot be that dead
        absorption, order = 0.99, 3
    room = pra.ShoeBox(size, fs=sample_rate, materials=pra.Material(absorption), max_order=min(order, 30))
    room.add_source(places[0])
    room.add_microphone(places[1])
    room.compute_rir()
    assert room.rir is not None
    response = np.asarray(room.rir[0][0], dtype=np.float32)[: round(1.2 * rt60_seconds * sample_rate) + sample_rate]
    direct = int(np.argmax(np.abs(response)))
    return response[direct:] / response[direct]


ROOMS: dict[str, Callable[[int, float, np.random.Generator], np.ndarray]] = {
    "exponential": exponential_response,
    "image": image_response,
}

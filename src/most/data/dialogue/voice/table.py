"""The voices there are, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from most.data.dialogue.voice.endpoint import Endpoint
from most.data.dialogue.voice.flite import Flite
from most.data.dialogue.voice.kokoro import Kokoro
from most.data.dialogue.voice.parler import Parler
from most.data.dialogue.voice.piper import Piper
from most.data.dialogue.voice.seam import Synthesizer
from most.errors import MostError, nearest

SYNTHESIZERS: dict[str, Callable[..., Synthesizer]] = {
    "kokoro": Kokoro,
    "piper": Piper,
    "flite": Flite,
    "endpoint": Endpoint,
    "parler": Parler,
}


def make_synthesizer(kind: str, settings: Mapping[str, Any]) -> Synthesizer:
    """The synthesizer of that kind; models are loaded when it first speaks.

    Raises:
        MostError: an unknown kind or setting, or a model that is not there.
    """
    if kind not in SYNTHESIZERS:
        raise MostError("voice.kind", kind, nearest(str(kind), SYNTHESIZERS))
    try:
        return SYNTHESIZERS[kind](**settings)
    except TypeError as e:
        raise MostError(f"voice.{kind}", dict(settings), f"settings do not fit ({e})") from e

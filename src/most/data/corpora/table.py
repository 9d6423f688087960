"""The table of corpora that `most data prepare` knows, and how one is opened with the options a user gave."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from most.data.corpora.base import Corpus
from most.data.corpora.commonvoice import CommonVoice
from most.data.corpora.cuts import LhotseCuts
from most.data.corpora.generic import Generic
from most.data.corpora.hub import HubSpeech, HubText
from most.data.corpora.libriheavy import LibriHeavy
from most.data.corpora.librispeech import LibriSpeech
from most.data.corpora.ljspeech import LJSpeech
from most.data.corpora.text import TextFiles
from most.data.corpora.voxpopuli import VoxPopuli
from most.errors import MostError, nearest

CORPORA: dict[str, type] = {
    "librispeech": LibriSpeech,
    "libriheavy": LibriHeavy,
    "commonvoice": CommonVoice,
    "voxpopuli": VoxPopuli,
    "ljspeech": LJSpeech,
    "generic": Generic,
    "lhotse": LhotseCuts,
    "hf": HubSpeech,
    "text": TextFiles,
    "hf-text": HubText,
}


def open_corpus(name: str, source: Path, out: Path, options: Mapping[str, Any] | None = None) -> Corpus:
    """The corpus called `name` at `source`.

    Args:
        out: the folder of the prepared set, for corpora that carry their audio inline.
        options: further fields of the corpus; None values count as not given.

    Raises:
        MostError: no such corpus, or an option it does not take.
    """
    if name not in CORPORA:
        raise MostError("corpus", name, nearest(name, CORPORA))
    kind = CORPORA[name]
    fields = {f.name for f in dataclasses.fields(kind)}
    given = {k: v for k, v in (options or {}).items() if v is not None}
    for key, value in given.items():
        if key not in fields - {"source", "out"}:
            flag = "--" + key.replace("_", "-")
            takes = ", ".join("--" + f.replace("_", "-") for f in sorted(fields - {"source", "out"})) or "none"
            raise MostError(flag, value, f"is no option of {name}; of these it takes: {takes}")
    return kind(source=source, **({"out": out} if "out" in fields else {}), **given)

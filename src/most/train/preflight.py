"""What in a recipe does not fit its model or its arrays, found before anything is trained and named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from most.data.arrays import ArrayStore
from most.errors import MostError
from most.train.corpus import Source

CONVERSION = "conversion.json"
"""What `most convert` wrote beside a model; training hands it on to the trained one."""


def check_length(max_length: int, text_config: Any) -> None:
    """Raises MostError when sequences may be longer than the backbone has positions."""
    positions = getattr(text_config, "max_position_embeddings", None)
    if positions is not None and max_length > positions:
        remedy = f"is more than the backbone's {positions} positions (max_position_embeddings); lower it"
        raise MostError("data.max_length", max_length, remedy)


def check_arrays(sources: list[Source], config: Any, model: Path) -> None:
    """Hold what arrays say of themselves against the model.

    Raises:
        MostError: no arrays there; units of another number or codec; frames of another encoder, layer or width.
    """
    codec = _codec_of(model)
    for folder in {s.arrays: None for s in sources if s.arrays is not None}:
        if not (folder / "frames").is_dir() and not (folder / "units").is_dir():
            raise MostError(
                "data.arrays", folder, "holds neither frames nor units; run `most data encode` on the manifests"
            )
        units, frames = ArrayStore(folder / "units"), ArrayStore(folder / "frames")
        n_units = (units.about or {}).get("n_units")
        if n_units is not None and n_units > config.n_units:
            remedy = f"its units are of a codec of {n_units}, the model has {config.n_units}; encode with its codec"
            raise MostError("data.arrays", folder, remedy)
        for store in (units, frames):
            made_by = (store.about or {}).get("codec")
            if codec and made_by and made_by != codec:
                remedy = f"was made by codec {made_by}, the model was converted with {codec}; encode with that one"
                raise MostError("data.arrays", store.folder, remedy)
        if len(frames):
            _check_frames(frames, config)


def _check_frames(frames: ArrayStore, config: Any) -> None:
    from most.model.configuration import encoder_shape

    if config.audio_config is None:
        raise MostError("data.arrays", frames.folder, "holds frames, but this model has no audio encoder")
    width = frames[next(iter(frames))].shape[-1]
    wanted = encoder_shape(config.audio_config).hidden_size
    if width != wanted:
        remedy = f"its frames are {width} wide, the model's encoder gives {wanted}; encode with the model's codec"
        raise MostError("data.arrays", frames.folder, remedy)
    about = frames.about or {}
    if "layer" in about and about["layer"] != config.audio_layer:
        remedy = f"its frames are of encoder layer {about['layer']}, the model reads {config.audio_layer}; encode again"
        raise MostError("data.arrays", frames.folder, remedy)


def _codec_of(model: Path) -> str | None:
    """Fingerprint of the codec that the model was converted with, where the conversion wrote it down."""
    path = Path(model) / CONVERSION
    return json.loads(path.read_text(encoding="utf-8")).get("codec") if path.is_file() else None

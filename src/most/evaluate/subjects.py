"""Which subject a model is: a MoST, or any other language model that transformers loads."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoConfig

from most.errors import MostError
from most.evaluate.most_subject import MostSubject
from most.evaluate.recipe import EvalRecipe
from most.evaluate.subject import Capability, Subject
from most.evaluate.text_subject import TextSubject
from most.model.configuration import MostConfig


def capabilities_of(model: str | Path) -> frozenset[Capability]:
    """What a model can do, from its config alone.

    Raises:
        MostError: no such folder or hub id, or a kind of model that transformers does not know.
    """
    return (MostSubject if _is_most(model) else TextSubject).capabilities


def open_subject(recipe: EvalRecipe, model: str | Path) -> Subject:
    """The model, loaded as the recipe says."""
    if not _is_most(model):
        if recipe.bits is not None:
            raise MostError("bits", recipe.bits, "are for a MoST; leave them out for a text model")
        return TextSubject.load(model, batch_size=recipe.batch_size, device=recipe.device)
    return MostSubject.load(
        model, codec=recipe.codec, device=recipe.device, bits=recipe.bits, batch_size=recipe.batch_size,
        speaker=recipe.speaker, temperature=recipe.temperature, best_of=recipe.best_of,
        hearing=recipe.hearing,
    )  # fmt: skip


def _is_most(model: str | Path) -> bool:
    if Path(model).is_dir() and not (Path(model) / "config.json").is_file():
        raise MostError("model", model, "holds no config.json; give the folder of a model")
    try:
        return isinstance(AutoConfig.from_pretrained(str(model)), MostConfig)
    except Exception as e:  # transformers raises many kinds here
        raise MostError("model", model, "is no folder of a model here, and no hub id that can be reached") from e

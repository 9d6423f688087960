"""The model that a recipe trains: a MoST, or a plain mixture-of-experts LM that learns text first (stage 0).

A plain one is wrapped as a MoST without ears and without modality routing, so that one trainer, one balance loss and
one way of packing serve both. The few rows that the wrapping adds to its vocabulary are taken off again at the end.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer

from most.errors import MostError
from most.model.load import load_most
from most.model.modeling import MostForConditionalGeneration
from most.model.packed import SDPA_PACKED
from most.model.plain import is_plain, load_plain
from most.model.processing import MostProcessor
from most.train.preflight import CONVERSION
from most.train.recipe import TrainRecipe

_KEPT = ("source", "revision", "model_type", "becomes", "settings", "codec")
"""Of the conversion's report, what is still true of a trained model."""


@dataclass
class Trained:
    """A model to train, with what is needed to write it as it came.

    Args:
        dtype: of the checkpoint; weights are float32 while they train.
        plain: whether it came as a plain LM.
    """

    model: MostForConditionalGeneration
    processor: MostProcessor
    source: Path
    dtype: torch.dtype
    plain: bool

    def save(self, folder: Path, state: dict[str, Any] | None = None, is_main_process: bool = True) -> None:
        """Write model and processor. Changes the model: nothing can be trained afterwards.

        Args:
            state: the weights, where the model's own are sharded.
        """
        model: Any = self.model
        if state is None:
            model.to(self.dtype)
        else:
            state = {name: t.to(self.dtype) if t.is_floating_point() else t for name, t in state.items()}
        model.config.dtype = model.config.text_config.dtype = self.dtype
        if not self.plain:
            model.save_pretrained(folder, state_dict=state, is_main_process=is_main_process)
            if is_main_process:
                self.processor.save_pretrained(folder)
                self._hand_on(folder)
            return
        if state is not None:
            model.load_state_dict(state)
        if is_main_process:
            tokenizer = AutoTokenizer.from_pretrained(str(self.source))
            lm = model.language_model
            rows = AutoConfig.from_pretrained(str(self.source)).vocab_size
            if lm.get_input_embeddings().weight.shape[0] != rows:
                lm.resize_token_embeddings(rows, mean_resizing=False)
            lm.save_pretrained(folder)
            tokenizer.save_pretrained(folder)

    def _hand_on(self, folder: Path) -> None:
        report = self.source / CONVERSION
        if report.is_file():
            before = json.loads(report.read_text(encoding="utf-8"))
            kept = {key: before[key] for key in _KEPT if key in before}
            (folder / CONVERSION).write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def open_model(recipe: TrainRecipe, **load: Any) -> Trained:
    """Load what the recipe names, in float32, with its balance loss and kernel.

    Args:
        load: for `from_pretrained`, where the model is sharded as it is loaded.

    Raises:
        MostError: as `load_most`, or a kernel that transformers does not know.
    """
    plain = is_plain(recipe.model)
    if plain:
        model, processor = load_plain(recipe.model, seed=recipe.seed)
    else:
        model, processor = load_most(recipe.model, **load)
    dtype = model.dtype
    model.float()
    on_cpu = not torch.accelerator.is_available()
    if on_cpu and not plain and model.language_model.config._attn_implementation == "sdpa":
        model.language_model.set_attn_implementation(SDPA_PACKED)
    if recipe.balance_loss_alpha is not None:
        model.config.balance_loss_alpha = recipe.balance_loss_alpha
    if recipe.text_loss_weight is not None:
        model.config.text_loss_weight = recipe.text_loss_weight
    if recipe.ctc_loss_weight is not None:
        model.config.ctc_loss_weight = recipe.ctc_loss_weight
    if recipe.data.words is not None:
        processor.guided_speech = True
    if recipe.experts_implementation is not None:
        try:
            model.language_model.set_experts_implementation(recipe.experts_implementation)
        except (ValueError, ImportError) as e:
            remedy = f"cannot run here: {str(e).splitlines()[0]}"
            raise MostError("experts_implementation", recipe.experts_implementation, remedy) from e
    return Trained(model, processor, recipe.model, dtype, plain)

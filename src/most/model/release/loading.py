"""How transformers reads a release: a quantizer that widens int8 weights and takes the audio encoder from the codec.

This, and no `from_pretrained` of our own, because all else is then transformers' work: files of a folder or hub id
found by the index, dtypes, device maps, and the report of missing and unknown weights. Only what a quantizer overrides
is used, and of the conversions only the two basic ones; both are alike in transformers 5.17 and 5.24, where the helpers
around them (`serialized_names`, `get_load_operations`) are not. What comes out is an ordinary float model.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from transformers.core_model_loading import ConversionOps, WeightConverter, WeightRenaming
from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING, register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from most.errors import MostError
from most.model.release.int8 import CODES, SCALES, widen

METHOD = "most_release"
ENCODER = "audio_encoder.model."
"""What the encoder's tensors are called in a MoST; in the codec they have transformers' names for that encoder."""

OURS = ("language_model.", "audio_encoder.", "audio_projection.")


class ReleaseConfig(QuantizationConfigMixin):
    """`quantization_config` of a release's config.json.

    Args:
        weights: int8 or bfloat16, for the record: the tensors' names and dtypes say what is what.
        encoder_prefix: what the names of the encoder's tensors in the codec start with, where they are the model's,
            too; None where the model has its own encoder, or none.
    """

    dequantize = True  # tells transformers to take every trace of the quantizer off the loaded model

    def __init__(self, weights: str = "int8", encoder_prefix: str | None = None, **_: Any) -> None:
        self.quant_method: Any = METHOD
        self.weights, self.encoder_prefix = weights, encoder_prefix


class ReleaseQuantizer(HfQuantizer):
    """Lives for the length of one `from_pretrained`."""

    quantization_config: ReleaseConfig

    def validate_environment(self, *args: Any, **kwargs: Any) -> None:
        if not self.pre_quantized:
            raise MostError("quantization_config", METHOD, "is only read; write such a model with `most release`")

    def get_weight_conversions(self) -> list[Any]:
        conversions: list[Any] = [WeightConverter([CODES, SCALES], "", [_Widen()])]
        if (prefix := self.quantization_config.encoder_prefix) is not None:
            # HuBERT's names have no prefix, so ours are kept out by name.
            ours = "|".join(map(re.escape, OURS))
            conversions.insert(0, WeightRenaming(rf"^{prefix}(?:(?!{ours}))(.+)", rf"{ENCODER}\1"))
        return conversions

    def get_new_dtype(self, converter: Any, param: Any, dtype: torch.dtype | None) -> torch.dtype | None:
        """Codes and scales are read as they are (transformers 5.24; 5.17 does so by itself)."""
        return None if isinstance(converter, WeightConverter) else dtype

    def _process_model_before_weight_loading(self, model: Any, **kwargs: Any) -> Any:
        if getattr(model.config, "distributed_config", None) is not None:
            remedy = "is a release, which loads whole; load and `save_pretrained` it, and name that folder"
            raise MostError("model", model.config.name_or_path, remedy)
        self._shapes = {name: p.shape for name, p in model.named_parameters()}
        encoder = model.audio_encoder
        self._encoder_dtype = None if encoder is None else next(encoder.parameters()).dtype
        return model

    def _process_model_after_weight_loading(self, model: Any, **kwargs: Any) -> Any:
        # transformers 5.17 checks no shape when there is a quantizer, and leaves renamed tensors in the file's dtype.
        wrong = [name for name, p in model.named_parameters() if p.shape != self._shapes[name]]
        if wrong:
            remedy = f"differs in {len(wrong)} weights from its config, such as {wrong[0]}; copy both again"
            raise MostError("checkpoint", model.config.name_or_path, remedy)
        if self._encoder_dtype is not None:
            model.audio_encoder.to(self._encoder_dtype)
        vars(model).pop("_weight_conversions", None)  # or saving would undo them
        return model

    def is_serializable(self) -> bool:
        return True

    @property
    def is_trainable(self) -> bool:
        return True


class _Widen(ConversionOps):
    """Codes and scales into a weight of the model's dtype."""

    def convert(
        self,
        input_dict: dict[str, Any],
        source_patterns: list[str],
        target_patterns: list[str],
        *,
        full_layer_name: str = "",
        model: Any = None,
        **kwargs: Any,
    ) -> dict[str, torch.Tensor]:
        parts = {key: value[0] if isinstance(value, list) else value for key, value in input_dict.items()}
        if lost := {CODES, SCALES} - set(parts):
            raise ValueError(f"{full_layer_name} lacks its {', '.join(sorted(lost))} tensor")
        return {full_layer_name: widen(parts[CODES], parts[SCALES], model.get_parameter(full_layer_name).dtype)}


def stored_as(name: str, config: Any) -> str | None:
    """The model's name for a tensor of a folder's files; None for one that is only a part of a weight.

    Args:
        config: the folder's; what is no release has its own names.
    """
    how = getattr(config, "quantization_config", None)
    if not how:
        return name
    if name.endswith(SCALES):
        return None
    prefix = dict(how).get("encoder_prefix")
    if prefix is None or name.startswith(OURS):
        return name.removesuffix(CODES)
    return ENCODER + name.removeprefix(prefix)


def register() -> None:
    """Tell transformers; a second call does nothing."""
    if METHOD not in AUTO_QUANTIZER_MAPPING:
        register_quantization_config(METHOD)(ReleaseConfig)
        register_quantizer(METHOD)(ReleaseQuantizer)

"""A plain language model as a MoST without ears and without modality routing: for what then serves both.

Stage 0 trains it, and a server writes with it: what `most export` leaves of a MoST is such a model.
"""

from __future__ import annotations

from pathlib import Path

from transformers import AutoConfig

from most.errors import MostError
from most.model.build import build_from_backbone
from most.model.load import load_backbone
from most.model.modeling import MostForConditionalGeneration
from most.model.processing import MostProcessor, add_speech_tokens


def is_plain(source: str | Path) -> bool:
    """Whether a folder or hub id is a language model that has not been converted.

    Raises:
        MostError: it has no config that transformers reads.
    """
    try:
        return AutoConfig.from_pretrained(str(source)).model_type != "most"
    except Exception as e:  # transformers and the hub client raise many kinds
        remedy = "holds no config.json that transformers reads; give a model's folder or hub id"
        raise MostError("model", source, remedy) from e


def load_plain(source: str | Path, *, seed: int = 0) -> tuple[MostForConditionalGeneration, MostProcessor]:
    """The model in its checkpoint's dtype, wrapped with one unit that is never used.

    Raises:
        MostError: as `load_backbone`, or a backbone that MoST does not know.
    """
    lm, tokenizer = load_backbone(source)
    text_size = add_speech_tokens(tokenizer, n_units=1)
    model = build_from_backbone(lm, tokenizer_size=text_size, n_units=1, modality_routing=False, seed=seed)
    vocab_size = model.vocab.vocab_size
    return model, MostProcessor(tokenizer=tokenizer, text_size=text_size, n_units=1, vocab_size=vocab_size)

"""`most init`: a fresh backbone of any transformers architecture, with a tokenizer trained on the text at hand.

For models small enough to train from nothing. What comes out is a plain transformers checkpoint, converted like any
other.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from most.errors import MostError
from most.manifest import read_examples

CONTROL_TOKENS = ("<|pad|>", "<|bos|>", "<|eos|>", "<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "<|bos|>{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}"
    "{% if m['role'] == 'assistant' %}<|eos|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True, kw_only=True)
class BackboneRecipe:
    """A backbone to make from nothing.

    Args:
        output: folder to write; must not exist.
        manifests: example manifests whose text the tokenizer is trained on.
        vocab_size: of the tokenizer, at most; small texts give fewer.
        config: what transformers' AutoConfig takes (`model_type` and the architecture's own keys).
        seed: of the random weights.
    """

    output: Path
    manifests: tuple[Path, ...]
    vocab_size: int
    config: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if "model_type" not in self.config:
            raise MostError("config.model_type", None, "is missing; name a transformers architecture, e.g. deepseek_v2")
        smallest = 256 + len(CONTROL_TOKENS)
        if self.vocab_size < smallest:
            raise MostError("vocab_size", self.vocab_size, f"must be at least {smallest}: all bytes and control tokens")


def init_backbone(recipe: BackboneRecipe, *, echo: Any = print) -> Path:
    """Train the tokenizer, draw the weights, save both. Returns the folder.

    Raises:
        MostError: the output exists, a manifest cannot be read, or transformers refuses the configuration.
    """
    if recipe.output.exists():
        raise MostError("output", recipe.output, "exists; choose another folder or delete it")
    texts = [t.text for m in recipe.manifests for e in read_examples(m) for t in e.turns if t.text]
    tokenizer = train_tokenizer(texts, recipe.vocab_size)
    overrides = dict(recipe.config)
    ids = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    try:
        config = AutoConfig.for_model(overrides.pop("model_type"), **ids, **overrides)
    except Exception as e:  # transformers raises many kinds here; all mean the recipe is at fault
        raise MostError("config", recipe.config, f"was refused by transformers: {e}") from e
    torch.manual_seed(recipe.seed)
    model = AutoModelForCausalLM.from_config(config)
    part = recipe.output.with_name(recipe.output.name + ".part")
    model.save_pretrained(part)
    tokenizer.save_pretrained(part)
    os.replace(part, recipe.output)
    echo(f"init: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {len(tokenizer)} tokens")
    return recipe.output


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with the chat template above; it can write any text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(CONTROL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        bos_token="<|bos|>",
        eos_token="<|eos|>",
        additional_special_tokens=["<|system|>", "<|user|>", "<|assistant|>"],
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast

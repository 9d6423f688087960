"""A grid of two variants and two seeds over the tiny corpus, small enough for a test."""

from __future__ import annotations

import pytest

from most.ablate.recipe import AblateRecipe
from most.manifest import read_examples, write_jsonl
from most.settings import build

CONFIG = {
    "model_type": "deepseek_v2", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "intermediate_size": 48, "first_k_dense_replace": 1, "n_routed_experts": 4,
    "num_experts_per_tok": 2, "n_shared_experts": 1, "moe_intermediate_size": 16, "q_lora_rank": None,
    "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 16, "tie_word_embeddings": True,
}  # fmt: skip
WATCH = {"report": False, "gradients": False, "routing_every": 2}


@pytest.fixture
def grid(tiny_codec, tiny_corpus, tiny_arrays, tmp_path):
    """`grid(**changes)` reads a recipe, as YAML would give it."""
    for task in ("asr", "tts", "text"):
        rows = [e for e in read_examples(tiny_corpus / "train.jsonl") if e.task == task]
        write_jsonl(tiny_corpus / f"{task}.jsonl", rows)
    learn = {"steps": 3, "batch_size": 5, "learning_rate": 3e-3, "watch": WATCH, "log_every": 1}
    text = {"manifests": [str(tiny_corpus / "text.jsonl")]}
    heard = {"manifests": [str(tiny_corpus / "asr.jsonl")], "arrays": str(tiny_arrays)}
    tree = {
        "output": str(tmp_path / "grid"),
        "codec": str(tiny_codec),
        "seeds": [0, 1],
        "backbones": {
            "moe": {
                "init": {"manifests": [str(tiny_corpus / "train.jsonl")], "vocab_size": 290, "config": CONFIG},
                "train": {"data": {**text, "mixture": {"text": 1.0}}, **learn},
            }
        },
        "variants": {
            "index": {"backbone": "moe", "about": "split by index"},
            "plain": {"backbone": "moe", "about": "no split", "convert": {"partition": "none"}},
        },
        "convert": {"new_row_noise": 1.0},
        "train": {
            "data": {"manifests": [str(tiny_corpus / "train.jsonl")], "arrays": str(tiny_arrays)},
            "held_out": {**heard, "every": 2},
            **learn,
        },
        "losses": {"hear": heard, "text": text},
        "claims": [{"says": "split wins", "source": "a test", "better": "index", "worse": "plain",
                    "measures": ["hear", "text"]}],
        "open_question": {"asks": "Which?", "among": ["index", "plain"], "measures": ["hear"]},
    }  # fmt: skip

    def make(**changes) -> AblateRecipe:
        return build(AblateRecipe, {**tree, **changes}, "grid")

    return make

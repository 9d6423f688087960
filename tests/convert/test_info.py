"""`most info`: what headers say is what the loaded model has."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from most.convert.info import PARTS, as_text, describe
from most.errors import MostError
from most.model.families import FAMILIES, family_of
from most.model.install import moe_routers
from most.model.load import load_most
from most.model.partition import resolve


def n_of(*modules):
    return sum(p.numel() for m in modules for p in m.parameters())


def counted(model):
    """The same counts from the loaded modules: part -> (total, a text token's, an audio token's)."""
    lm, config = model.language_model, model.config
    found = moe_routers(lm)
    layers = lm.get_decoder().layers
    n_experts, top_k = (
        family_of(config.text_config).num_experts(config.text_config),
        config.text_config.num_experts_per_tok,
    )
    split = resolve(config.partitions, num_experts=n_experts, top_k=None, n_layers=len(found))
    sizes = [n_of(holder.experts) // n_experts for holder, _ in found]
    used = sum(top_k * size for size in sizes)
    out = dict.fromkeys(PARTS, (0, 0, 0))
    if config.modality_routing:
        out["text_experts"] = (sum(len(p.text) * s for p, s in zip(split, sizes, strict=True)), used, 0)
        out["audio_experts"] = (sum(len(p.audio) * s for p, s in zip(split, sizes, strict=True)), 0, used)
    else:
        out["routed_experts"] = (n_experts * sum(sizes), used, used)
    holders = [holder for holder, _ in found]
    n_shared = n_of(*(m for h in holders for n, m in h.named_children() if n.startswith("shared_expert")))
    n_dense = n_of(*(x.mlp for x in layers if hasattr(x, "mlp") and x.mlp not in holders))
    n_router = n_of(*(getattr(holder, name) for holder, name in found))
    n_attention = n_of(*(x.self_attn for x in layers))
    embedding, head = n_of(model.get_input_embeddings()), n_of(model.get_output_embeddings())
    tied = bool(config.text_config.tie_word_embeddings)
    for name, n in (
        ("shared_experts", n_shared),
        ("dense_mlps", n_dense),
        ("router", n_router),
        ("attention", n_attention),
        ("output_head", 0 if tied else head),
    ):
        out[name] = (n, n, n)
    out["embeddings"] = (embedding, embedding, embedding) if tied else (embedding, 0, 0)
    n = n_of(model.audio_projection)
    out["audio_projection"], out["audio_encoder"] = (n, 0, n), (n_of(model.audio_encoder), 0, 0)
    n = n_of(model) - sum(total for total, _, _ in out.values())
    out["norms"] = (n, n, n)
    return out


def check(folder):
    model, _ = load_most(folder)
    facts = describe(folder)
    parts = facts["parameters"]["parts"]
    expected = counted(model)
    assert {k: tuple(v.values()) for k, v in parts.items()} == expected
    for i, key in enumerate(("total", "active_text", "active_audio")):
        assert facts["parameters"][key] == sum(row[i] for row in expected.values())
    assert facts["parameters"]["total"] == n_of(model)
    assert 0 < parts["norms"]["total"] < parts["attention"]["total"]
    return facts


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_is_counted_as_it_loads(family, source, converted):
    folder = source(family)
    facts = check(converted(folder))
    assert facts["backbone"] == family
    assert facts["experts"] == {"routed": 4, "per_token": 2}
    moe = facts["layers"]["moe"]
    assert facts["partition"] == {
        "method": "index", "scores_over": "all", "text": [2] * moe, "audio": [2] * moe, "differs": False
    }  # fmt: skip
    assert facts["source"] == {"name": str(folder), "revision": None, "model_type": family}
    assert (facts["parameters"]["parts"]["shared_experts"]["total"] > 0) == (
        family in ("deepseek_v2", "deepseek_v3", "qwen2_moe")
    )


@pytest.mark.parametrize(
    ("family", "settings", "partition"),
    [
        ("mixtral", {"partition": "expand", "audio_experts": 3}, ("expand", "own", [4] * 3, [3] * 3)),
        ("granitemoe", {"partition": "expand", "audio_experts": 6}, ("expand", "own", [4] * 3, [6] * 3)),
        ("llama", {"experts_per_group": 3, "top_k": 1}, ("upcycle", "own", [3] * 3, [3] * 3)),
        ("llama", {"shared_expert": True}, ("upcycle", "own", [4] * 3, [4] * 3)),
        ("qwen2", {}, ("upcycle", "own", [4] * 3, [4] * 3)),
    ],
)
def test_every_partition_is_counted_as_it_loads(family, settings, partition, source, converted):
    facts = check(converted(source(family), **settings))
    assert tuple(facts["partition"].values()) == (*partition, False)
    has_shared = facts["parameters"]["parts"]["shared_experts"]["total"] > 0
    assert has_shared == (family == "qwen2" or "shared_expert" in settings)


def test_layers_split_differently(source, converted):
    folder = converted(source("olmoe"), partition="random", seed=3)
    facts = check(folder)
    assert (facts["partition"]["method"], facts["partition"]["differs"]) == ("random", True)
    config = json.loads((folder / "config.json").read_text())
    row = {"num_experts": 4, "text": [0], "audio": [1, 2, 3], "method": "given", "scores_over": "own"}
    config["partitions"][0] = row
    config["text_config"]["num_experts_per_tok"] = 1
    (folder / "config.json").write_text(json.dumps(config))
    facts = check(folder)
    assert facts["partition"] == {
        "method": "mixed", "scores_over": "mixed", "text": [1, 2, 2], "audio": [3, 2, 2], "differs": True
    }  # fmt: skip
    assert "1 text + 3 audio; 2 text + 2 audio" in as_text(facts)


def test_without_modality_routing_experts_have_no_modality(source, converted):
    facts = check(converted(source("qwen3_moe"), modality_routing=False))
    assert facts["partition"] is None
    assert "modality routing is off" in as_text(facts)


def test_encoder_vocabulary_and_bytes(source, converted):
    folder = converted(source("deepseek_v2", torch.bfloat16), max_shard_bytes=20_000)
    assert (folder / "original_rows.safetensors").is_file()
    facts = check(folder)
    model, _ = load_most(folder)
    assert facts["encoder"] == {
        "type": "whisper", "layers": 2, "layer": None, "width": 16, "sample_rate_hz": 16000, "frame_rate_hz": 50.0,
        "positions_per_second": 25.0,
    }  # fmt: skip
    size = model.config.text_size
    assert facts["vocabulary"] == {"rows": model.vocab.vocab_size, "text": size, "units": 20, "markers": 5}
    stored = [t for p in folder.glob("model-*.safetensors") for t in load_file(p).values()]
    for name, dtype in (("BF16", torch.bfloat16), ("F32", torch.float32)):
        assert facts["dtypes"][name] == sum(t.numel() * t.element_size() for t in stored if t.dtype == dtype)
    assert facts["bytes"]["weights"] == sum(p.stat().st_size for p in folder.glob("model-*.safetensors"))
    assert facts["bytes"]["folder"] == sum(p.stat().st_size for p in folder.iterdir())
    text = as_text(facts)
    assert "whisper, 2 layers of 16 (final output), 50 frames and 25 positions a second" in text
    assert "deepseek_v2, 3 layers, 2 of them mixtures" in text
    rows = text.splitlines()[-len(PARTS) :]
    assert len({len(line) for line in rows if line.startswith("  ")}) == 1


def test_what_is_no_whole_most_is_refused(source, converted, tmp_path):
    with pytest.raises(MostError, match="no config"):
        describe(tmp_path / "nowhere")
    with pytest.raises(MostError, match="plain olmoe checkpoint"):
        describe(source("olmoe"))
    folder = converted(source("olmoe"), max_shard_bytes=20_000)
    (folder / "conversion.json").unlink()
    assert describe(folder)["source"] is None
    assert "not recorded" in as_text(describe(folder))
    shutil.move(sorted(folder.glob("model-*"))[1], tmp_path / "away")
    with pytest.raises(MostError, match="shards are missing, such as model-00002"):
        describe(folder)

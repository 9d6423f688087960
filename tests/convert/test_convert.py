"""Conversion: what comes out is the source with room made in it, for every family and partition."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from most.convert.backbone import train_tokenizer
from most.convert.convert import convert
from most.convert.settings import ConvertSettings
from most.errors import MostError
from most.model.build import build_from_backbone
from most.model.families import FAMILIES
from most.model.install import moe_routers
from most.model.load import load_most
from most.model.partition import ExpertPartition
from most.model.processing import add_speech_tokens
from most.speech.codec import Codec

TEXT = torch.tensor([[1, 70, 80, 90, 260, 75, 2], [1, 100, 101, 102, 103, 104, 105]])


def text_logits(model, ids=TEXT, size=262):
    """Weights are copied first: as loaded they lie in a memory map, and matrix kernels round by alignment."""
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits[..., :size]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_streamed_equals_in_memory(family, source, converted, tiny_codec):
    folder = source(family)
    model, processor = load_most(converted(folder))
    lm = AutoModelForCausalLM.from_pretrained(folder)
    codec = Codec.load(tiny_codec)
    expected = build_from_backbone(
        lm,
        tokenizer_size=len(AutoTokenizer.from_pretrained(folder)),
        n_units=codec.n_units,
        audio_encoder=codec.encoder,
        audio_stack=2,
    )
    theirs = expected.state_dict()
    assert set(theirs) == set(model.state_dict())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name
    assert model.config.to_dict()["partitions"] == [ExpertPartition.split_by_index(4).to_json()]
    assert processor.tokenizer.convert_tokens_to_ids("<|unit_0|>") == model.vocab.unit_start
    assert model.generation_config.eos_token_id == 2


@pytest.mark.parametrize("n_audio", [None, 3, 6])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_expand_leaves_text_as_it_was_bit_for_bit(family, n_audio, source, converted):
    folder = source(family)
    model, _ = load_most(converted(folder, partition="expand", audio_experts=n_audio))
    lm = AutoModelForCausalLM.from_pretrained(folder)
    assert torch.equal(text_logits(model), text_logits(lm))
    experts = [m.experts for m, _ in moe_routers(model.language_model)]
    for layer in experts:
        assert layer.gate_up_proj.shape[0] == 4 + (n_audio or 4)
        copied = [i % 4 for i in range(n_audio or 4)] if n_audio != 3 else [0, 1, 2]
        assert torch.equal(layer.down_proj[4:], layer.down_proj[copied])


@pytest.mark.parametrize(
    ("family", "shared", "becomes"),
    [
        ("llama", None, "mixtral"),
        ("llama", True, "qwen2_moe"),
        ("qwen2", None, "qwen2_moe"),
        ("qwen3", None, "qwen3_moe"),
    ],
)
def test_upcycling_starts_as_the_dense_model(family, shared, becomes, source, converted):
    folder = source(family)
    model, _ = load_most(converted(folder, experts_per_group=3, top_k=2, shared_expert=shared))
    assert model.config.text_config.model_type == becomes
    assert (model.config.partitions[0]["text"], model.config.partitions[0]["method"]) == ([0, 1, 2], "upcycle")
    lm = AutoModelForCausalLM.from_pretrained(folder)
    torch.testing.assert_close(text_logits(model), text_logits(lm), atol=1e-5, rtol=1e-5)
    speech = torch.full_like(TEXT, model.vocab.unit_start)
    text_as_audio = {
        "inputs_embeds": model.get_input_embeddings()(TEXT),
        "modality_ids": model.vocab.modality_of(speech),
    }
    with torch.no_grad():  # the audio group starts as the same model
        heard = model(**text_as_audio).logits[..., :262]
    torch.testing.assert_close(heard, text_logits(lm), atol=1e-5, rtol=1e-5)
    weights = [getattr(holder, name).weight for holder, name in moe_routers(model.language_model)]
    assert not torch.equal(weights[0], weights[1])


def test_upcycled_experts_learn_apart(source, converted):
    model, _ = load_most(converted(source("llama"), experts_per_group=2, top_k=1))
    model.train()
    model(input_ids=TEXT, labels=TEXT).loss.backward()
    gradient = moe_routers(model.language_model)[0][0].experts.down_proj.grad
    assert not torch.equal(gradient[0], gradient[1])
    assert gradient[2:].abs().sum() == 0


def test_bfloat16_sources_stay_bfloat16(source, converted):
    folder = source("deepseek_v2", torch.bfloat16)
    out = converted(folder, partition="expand")
    model, _ = load_most(out)
    lm = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert model.dtype == lm.dtype == torch.bfloat16
    assert torch.equal(text_logits(model), text_logits(lm))


def test_a_fused_source_gives_the_same(source, converted, tmp_path):
    folder = source("mixtral")
    fused = tmp_path / "fused"
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(fused, save_original_format=False)
    AutoTokenizer.from_pretrained(folder).save_pretrained(fused)
    assert any("gate_up_proj" in name for name in load_file(fused / "model.safetensors"))
    a, b = (load_file(converted(f, n) / "model.safetensors") for f, n in ((folder, "a"), (fused, "b")))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert set(a) == set(b)


def test_usage_keeps_what_text_uses(source, converted, tmp_path):
    folder = source("olmoe")
    calibration = tmp_path / "text.txt"
    calibration.write_text("one two three four\n\nfive six seven\n\nthe quick brown fox jumps over the lazy dog")
    model, _ = load_most(converted(folder, partition="usage", calibration=calibration))
    lm, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    counts = torch.zeros(3, 4, dtype=torch.long)
    for text in calibration.read_text().split("\n\n"):
        with torch.no_grad():
            logits = lm(**tokenizer(text, return_tensors="pt"), output_router_logits=True).router_logits
        for layer, row in enumerate(logits):
            counts[layer] += torch.bincount(row.topk(2).indices.flatten(), minlength=4)
    for layer, row in enumerate(model.config.partitions):
        assert sorted(counts[layer].argsort(descending=True, stable=True)[:2].tolist()) == row["text"]
        assert row["method"] == "usage"
    assert len(model.config.partitions) == 3


def test_random_is_seeded(source, converted):
    rows = [
        json.loads((converted(source("olmoe"), f"m{i}", partition="random", seed=seed) / "config.json").read_text())
        for i, seed in enumerate((1, 1, 2))
    ]
    assert rows[0]["partitions"] == rows[1]["partitions"] != rows[2]["partitions"]


def test_the_report_accounts_for_everything(source, converted):
    import hashlib

    out = converted(source("deepseek_v2"), max_shard_bytes=60_000)
    report = json.loads((out / "conversion.json").read_text())
    files = sorted(p.name for p in out.glob("model*.safetensors"))
    assert sorted(report["sha256"]) == files
    assert len(files) > 1
    for name, digest in report["sha256"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    stored = {k: v for f in files for k, v in load_file(out / f).items()}
    assert report["tensors"] == len(stored)
    assert report["bytes"] == sum(v.numel() * v.element_size() for v in stored.values())
    assert report["parameters"] == sum(v.numel() for v in stored.values())
    assert report["dropped"] == {}
    assert report["settings"]["partition"] == "index"


def rewrite(folder, target, change):
    """A copy of a source whose tensors were changed by `change(dict)`."""
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


def test_what_is_left_out_is_named(source, converted, tmp_path):
    def change(t):
        t["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
        t["model.layers.3.mlp.gate.weight"] = torch.ones(4, 32)

    report = json.loads(
        (converted(rewrite(source("deepseek_v2"), tmp_path / "s", change)) / "conversion.json").read_text()
    )
    assert "computed" in report["dropped"]["model.layers.0.self_attn.rotary_emb.inv_freq"]
    assert "num_hidden_layers" in report["dropped"]["model.layers.3.mlp.gate.weight"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.pop("model.layers.1.mlp.experts.3.up_proj.weight"), r"experts.3.up_proj.weight: no source"),
        (lambda t: t.pop("model.norm.weight"), "model.norm.weight: no source"),
        (lambda t: t.update({"model.layers.1.mlp.extra.weight": torch.ones(1)}), "extra.weight: is in the source"),
        (lambda t: t.update({"model.norm.weight": torch.ones(31)}), r"\[32\], the source \[31\]"),
        (
            lambda t: t.update({"model.layers.2.mlp.experts.0.down_proj.weight": torch.ones(32, 15)}),
            "layers.2.mlp.experts.down_proj",
        ),
        (lambda t: t.update({"model.norm.weight": torch.ones(32).to(torch.float8_e4m3fn)}), "F8_E4M3"),
    ],
)  # fmt: skip
def test_a_source_that_does_not_fit_is_refused(change, match, source, converted, tmp_path):
    with pytest.raises(MostError, match=match):
        converted(rewrite(source("deepseek_v2"), tmp_path / "s", change))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s"]


@pytest.mark.parametrize(
    ("family", "settings", "match"),
    [
        ("llama", {"partition": "index"}, "is dense"),
        ("olmoe", {"partition": "upcycle"}, "mixture of experts already"),
        ("qwen3", {"shared_expert": True}, "no mixture with a shared expert"),
        ("qwen2", {"shared_expert": False}, "always has a shared expert"),
    ],
)
def test_a_partition_that_the_source_cannot_have(family, settings, match, source, converted):
    with pytest.raises(MostError, match=match):
        converted(source(family), **settings)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"partition": "usage"}, "calibration"),
        ({"audio_experts": 3}, "audio_experts"),
        ({"top_k": 5}, "top_k"),
        ({"partition": "expand", "audio_experts": 0}, "at least 1"),
    ],
)
def test_settings_that_do_not_fit_each_other(settings, match):
    with pytest.raises(MostError, match=match):
        ConvertSettings(**settings)


def test_too_few_experts_for_the_router(source, converted, tmp_path):
    with pytest.raises(MostError, match="partition"):
        converted(source("olmoe", num_experts_per_tok=3))
    with pytest.raises(MostError, match="partition"):
        converted(source("olmoe"), partition="expand", audio_experts=1)
    assert not list(tmp_path.iterdir())


def test_an_unknown_architecture_names_the_known(tmp_path, tiny_codec):
    from transformers import GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=10)).save_pretrained(tmp_path / "gpt2")
    with pytest.raises(MostError, match=r"gpt2.*deepseek_v2.*llama"):
        convert(tmp_path / "gpt2", tmp_path / "out", codec=tiny_codec)
    with pytest.raises(MostError, match="no hub id that can be reached"):
        convert("no/such-model-anywhere", tmp_path / "out", codec=tiny_codec)


def test_unused_ids_below_the_last_token_are_not_taken():
    tokenizer = train_tokenizer(["one two three"], 270)
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    last = max(tokenizer.get_vocab().values())
    content["model"]["vocab"]["<|late|>"] = last + 5
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(content))
    assert len(tokenizer) < last + 6
    with pytest.raises(MostError, match="gave another id"):
        add_speech_tokens(tokenizer, 4)

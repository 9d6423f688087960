"""Checkpoints: what is saved is what is loaded, through the Auto classes; what does not fit is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForMultimodalLM, AutoModelForSpeechSeq2Seq

from most.errors import MostError
from most.model import MostConfig, MostForConditionalGeneration
from most.model.install import routers
from most.model.partition import ExpertPartition

ODD = ExpertPartition(num_experts=8, text=(0, 2, 4, 6, 7), audio=(1, 3, 5), method="usage")


def logits(tiny, model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(**tiny.batch(model)).logits


def plain(config: MostConfig) -> dict[str, Any]:
    """Without what saving and loading write for the record."""
    notes = ("dtype", "_name_or_path", "architectures", "transformers_version")
    row = {k: v for k, v in config.to_dict().items() if k not in notes}
    return {**row, "text_config": {k: v for k, v in row["text_config"].items() if k not in notes}}


@pytest.mark.parametrize("auto", [AutoModel, AutoModelForMultimodalLM, AutoModelForSpeechSeq2Seq])
def test_round_trip(tiny, tmp_path: Path, auto: Any) -> None:
    model = tiny.most(partition=ODD, balance_loss_alpha=0.02, audio_layer=1)
    model.save_pretrained(tmp_path)
    loaded = auto.from_pretrained(tmp_path).eval()
    assert type(loaded) is MostForConditionalGeneration
    assert torch.equal(logits(tiny, model), logits(tiny, loaded))
    assert routers(loaded.language_model)[1].partition == ODD
    config = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(config, MostConfig)
    assert plain(config) == plain(loaded.config) == plain(model.config)
    assert (config.audio_layer, config.audio_stack, config.balance_loss_alpha) == (1, 2, 0.02)
    assert config.vocab == model.vocab
    assert not any(p.requires_grad for p in loaded.audio_encoder.parameters())
    assert loaded.generation_config.eos_token_id == tiny.eos


@pytest.mark.parametrize("tied", [False, True])
def test_sharded_and_tied(tiny, tmp_path: Path, tied: bool) -> None:
    model = tiny.most(tiny.lm(tie_word_embeddings=tied))
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    loaded = MostForConditionalGeneration.from_pretrained(tmp_path).eval()
    same = loaded.get_output_embeddings().weight.data_ptr() == loaded.get_input_embeddings().weight.data_ptr()
    assert same is tied
    assert loaded.config.tie_word_embeddings is tied
    assert torch.equal(logits(tiny, model), logits(tiny, loaded))


def test_bfloat16(tiny, tmp_path: Path) -> None:
    model = tiny.most().to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    loaded = MostForConditionalGeneration.from_pretrained(tmp_path).eval()
    # transformers 5.24 keeps routers of this backbone in float32.
    assert {p.dtype for n, p in loaded.named_parameters() if not n.endswith("gate.weight")} == {torch.bfloat16}
    saved, again = model.state_dict(), loaded.state_dict()
    assert saved.keys() == again.keys()
    assert all(torch.equal(saved[k], again[k].to(torch.bfloat16)) for k in saved)
    assert torch.isfinite(logits(tiny, loaded)).all()
    wide = MostForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.float32)
    assert {p.dtype for p in wide.parameters()} == {torch.float32}


def test_implementations_pass_to_the_backbone(tiny, tmp_path: Path) -> None:
    tiny.most().save_pretrained(tmp_path)
    model = MostForConditionalGeneration.from_pretrained(
        tmp_path, attn_implementation="eager", experts_implementation="batched_mm"
    )
    assert model.language_model.config._attn_implementation == "eager"
    assert model.language_model.config._experts_implementation == "batched_mm"


def test_building_from_config_is_complete(tiny) -> None:
    config = tiny.most().config
    model = MostForConditionalGeneration(config).eval()
    assert torch.isfinite(logits(tiny, model)).all()
    with torch.device("meta"):
        parameters = dict(MostForConditionalGeneration(config).named_parameters())
    # transformers makes HuBERT's mask embedding, which only its pretraining reads, without regard to the device.
    assert all(p.is_meta for name, p in parameters.items() if not name.endswith("masked_spec_embed"))


def test_parallel_plans_of_the_backbone_are_reachable(tiny) -> None:
    model = tiny.most()
    lm = model.language_model
    for plan in ("_tp_plan", "_ep_plan"):
        ours, theirs = getattr(model, plan, None), getattr(lm, plan, None)
        if theirs:
            assert {f"language_model.{k}": v for k, v in theirs.items()}.items() <= ours.items()
    assert model._no_split_modules >= {"DeepseekV2DecoderLayer"}


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    row = json.loads(path.read_text())
    for key, value in changes.items():
        row["text_config" if key in row["text_config"] else key] = (
            {**row["text_config"], key: value} if key in row["text_config"] else value
        )
    path.write_text(json.dumps(row))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"moe_intermediate_size": 24}, "differs in"),
        ({"vocab_size": 128}, "differs in"),
        ({"num_hidden_layers": 4}, "lacks"),
        ({"num_hidden_layers": 2}, "has unknown"),
        ({"audio_stack": 3}, "differs in"),
        ({"audio_config": None}, "has unknown"),
        ({"n_routed_experts": 16}, "16 routed experts"),
        ({"n_units": 30}, "need 75 rows"),
        ({"num_experts_per_tok": 5}, "the router picks 5"),
    ],
)
def test_a_checkpoint_of_another_shape_is_refused(tiny, tmp_path: Path, changes: dict, message: str) -> None:
    tiny.most(partition=ODD).save_pretrained(tmp_path)
    edit(tmp_path, **changes)
    with pytest.raises(MostError, match=message):
        AutoModelForMultimodalLM.from_pretrained(tmp_path)


def test_config_refusals(tiny) -> None:
    text = tiny.lm().config.to_dict()
    with pytest.raises(MostError, match="audio_stack"):
        MostConfig(text_config=text, text_size=40, n_units=12, audio_stack=0)
    with pytest.raises(MostError, match="balance_loss_alpha"):
        MostConfig(text_config=text, text_size=40, n_units=12, balance_loss_alpha=-1.0)
    with pytest.raises(MostError, match="text_loss_weight"):
        MostConfig(text_config=text, text_size=40, n_units=12, text_loss_weight=0.0)
    with pytest.raises(MostError, match="no audio encoder"):
        MostConfig(text_config=text, text_size=40, n_units=12).num_positions(16000)


def test_positions_and_rates(tiny) -> None:
    model = tiny.most()
    for n in (0, 399, 400, 1279, 1280, 16000, 48001):
        frames = model.audio_encoder.num_frames(n)
        assert model.num_positions(n) == model.config.num_positions(n) == -(-frames // 2)
    assert model.config.position_rate_hz == 25
    assert model.config.sample_rate == 16000

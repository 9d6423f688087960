"""Two CPU processes compute what one does: gradients, losses, order, checkpoints; and nothing waits for ever."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import DeepseekV2Config, DeepseekV2ForCausalLM, WhisperConfig

from most.convert.placement import place_experts
from most.model import MostForConditionalGeneration
from most.model.build import build_from_backbone
from most.speech.encoder import build_encoder

ENGINES = ["ddp", "fsdp", "experts", "tensor", "tensor and experts"]
TEXT_SIZE, N_UNITS = 40, 12
QUIET: dict[str, Any] = {"echo": lambda _: None, "progress": False}


def torchrun(job: str, folder: Path, *, ranks: int = 2, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    worker = Path(__file__).with_name("parallel_worker.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [*command, str(worker), job, str(folder)], env=env, capture_output=True, text=True, timeout=timeout
    )


@pytest.fixture(scope="module")
def two_modalities(tmp_path_factory):
    """A MoST of eight experts a layer, as split by index and with experts placed; a text row and an audio row."""
    folder = tmp_path_factory.mktemp("parallel")
    torch.manual_seed(0)
    config = DeepseekV2Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, moe_intermediate_size=16, num_hidden_layers=3,
        first_k_dense_replace=1, num_attention_heads=2, num_key_value_heads=2, n_routed_experts=8,
        num_experts_per_tok=2, n_shared_experts=1, kv_lora_rank=16, q_lora_rank=None, qk_nope_head_dim=8,
        qk_rope_head_dim=8, v_head_dim=8, initializer_range=0.2, pad_token_id=2,
    )  # fmt: skip
    encoder = build_encoder(
        WhisperConfig(d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=32, num_mel_bins=80)
    )
    model = build_from_backbone(
        DeepseekV2ForCausalLM(config), tokenizer_size=TEXT_SIZE, n_units=N_UNITS, audio_encoder=encoder,
        audio_stack=2,
    )  # fmt: skip
    model.save_pretrained(folder / "model")
    place_experts(folder / "model", folder / "placed", **QUIET)
    v, n = model.vocab, model.num_positions(4800)
    heard = [v.wave_begin, *[v.wave] * n, v.wave_end, v.audio_begin, *(v.unit_id(u) for u in (3, 5, 5, 9)), v.audio_end]
    text = [3, 7, 11, 9, 4, 30, 21]
    assert v.modality_of(torch.tensor(heard)).all()
    waves = 0.1 * torch.randn(1, 4800)
    batches = [row(text, len(text)), row(heard, len(heard)) | {"waveforms": waves}]
    joined = {
        k: torch.cat([row(r, len(heard))[k] for r in (text, heard)]) for k in ("input_ids", "attention_mask", "labels")
    }
    for ids, labels in [(b["input_ids"], b["labels"]) for b in [*batches, joined]]:
        labels[ids == v.wave] = -100
    n_labels = torch.tensor(sum(int((b["labels"][:, 1:] != -100).sum()) for b in batches))
    torch.save(batches, folder / "batches.pt")
    torch.save(joined | {"waveforms": waves}, folder / "joined.pt")
    torch.save(n_labels, folder / "n_labels.pt")
    return folder


def row(ids: list[int], width: int) -> dict[str, torch.Tensor]:
    pad = width - len(ids)
    return {
        "input_ids": torch.tensor([ids + [2] * pad]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * pad]),
        "labels": torch.tensor([ids + [-100] * pad]),
    }


@pytest.fixture(scope="module")
def engine_gradients(two_modalities):
    run = torchrun("gradients", two_modalities)
    assert run.returncode == 0, run.stderr[-4000:]
    return two_modalities


@pytest.mark.parametrize("alpha", [0.0, 0.1])
@pytest.mark.parametrize("engine", ENGINES)
def test_ranks_of_different_modality_give_the_gradient_of_one_process(engine_gradients, engine, alpha):
    """Of the joined batch; with a balance loss, which is a mean within each micro-batch, of the same micro-batches."""
    folder = engine_gradients
    model = MostForConditionalGeneration.from_pretrained(folder / "placed").train()
    model.config.balance_loss_alpha = alpha
    apart = alpha > 0 and not engine.startswith("tensor")
    total = 0.0
    for batch in torch.load(folder / "batches.pt") if apart else [torch.load(folder / "joined.pt")]:
        loss = model(**batch, num_items_in_batch=torch.load(folder / "n_labels.pt")).loss
        loss.backward()
        total += loss.item()
    found = torch.load(folder / f"{engine} {alpha}.pt")
    assert found["loss"].item() == pytest.approx(total, rel=1e-5)
    expected = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert set(found["gradients"]) == set(expected)
    for name, gradient in expected.items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(found["gradients"][name], gradient, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def runs(tiny_most, tiny_corpus, tiny_arrays, tmp_path_factory):
    """Four steps of eight examples by one process, and by two with each engine; each also resumed after two steps."""
    folder = tmp_path_factory.mktemp("runs")
    place_experts(tiny_most, folder / "model", **QUIET)
    plan = {"model": str(folder / "model"), "manifest": str(tiny_corpus / "train.jsonl"), "arrays": str(tiny_arrays)}
    (folder / "plan.json").write_text(json.dumps(plan))
    for job, ranks in (("alone", 1), ("training", 2), ("alone_resumed", 1)):
        run = torchrun(job, folder, ranks=ranks)
        assert run.returncode == 0, run.stderr[-6000:]
    return folder


def result(run: Path, rank: int = 0) -> dict[str, Any]:
    return json.loads((run / f"rank{rank}.json").read_text())


def nearly(rows: list[list[float]]) -> list[Any]:
    return [pytest.approx(row, rel=1e-4) for row in rows]


@pytest.mark.parametrize("engine", ENGINES)
def test_two_ranks_log_the_losses_and_gradient_norms_of_one(runs, engine):
    expected = result(runs / "alone")["losses"]
    assert len(expected) == 4
    assert result(runs / engine)["losses"] == nearly(expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_ranks_together_read_what_one_process_reads_in_its_order(runs, engine):
    alone = result(runs / "alone")["ids"]
    ranks = [result(runs / engine, rank)["ids"] for rank in (0, 1)]
    if engine.startswith("tensor"):
        assert ranks == [alone, alone]
    else:
        assert [batch for pair in zip(*ranks, strict=True) for batch in pair] == alone


@pytest.mark.parametrize("engine", ENGINES)
def test_the_saved_model_is_whole_and_that_of_one_process(runs, engine):
    model = MostForConditionalGeneration.from_pretrained(runs / engine / "final")
    alone = MostForConditionalGeneration.from_pretrained(runs / "alone" / "final")
    start = MostForConditionalGeneration.from_pretrained(runs / "model").state_dict()
    for name, expected in alone.state_dict().items():
        # Adam divides by the size of a gradient: where that is next to nothing, so is what is left of the rounding.
        torch.testing.assert_close(model.state_dict()[name], expected, rtol=1e-4, atol=2e-4)
    moved = [n for n, t in alone.state_dict().items() if not torch.equal(t, start[n])]
    assert {n for n, p in alone.named_parameters() if p.requires_grad} == set(moved)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_of_two_resumes_bit_for_bit(runs, engine):
    whole, resumed = result(runs / engine), result(runs / f"{engine} resumed")
    assert resumed["losses"] == whole["losses"][2:]
    assert resumed["ids"] == whole["ids"][len(whole["ids"]) // 2 :]
    weights, again = (load_file(runs / run / "final" / "model.safetensors") for run in (engine, f"{engine} resumed"))
    assert all(torch.equal(weights[name], again[name]) for name in weights)


@pytest.mark.parametrize("before", ["ddp", "fsdp", "experts"])
def test_one_process_goes_on_where_two_stopped(runs, before):
    alone, resumed = result(runs / "alone"), result(runs / f"{before} resumed alone")
    assert resumed["ids"] == alone["ids"][len(alone["ids"]) // 2 :]
    assert resumed["losses"] == nearly(alone["losses"][2:])


@pytest.mark.parametrize("job", ["killed", "silent"])
def test_a_rank_that_fails_ends_the_run(two_modalities, job):
    began = time.monotonic()
    run = torchrun(job, two_modalities, timeout=120)
    assert run.returncode != 0
    assert time.monotonic() - began < 60


def test_a_rank_that_waits_for_others_gives_up(two_modalities):
    worker = Path(__file__).with_name("parallel_worker.py")
    place = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    run = subprocess.run(
        [sys.executable, str(worker), "silent", str(two_modalities)], env={**os.environ, **place},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode != 0
    assert "imed out" in run.stderr, run.stderr


def free_port() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])

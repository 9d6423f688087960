"""Counts of routing are exact over micro-batches, and survive a restart at a checkpoint."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transformers import AutoProcessor

from most.data.dataset import Collator
from most.model.install import routers
from most.model.load import load_most
from most.train.run import build_dataset
from most.train.step_view import StepView
from most.train.watch.routing import RoutingCounter, RoutingLog, RoutingRow, dead, evenness, read_routing, summary


@pytest.fixture(scope="module")
def most(tiny_most):
    return load_most(tiny_most)[0].eval()


def view(model, batch, micro=0):
    labels = batch["labels"]
    with torch.no_grad():
        output = model(**batch, output_router_logits=True)
    mask = batch["token_mask"].bool() if "token_mask" in batch else batch["attention_mask"].bool()
    return StepView(
        step=1, micro=micro, ids=("a",), tasks=("asr",), sequence_ids=mask.long() - 1, labels=labels,
        modality_ids=model.vocab.modality_of(batch["input_ids"]), token_losses=torch.zeros(labels.shape),
        router_logits=output.router_logits,
    )  # fmt: skip


@pytest.fixture
def batches(recipe, most):
    made = recipe()
    processor = AutoProcessor.from_pretrained(made.model)
    dataset = build_dataset(made, processor, echo=lambda _: None)
    items = [dataset[i] for i in range(10)]

    def of(size):
        collate = Collator(processor.tokenizer.pad_token_id)
        return [collate(items[k : k + size]) for k in range(0, 10, size)]

    return of


def test_micro_batches_add_up_to_the_batch(batches, most):
    rows = []
    for size in (10, 3):
        counter = RoutingCounter(most.language_model)
        for micro, batch in enumerate(batches(size)):
            counter.add(view(most, batch, micro))
        rows.append(counter.close())
        assert counter.close() is None
    whole, parts = rows
    assert np.array_equal(whole.counts, parts.counts)
    assert parts.own_mass == pytest.approx(whole.own_mass, rel=1e-5)


def test_counts_are_what_the_routers_picked(batches, most, picks_of):
    batch = batches(10)[0]
    picked, seen = picks_of(most), RoutingCounter(most.language_model)
    seen.add(view(most, batch))
    counts = seen.close().counts
    mask = batch["attention_mask"].bool().flatten()
    modality = most.vocab.modality_of(batch["input_ids"]).flatten()
    for layer, indices in enumerate(picked):
        for m in (0, 1):
            chosen = indices[mask & (modality == m)].flatten()
            expected = torch.bincount(chosen, minlength=counts.shape[2])
            assert counts[layer, m].tolist() == expected.tolist()


@pytest.fixture
def picks_of():
    handles = []

    def record(model):
        picked = []
        for layer in model.get_decoder().layers:
            if hasattr(layer.mlp, "experts"):
                hook = layer.mlp.experts.register_forward_pre_hook(lambda _m, args: picked.append(args[1].clone()))
                handles.append(hook)
        return picked

    yield record
    for handle in handles:
        handle.remove()


def test_groups_name_each_experts_modality(most):
    groups = RoutingCounter(most.language_model).groups
    first = routers(most.language_model)[0].partition
    assert groups.shape == (1, 4)
    assert [int(i) for i in np.flatnonzero(groups[0] == 1)] == list(first.audio)


def test_evenness_and_dead_experts():
    groups = np.array([[0, 0, 1, 1], [2, 2, 2, 2]])
    counts = np.array([[[5, 5, 0, 0], [0, 0, 7, 0]], [[1, 1, 1, 1], [0, 0, 0, 0]]])
    even = evenness(counts, groups)
    assert even[0].tolist() == pytest.approx([1.0, 0.0])
    assert even[1, 0] == pytest.approx(1.0)
    assert math.isnan(even[1, 1])
    assert dead(counts).tolist() == [1, 0]
    uneven = evenness(np.array([[[3, 1, 0, 0], [0, 0, 1, 1]]]), groups[:1])[0, 0]
    assert uneven == pytest.approx(-(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)))


def test_a_summary_leaves_out_what_no_token_saw():
    groups = np.array([[0, 0, 1, 1]])
    row = RoutingRow(np.array([[[4, 4, 0, 0], [0, 0, 0, 0]]]), np.array([[0.5, np.nan]]))
    assert summary(row, groups) == {
        "routing/evenness_text": pytest.approx(1.0),
        "routing/own_mass_text": 0.5,
        "routing/dead_experts": 2,
    }


def test_a_log_goes_on_from_the_checkpoints_step(tmp_path):
    groups = np.array([[0, 1], [0, 1]])
    log = RoutingLog(tmp_path / "routing", groups, 0)
    for step in (2, 4, 6):
        log.append(step, RoutingRow(np.full((2, 2, 2), step), np.full((2, 2), step / 10)))
    log = RoutingLog(tmp_path / "routing", groups, 4)
    log.append(6, RoutingRow(np.full((2, 2, 2), 60), np.full((2, 2), 0.25)))
    read = read_routing(tmp_path)
    assert read.steps.tolist() == [2, 4, 6]
    assert read.counts[:, 0, 0, 0].tolist() == [2, 4, 60]
    assert read.own_mass[:, 0, 0].tolist() == pytest.approx([0.2, 0.4, 0.25])
    assert np.array_equal(read.groups, groups)
    assert read_routing(tmp_path / "elsewhere") is None


def test_a_full_disk_costs_a_row_and_no_more(tmp_path, monkeypatch):
    log = RoutingLog(tmp_path / "routing", np.array([[0, 1]]), 0)
    row = RoutingRow(np.ones((1, 2, 2)), np.ones((1, 2)))
    log.append(1, row)
    with monkeypatch.context() as patch:

        def full(_):
            raise OSError(28, "No space left on device")

        patch.setattr(log.own_mass, "append", full)
        log.append(2, row)
    log.append(3, row)
    read = read_routing(tmp_path)
    assert read.steps.tolist() == [1, 3]
    assert len(read.counts) == len(read.own_mass) == 2

"""Training end to end at a tiny size: it learns, resumes bit for bit, and mistakes are found before the first step."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoProcessor, TrainerState

from most.data.dataset import Collator
from most.errors import MostError
from most.model import MostForConditionalGeneration
from most.train.checkpoint import newest_sound
from most.train.run import build_dataset
from most.train.trainer import HistoryWriter, read_history

pytestmark = pytest.mark.usefixtures("no_estimate")


def test_losses_fall_for_each_modality_and_the_model_loads(recipe, quietly):
    final = quietly(recipe(steps=60, checkpoint_every=60, log_every=5, learning_rate=1e-2))
    history = read_history(final.parent / "history.jsonl")
    for name in ("text_loss", "audio_loss"):
        assert history[-1][name] < 0.6 * history[0][name]
    model = MostForConditionalGeneration.from_pretrained(final)
    start = MostForConditionalGeneration.from_pretrained(recipe().model)
    before, after = dict(start.named_parameters()), dict(model.named_parameters())
    frozen = [n for n in after if n.startswith("audio_encoder.")]
    assert frozen
    assert all(torch.equal(before[n], after[n]) for n in frozen)
    assert not torch.equal(before["audio_projection.linear.weight"], after["audio_projection.linear.weight"])


def test_a_resumed_run_is_the_unbroken_run_bit_for_bit(recipe, quietly, killed):
    whole = quietly(recipe("whole"))

    killed(recipe("broken"), 4)
    assert newest_sound(recipe("broken").output, print).name == "checkpoint-3"
    broken = quietly(recipe("broken"))
    a, b = load_file(whole / "model.safetensors"), load_file(broken / "model.safetensors")
    assert all(torch.equal(a[name], b[name]) for name in a)
    losses = [[row["loss"] for row in read_history(f.parent / "history.jsonl")] for f in (whole, broken)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 6


@pytest.mark.parametrize(("steps", "decay_steps"), [(5, 1), (8, 3)], ids=["shorter", "longer"])
def test_the_length_may_change_while_the_learning_rate_is_constant(recipe, quietly, killed, steps, decay_steps):
    wsd = {"schedule": "wsd", "warmup_steps": 1}
    whole = quietly(recipe("whole", **wsd, steps=steps, decay_steps=decay_steps))
    killed(recipe("changed", **wsd, steps=6, decay_steps=2), 4)
    assert newest_sound(recipe("changed").output, print).name == "checkpoint-3"
    with pytest.raises(MostError, match="another steps"):  # the decay would have begun
        quietly(recipe("changed", **wsd, steps=steps, decay_steps=steps - 2))
    with pytest.raises(MostError, match="another learning_rate"):
        quietly(recipe("changed", **wsd, steps=steps, decay_steps=decay_steps, learning_rate=1.0))
    changed = quietly(recipe("changed", **wsd, steps=steps, decay_steps=decay_steps))
    a, b = load_file(whole / "model.safetensors"), load_file(changed / "model.safetensors")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_accumulation_equals_the_large_batch(recipe, quietly):
    losses = {}
    for micro in (10, 5):
        final = quietly(recipe(f"micro{micro}", steps=3, micro_batch_size=micro, checkpoint_every=9))
        losses[micro] = [row["loss"] for row in read_history(final.parent / "history.jsonl")]
    # The balance loss is per sequence and weighted by each part's share of labels, hence the small slack.
    assert losses[5] == pytest.approx(losses[10], rel=1e-3)


def test_the_dataset_gives_frames_where_there_are_placeholders(recipe):
    made = recipe()
    processor = AutoProcessor.from_pretrained(made.model)
    dataset = build_dataset(made, processor)
    items = [dataset[i] for i in range(10)]
    assert sorted(i.task for i in items) == ["asr"] * 4 + ["text"] * 2 + ["tts"] * 4
    batch = Collator(processor.tokenizer.pad_token_id)(items)
    stacked = -(-batch["audio_feature_lengths"] // processor.audio_stack)
    assert int((batch["input_ids"] == processor.vocab.wave).sum()) == int(stacked.sum())
    assert batch["audio_features"].shape[0] == 4
    assert len(dataset) == made.steps * made.batch_size


def test_a_finished_or_foreign_output_is_refused(recipe, quietly):
    quietly(recipe(steps=1))
    with pytest.raises(MostError, match="finished run"):
        quietly(recipe(steps=1))
    (recipe("other").output).mkdir()
    (recipe("other").output / "recipe.json").write_text(json.dumps({"steps": 99}))
    with pytest.raises(MostError, match="another"):
        quietly(recipe("other"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"mixture": {"asr": 0.5, "dialogue": 0.5}}, "dialogue.*no examples"),
        ({"arrays": None}, "most data encode"),
        ({"max_length": 8}, "max_length is 8"),
    ],
)
def test_mistakes_in_the_data_are_named(recipe, quietly, data, message):
    with pytest.raises(MostError, match=message):
        quietly(recipe(data=data))


def test_history_drops_what_came_after_the_checkpoint(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text("".join(json.dumps({"step": s, "loss": 1.0}) + "\n" for s in range(1, 6)))

    HistoryWriter(path).on_train_begin(None, TrainerState(global_step=3), None)
    assert [row["step"] for row in read_history(path)] == [1, 2, 3]


def test_manifests_of_several_folders_each_have_their_arrays(
    recipe, quietly, tiny_corpus, tiny_arrays, tiny_most, tmp_path
):
    other = tmp_path / "other"
    shutil.copytree(tiny_corpus, other)
    shutil.copytree(tiny_arrays, tmp_path / "arrays")
    manifests = (tiny_corpus / "train.jsonl", other / "train.jsonl")
    data = {"manifests": manifests, "arrays": (tiny_arrays, tmp_path / "arrays"), "mixture_unit": "tokens"}
    processor = AutoProcessor.from_pretrained(tiny_most)
    dataset = build_dataset(recipe(data=data), processor)
    assert {task: len(rows) for task, rows in dataset.examples.items()} == {"asr": 12, "tts": 12, "text": 12}
    items = [dataset[i] for i in range(len(dataset))]
    tokens = {task: sum(len(i.encoded) for i in items if i.task == task) for task in dataset.examples}
    assert abs(tokens["asr"] / sum(tokens.values()) - 0.4) < 0.1
    with pytest.raises(MostError, match="one for each of the 2 manifests"):
        build_dataset(recipe(data=data | {"arrays": (tiny_arrays,) * 3}), processor)

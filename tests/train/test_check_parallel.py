"""Recipe mistakes about processes are found before anything is loaded; the scripts for clusters are whole."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from transformers import DeepseekV2Config, MixtralConfig

from most.convert.placement import interleaved, placed
from most.errors import MostError
from most.model.configuration import MostConfig
from most.model.families import family_of
from most.model.partition import ExpertPartition
from most.train.parallel import (
    ParallelSettings,
    accumulation_steps,
    check_parallel,
    distributed_config,
    parallel_arguments,
)

CLUSTER = Path(__file__).parents[2] / "recipes" / "cluster"


def config(*, spread: bool = True, n_experts: int = 8, **text) -> MostConfig:
    shape = {"n_routed_experts": n_experts, "num_experts_per_tok": 2, "vocab_size": 64, "num_attention_heads": 4}
    shape |= {"num_key_value_heads": 4, "intermediate_size": 48, "moe_intermediate_size": 16, "hidden_size": 32}
    text_config = DeepseekV2Config(**shape | text)
    partition = ExpertPartition.split_by_index(n_experts)
    if spread:
        partition = placed(partition, interleaved(partition, family_of(text_config).rule(text_config)))
    return MostConfig(text_config=text_config, text_size=40, n_units=12, partitions=[partition.to_json()])


@pytest.mark.parametrize(
    ("field", "settings", "world", "model"),
    [
        ("parallel.tensor", {"data": "fsdp", "tensor": 3}, 8, {}),
        ("parallel.tensor", {"data": "fsdp", "tensor": 8}, 8, {}),
        ("parallel.data", {"data": "none"}, 2, {}),
        ("parallel.shards", {"data": "fsdp", "shards": 3}, 8, {}),
        ("parallel.experts", {"data": "fsdp", "experts": 16}, 16, {}),
        ("parallel.experts", {"data": "fsdp", "experts": 3}, 6, {}),
        ("parallel.experts", {"data": "fsdp", "experts": 4}, 2, {}),
        ("parallel.experts", {"data": "fsdp", "experts": 2, "tensor": 4}, 8, {}),
        ("parallel.experts", {"data": "fsdp", "experts": 4, "shards": 2}, 8, {}),
        ("parallel.experts", {"data": "fsdp", "experts": 2}, 2, {"spread": False}),
        ("parallel.experts", {"data": "fsdp", "experts": 8}, 8, {}),
        ("batch_size", {}, 3, {}),
        ("batch_size", {}, 16, {}),
    ],
)
def test_what_does_not_fit_is_named(field, settings, world, model):
    with pytest.raises(MostError) as e:
        check_parallel(ParallelSettings(**settings), world, config(**model), batch_size=16, micro_batch_size=2)
    assert e.value.field == field


@pytest.mark.parametrize(
    ("settings", "world", "steps"),
    [
        ({}, 1, 8), ({}, 8, 1), ({"data": "fsdp", "shards": 2}, 4, 2), ({"data": "fsdp", "experts": 4}, 8, 1),
        ({"data": "fsdp", "experts": 4, "tensor": 2}, 8, 2), ({"data": "none", "tensor": 4, "experts": 4}, 4, 8),
        ({"data": "fsdp", "experts": 2, "shards": 4}, 8, 1),
    ],
)  # fmt: skip
def test_what_fits_passes_and_a_step_keeps_its_size(settings, world, steps):
    made = ParallelSettings(**settings)
    check_parallel(made, world, config(), batch_size=16, micro_batch_size=2)
    assert accumulation_steps(made, world, 16, 2) == steps
    native = distributed_config(made, world)
    if made.sharded_at_load:
        assert native.tp_size * native.dp_size == world
        assert native.ep_size == made.experts


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("parallel.experts", {"experts": 0}), ("parallel.shards", {"shards": 2}), ("parallel.data", {"experts": 2}),
        ("parallel.cpu_offload", {"cpu_offload": True}), ("parallel.data", {"data": "zero"}),
    ],
)  # fmt: skip
def test_settings_that_contradict_each_other(field, settings):
    with pytest.raises(MostError) as e:
        ParallelSettings(**settings)
    assert e.value.field == field


def test_fsdp_gathers_layers_of_the_backbone_alone():
    """Layers of the audio encoder, gathered one by one, would wait for ranks that hear nothing."""
    made = parallel_arguments(ParallelSettings(data="fsdp"), 2, config())
    assert made["fsdp_config"]["transformer_layer_cls_to_wrap"] == ["DeepseekV2DecoderLayer"]
    mixtral = MostConfig(text_config=MixtralConfig(vocab_size=64), text_size=40, n_units=12)
    made = parallel_arguments(ParallelSettings(data="fsdp"), 2, mixtral)
    assert made["fsdp_config"]["transformer_layer_cls_to_wrap"] == ["MixtralDecoderLayer"]
    assert "fsdp" not in parallel_arguments(ParallelSettings(data="fsdp"), 1, config())


def test_cluster_scripts_are_whole():
    for script in CLUSTER.glob("*.sbatch"):
        subprocess.run(["bash", "-n", script], check=True)
    kinds = {}
    for file in (CLUSTER / "kubernetes.yaml", CLUSTER / "pytorchjob.yaml"):
        kinds |= {d["kind"]: d for d in yaml.safe_load_all(file.read_text(encoding="utf-8"))}
    assert set(kinds) == {"Service", "Job", "PyTorchJob"}
    job = kinds["Job"]["spec"]
    command = job["template"]["spec"]["containers"][0]["args"][0].split()
    assert int(command[command.index("--nnodes") + 1]) == job["parallelism"] == job["completions"]
    assert kinds["Service"]["metadata"]["name"] == job["template"]["spec"]["subdomain"]
    recipe = command[command.index("train") + 1]
    assert (CLUSTER.parents[1] / recipe).is_file()
    worker = kinds["PyTorchJob"]["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]["spec"]["containers"][0]
    assert worker["command"][-1] == recipe

"""Two processes whose batches differ in modality: nothing waits for ever, and sharding changes no number."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch


def test_two_ranks_of_different_modality(tiny, tmp_path: Path) -> None:
    model = tiny.most(balance_loss_alpha=0.1)
    model.save_pretrained(tmp_path)
    text = torch.tensor([[3, 5, 7, 9, 4, 11]])
    batches = [{"input_ids": text, "labels": text}, tiny.batch(model, (1920,))]
    batches[1]["labels"] = tiny.labels(model, batches[1])
    torch.save(batches, tmp_path / "inputs.pt")
    worker = Path(__file__).with_name("distributed_worker.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    run = subprocess.run(
        [*command, str(worker), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    ranks = [json.loads((tmp_path / f"rank{i}.json").read_text()) for i in (0, 1)]
    for rank in ranks:
        assert rank["ddp"] == pytest.approx(rank["fsdp"], rel=1e-4)
        assert rank["ddp"][-1] < rank["ddp"][0]
        for parallel in ("tensor", "expert all-reduce", "expert all-to-all"):
            assert rank.get(parallel, 0.0) < 1e-4

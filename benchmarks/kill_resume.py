"""Kill a training run with SIGKILL at random moments, resume it, and compare with a run that nobody disturbed.

    python benchmarks/kill_resume.py --kills 50 --out runs/kill-resume

Each kill falls at a random time after the start, or inside the writing of a checkpoint, or of the final model. Losses,
gradient norms, learning rates, held-out losses, the order of the examples and the final weights must equal those of the
unbroken run bit for bit. Children are forked from a process that has imported everything and computed nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from most.convert.backbone import BackboneRecipe, init_backbone
from most.convert.convert import convert
from most.convert.settings import ConvertSettings
from most.data.digits import build_digits
from most.data.encode import encode_manifests
from most.files import append_lines, read_lines
from most.speech.codec import Codec, default_codec_dir
from most.train.checkpoint import UNFINISHED
from most.train.recipe import DataSettings, HeldOutSettings, TrainRecipe
from most.train.run import train

CONFIG = {
    "model_type": "deepseek_v2", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "intermediate_size": 96, "first_k_dense_replace": 1, "n_routed_experts": 8,
    "num_experts_per_tok": 2, "n_shared_experts": 1, "moe_intermediate_size": 32, "q_lora_rank": None,
    "kv_lora_rank": 32, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 16,
}  # fmt: skip

CLOCK = ("tokens_per_second", "loader_wait", "share_of_peak")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--checkpoint-every", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=20.0, help="stop after this time, with the kills done so far")
    parser.add_argument("--within", type=float, default=8.0, help="seconds after a start in which a kill falls")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/kill-resume"))
    args = parser.parse_args()
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    wait(fork(lambda: prepare(args.out), args.out / "prepare.log"))
    begin = time.perf_counter()
    wait(fork(lambda: run(recipe(args, "whole")), args.out / "whole.log"))
    whole_seconds = time.perf_counter() - begin
    rng, kills, wrong, runs = random.Random(args.seed), Counter(), [], 0
    while kills.total() < args.kills and time.perf_counter() - begin < 60 * args.minutes:
        name = f"broken-{runs}"
        broken = recipe(args, name)
        while not (broken.output / "final").exists():
            child = fork(lambda r=broken: run(r), args.out / f"{name}.log")
            if kills.total() < args.kills:
                if moment := kill(child, broken.output, rng, args.within):
                    kills[moment] += 1
            else:
                wait(child)
        wrong += compare(args.out / "whole", broken.output)
        runs += 1
    report(kills, runs, wrong, whole_seconds, args)
    sys.exit(bool(wrong) or kills.total() < args.kills)


def prepare(out: Path) -> None:
    corpus = build_digits(out / "data", n_train=60, n_tts=60, n_text=40, n_test=10, digits_per_utterance=(2, 3))
    manifests = [corpus.train, corpus.test_asr_heard]
    encode_manifests(manifests, out / "arrays", Codec.load(default_codec_dir()), progress=False)
    init_backbone(BackboneRecipe(output=out / "backbone", manifests=(corpus.train,), vocab_size=300, config=CONFIG))
    convert(out / "backbone", out / "most", settings=ConvertSettings(new_row_noise=1.0), progress=False)


def recipe(args: argparse.Namespace, name: str) -> TrainRecipe:
    out = args.out
    manifests = {path.stem: path for path in (out / "data").glob("*.jsonl")}
    return TrainRecipe(
        model=out / "most",
        output=out / name,
        data=DataSettings(manifests=(manifests["train"],), arrays=out / "arrays"),
        held_out=HeldOutSettings(
            manifests=(manifests["test_asr_heard"],), arrays=out / "arrays", every=20, max_examples=4
        ),
        steps=args.steps,
        batch_size=8,
        micro_batch_size=4,
        learning_rate=3e-3,
        warmup_steps=5,
        checkpoint_every=args.checkpoint_every,
        log_every=3,
    )


def run(recipe: TrainRecipe) -> None:
    order = recipe.output / "order.jsonl"
    seen = lambda view: append_lines(order, [{"step": view.step, "micro": view.micro, "ids": view.ids}])  # noqa: E731
    train(recipe, progress=False, observers=[seen])


def fork(work, log: Path) -> int:
    """Run `work` in a child, its output in a file. Returns the child's id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with log.open("a") as f:
            os.dup2(f.fileno(), 1)
            os.dup2(f.fileno(), 2)
            work()
            sys.stdout.flush()
            code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def wait(child: int) -> None:
    if status := os.waitpid(child, 0)[1]:
        sys.exit(f"a run that nobody killed ended with status {status}; see the logs")


def kill(child: int, output: Path, rng: random.Random, within: float) -> str | None:
    """Kill the child at a random moment. Returns where it was, or None when it had ended before."""
    unfinished, order = output / UNFINISHED, output / "order.jsonl"
    before = order.stat().st_size if order.exists() else 0
    if rng.random() < 0.5:
        done = poll(child, lambda: any(unfinished.glob("*")), 2 * within)
        if not done:
            time.sleep(rng.random() ** 2 * 0.15)
    else:
        done = poll(child, lambda: False, rng.random() * within)
    if done:
        return None
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    written = [p.name for p in unfinished.glob("*")] if unfinished.is_dir() else []
    if "final" in written:
        return "writing the final model"
    if any(name.startswith("deleted") for name in written):
        return "deleting an old checkpoint"
    if written:
        return "writing a checkpoint"
    return "training" if order.exists() and order.stat().st_size > before else "before its first step"


def poll(child: int, ready, seconds: float) -> bool:
    """Wait until `ready` or the time is up. Whether the child has ended by itself."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until and not ready():
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if status:
                sys.exit(f"a resumed run failed with status {status}; see the logs")
            return True
        time.sleep(0.002)
    return False


def compare(whole: Path, broken: Path) -> list[str]:
    """What differs between two finished runs."""
    wrong = []
    for name in ("history.jsonl", "held_out.jsonl"):
        rows, others = ([without_clock(row) for row in read_lines(run / name)] for run in (whole, broken))
        if rows != others:
            wrong.append(f"{broken.name}: {name} differs")
    expected = {(r["step"], r["micro"]): r["ids"] for r in read_lines(whole / "order.jsonl")}
    met = [((r["step"], r["micro"]), r["ids"]) for r in lenient(broken / "order.jsonl")]
    if dict(met) != expected or any(expected[key] != ids for key, ids in met):
        wrong.append(f"{broken.name}: the order of examples differs")
    files = sorted(p.name for p in (whole / "final").iterdir())
    for name in files:
        if (whole / "final" / name).read_bytes() != (broken / "final" / name).read_bytes():
            wrong.append(f"{broken.name}: final/{name} differs")
    return wrong


def without_clock(row: dict) -> dict:
    """A log line without what depends on the machine's speed."""
    return {key: value for key, value in row.items() if key not in CLOCK}


def lenient(path: Path) -> list[dict]:
    """Lines of a file that kills may have torn anywhere: a torn line runs into the next one's beginning."""
    rows = []
    for line in path.read_text().splitlines():
        for piece in line.replace('}{"step"', '}\n{"step"').splitlines():
            try:
                rows.append(json.loads(piece))
            except json.JSONDecodeError:
                tail = piece.rfind('{"step"')
                if tail > 0:
                    rows.append(json.loads(piece[tail:]))
    return rows


def report(kills: Counter, runs: int, wrong: list[str], seconds: float, args: argparse.Namespace) -> None:
    logs = "".join(p.read_text() for p in args.out.glob("broken-*.log"))
    print(f"{args.steps} steps, a checkpoint every {args.checkpoint_every}; unbroken run {seconds:.1f} s")
    print(f"{'killed while':28} {'kills':>5}")
    for moment, n in sorted(kills.items()):
        print(f"{moment:28} {n:5}")
    print(f"{'all':28} {kills.total():5}")
    print(f"runs {runs}, resumed from a checkpoint {logs.count('goes on from checkpoint')} times, "
          f"torn checkpoints {logs.count('is torn')}")  # fmt: skip
    print("losses, order of examples and final weights: " + ("equal bit for bit" if not wrong else "DIFFER"))
    for line in wrong:
        print(" ", line)


if __name__ == "__main__":
    main()

"""Train a unit vocoder from an utterance manifest and a codec's units. Resumable at the exact step; nothing is pickled.

Every step draws its batch and its noise from (seed, step), so a run that was stopped and one that was not are equal.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from tqdm import tqdm

from most.errors import MostError
from most.manifest import Utterance
from most.speech.codec import Codec
from most.speech.parts import claim, write_json, write_tensors
from most.speech.settings import VocoderSettings
from most.speech.vocoder.base import UnitVocoder, build_vocoder, load_vocoder
from most.speech.vocoder.data import draw, prepare
from most.speech.vocoder.discriminator import Discriminator, discriminator_loss, generator_losses

MAY_CHANGE = ("steps", "decay_steps", "learning_rate", "save_every", "adversarial_from", "discriminator_width")
"""Settings that a resumed run may alter: when to stop, how fast, and when discriminators join."""


def train_vocoder(
    utterances: Sequence[Utterance], codec: Codec, settings: VocoderSettings, out: str | os.PathLike[str]
) -> UnitVocoder:
    """Train (or go on training) in `out`; returns the averaged vocoder, which also lies in `out`/vocoder.

    Raises:
        MostError: settings that do not fit the data, or an `out` begun with other settings.
    """
    out = Path(out)
    row = {k: v for k, v in asdict(settings).items() if k not in MAY_CHANGE}
    claim(out, {**row, "codec": codec.fingerprint})
    torch.manual_seed(settings.seed)
    rates = {"sample_rate": codec.sample_rate, "unit_rate_hz": codec.unit_rate_hz}
    model = build_vocoder(
        settings.kind, {"n_units": codec.n_units, "speakers": tuple(settings.speakers), **rates, **settings.model}
    )
    run = _Run(model, settings, out)
    run.resume()
    print(
        f"reads   utterances of {', '.join(settings.speakers)} among {len(utterances)}\n"
        f"writes  {out}: streams, state (checkpoint every {settings.save_every} steps), vocoder (averaged weights)\n"
        f"costs   steps {run.step} to {settings.steps} of {settings.batch_size} x {settings.segment_seconds:g} s; "
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters; the bar shows the time left\n"
        f"stop it at any time: the same command goes on from the last checkpoint",
        flush=True,
    )
    streams = prepare(utterances, codec, list(settings.speakers), model.f0_rate_hz, out / "streams")
    if run.step == 0:
        if settings.start_from is not None:
            adopt(model, load_vocoder(settings.start_from))
        model.fit_statistics(streams)
        run.average = {k: v.clone() for k, v in model.state_dict().items()}
    n_units = round(settings.segment_seconds * codec.unit_rate_hz)
    bar = tqdm(total=settings.steps, initial=run.step, desc="train", unit="step")
    with (out / "log.jsonl").open("a", encoding="utf-8") as log:
        try:
            while run.step < settings.steps:
                seed = settings.seed * 1_000_003 + run.step
                batch = draw(
                    streams, list(settings.speakers.values()), n_units, settings.batch_size,
                    settings.band_limited_share, seed,
                )  # fmt: skip
                losses = run.advance(batch, seed)
                bar.update()
                if run.step % 50 == 0 or run.step == settings.steps:
                    values = {k: round(v.item(), 4) for k, v in losses.items()}
                    bar.set_postfix(values)
                    log.write(json.dumps({"step": run.step, "time": round(time.time(), 1), **values}) + "\n")
                    log.flush()
                if run.step % settings.save_every == 0 or run.step == settings.steps:
                    run.save()
        except KeyboardInterrupt:
            run.save()
            print(f"stopped at step {run.step}; the same command goes on from there", flush=True)
    bar.close()
    return run.averaged()


@torch.no_grad()
def adopt(model: UnitVocoder, trained: UnitVocoder) -> None:
    """Take over a trained vocoder's weights, in place; voices are matched by name, new ones start as the mean voice.

    Raises:
        MostError: another kind, or weights of other shapes.
    """
    if model.kind != trained.kind:
        raise MostError("vocoder.start_from", trained.kind, f"is another kind of vocoder than {model.kind}")
    rows = [trained.speakers.index(s) if s in trained.speakers else None for s in model.speakers]
    source = trained.state_dict()
    for name, tensor in model.state_dict().items():
        old = source.get(name)
        if name.rpartition(".")[0].endswith("speaker") and old is not None and old.shape[1:] == tensor.shape[1:]:
            old = torch.stack([old.mean(dim=0) if row is None else old[row] for row in rows])
        if name == "f0_mean":  # measured from the data, for each voice
            continue
        if old is None or old.shape != tensor.shape:
            shape = None if old is None else tuple(old.shape)
            raise MostError("vocoder.start_from", f"{name} {shape}", f"must have shape {tuple(tensor.shape)}")
        tensor.copy_(old)


class _Run:
    """Model, optimizer, averaged weights and step; saved as safetensors and one JSON file that is written last."""

    def __init__(self, model: UnitVocoder, settings: VocoderSettings, out: Path) -> None:
        self.model, self.settings, self.out, self.step = model, settings, out, 0
        self.optimizer = self._adamw(model)
        self.judge: Discriminator | None = None
        self.judge_optimizer: torch.optim.Optimizer | None = None
        if settings.adversarial_from is not None:
            self.judge = Discriminator(settings.discriminator_width)
            self.judge_optimizer = self._adamw(self.judge)
        self.average = {k: v.clone() for k, v in model.state_dict().items()}

    def _adamw(self, module: nn.Module) -> torch.optim.Optimizer:
        s = self.settings
        return torch.optim.AdamW(
            module.parameters(), lr=s.learning_rate, betas=(0.8, 0.99), weight_decay=s.weight_decay
        )

    def rate(self) -> float:
        """Learning rate of the next step: warm up, hold, fall to zero over the last `decay_steps`."""
        s = self.settings
        up = min(1.0, (self.step + 1) / max(1, s.warmup_steps))
        down = min(1.0, (s.steps - self.step) / max(1, s.decay_steps))
        return s.learning_rate * min(up, down)

    def advance(self, batch: Any, seed: int) -> dict[str, torch.Tensor]:
        """One step; returns its losses."""
        self.model.train()
        for optimizer in filter(None, (self.optimizer, self.judge_optimizer)):
            for group in optimizer.param_groups:
                group["lr"] = self.rate()
        torch.manual_seed(seed)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.settings.bf16):
            made, losses = self.model.losses(batch)
            start = self.settings.adversarial_from
            if self.judge is not None and start is not None and self.step >= start:
                losses |= self._challenge(self.judge, batch.audio, made)
        total = torch.stack(list(losses.values())).sum()
        if not bool(total.isfinite()):
            values = {k: v.item() for k, v in losses.items()}
            raise MostError("loss", values, f"is not finite at step {self.step}; lower learning_rate and start again")
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        # Short early memory: an average over random first weights would take thousands of steps to forget them.
        decay = min(self.settings.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)
        return losses

    def _challenge(self, judge: Discriminator, real: torch.Tensor, made: torch.Tensor) -> dict[str, torch.Tensor]:
        """One step of the discriminators on this batch, then what they say of the vocoder."""
        assert self.judge_optimizer is not None
        judge.requires_grad_(True)
        loss = discriminator_loss(judge(real), judge(made.detach()))
        self.judge_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.judge_optimizer.step()
        judge.requires_grad_(False)
        return generator_losses(judge(real), judge(made))

    def averaged(self) -> UnitVocoder:
        model = type(self.model)(self.model.config)
        model.load_state_dict(self.average)
        return model.eval()

    def save(self) -> None:
        folder = self.out / "state"
        folder.mkdir(exist_ok=True)
        name = f"{self.step:08d}"
        write_tensors(folder / f"{name}.model.safetensors", dict(self.model.state_dict()))
        write_tensors(folder / f"{name}.average.safetensors", self.average)
        write_tensors(folder / f"{name}.optimizer.safetensors", _moments(self.optimizer))
        if self.judge is not None and self.judge_optimizer is not None:
            write_tensors(folder / f"{name}.judge.safetensors", dict(self.judge.state_dict()))
            write_tensors(folder / f"{name}.judge_optimizer.safetensors", _moments(self.judge_optimizer))
        write_json(folder / "last.json", {"step": self.step})
        for old in folder.glob("*.safetensors"):
            if not old.name.startswith(name):
                old.unlink()
        self.averaged().save(self.out / "vocoder")

    def resume(self) -> None:
        last = self.out / "state" / "last.json"
        if not last.exists():
            return
        self.step = json.loads(last.read_text(encoding="utf-8"))["step"]
        name = f"{self.step:08d}"
        self.model.load_state_dict(load_file(last.parent / f"{name}.model.safetensors"))
        self.average = load_file(last.parent / f"{name}.average.safetensors")
        _restore(self.optimizer, last.parent / f"{name}.optimizer.safetensors")
        # Absent where the discriminators join only now.
        if self.judge is not None and (last.parent / f"{name}.judge.safetensors").exists():
            self.judge.load_state_dict(load_file(last.parent / f"{name}.judge.safetensors"))
            assert self.judge_optimizer is not None
            _restore(self.judge_optimizer, last.parent / f"{name}.judge_optimizer.safetensors")


def _moments(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """An optimizer's state as named tensors; one stand-in where its first step is still to come."""
    rows = {
        f"{index}.{key}": value if value.dim() else value.reshape(1)
        for index, entry in optimizer.state_dict()["state"].items()
        for key, value in entry.items()
    }
    return rows or {"none": torch.zeros(1)}


def _restore(optimizer: torch.optim.Optimizer, path: Path) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in load_file(path).items():
        if key != "none":
            index, field = key.split(".", 1)
            state.setdefault(int(index), {})[field] = value.reshape(()) if field == "step" else value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})

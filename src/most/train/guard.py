"""What happens when a step's loss or gradient is not a number, or far from what it was: stop, or leave the step out.

The verdict falls between backward pass and optimizer step, from the loss and gradient norm of all ranks together.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from most.errors import MostError

Policy = Literal["ignore", "stop", "skip"]


@dataclass(frozen=True, kw_only=True)
class GuardSettings:
    """Section `guard` of a training recipe; may change when a run goes on.

    Args:
        nan: when loss or gradient norm is not finite. `stop` ends the run before the weights change; `skip` leaves
            weights and optimizer state as they are and goes on with the next step.
        spike: when loss or gradient norm is a spike.
        loss_factor, grad_factor: a spike is more than so many times the median of the last `window` accepted steps.
        window: also the number of steps before which nothing counts as a spike.
        max_skips: so many steps left out in a row stop the run.
    """

    nan: Literal["stop", "skip"] = "stop"
    spike: Policy = "ignore"
    loss_factor: float = 3.0
    grad_factor: float = 10.0
    window: int = 100
    max_skips: int = 20

    def __post_init__(self) -> None:
        for name in ("loss_factor", "grad_factor"):
            if not getattr(self, name) > 1:
                raise MostError(f"guard.{name}", getattr(self, name), "must be > 1")
        for name in ("window", "max_skips"):
            if getattr(self, name) < 1:
                raise MostError(f"guard.{name}", getattr(self, name), "must be at least 1")


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a step, in words, and what is to be done."""

    reason: str
    action: Literal["stop", "skip"]


class Guard:
    """Judges one step after another. Its state goes into checkpoints, so a resumed run judges as the unbroken one."""

    def __init__(self, settings: GuardSettings) -> None:
        self.settings = settings
        self.losses: deque[float] = deque(maxlen=settings.window)
        self.norms: deque[float] = deque(maxlen=settings.window)
        self.skips_in_a_row = 0

    def judge(self, loss: float, grad_norm: float) -> Verdict | None:
        """None for a step to take; its figures then count for the median."""
        verdict = self._judge(loss, grad_norm)
        if verdict is None:
            self.losses.append(loss)
            self.norms.append(grad_norm)
            self.skips_in_a_row = 0
            return None
        self.skips_in_a_row += 1
        if verdict.action == "skip" and self.skips_in_a_row > self.settings.max_skips:
            return Verdict(f"{verdict.reason}; {self.settings.max_skips} steps in a row were left out already", "stop")
        return verdict

    def _judge(self, loss: float, grad_norm: float) -> Verdict | None:
        s = self.settings
        for name, value in (("loss", loss), ("gradient norm", grad_norm)):
            if not math.isfinite(value):
                return Verdict(f"{name} is {value}", s.nan)
        if s.spike == "ignore" or len(self.losses) < s.window:
            return None
        for name, value, before, factor in (
            ("loss", loss, self.losses, s.loss_factor),
            ("gradient norm", grad_norm, self.norms, s.grad_factor),
        ):
            usual = median(before)
            if value > factor * usual:
                return Verdict(f"{name} {value:.4g} is more than {factor:g} times the usual {usual:.4g}", s.spike)
        return None

    def state(self) -> dict[str, Any]:
        return {"losses": list(self.losses), "norms": list(self.norms), "skips_in_a_row": self.skips_in_a_row}

    def restore(self, state: dict[str, Any]) -> None:
        self.losses.clear()
        self.norms.clear()
        self.losses.extend(state["losses"])
        self.norms.extend(state["norms"])
        self.skips_in_a_row = state["skips_in_a_row"]

"""Watches a run that speaks: tells the time once it has been measured, and stops what mostly fails."""

from __future__ import annotations

import time
from collections.abc import Callable

from most.data.dialogue.voice.recipe import VoiceRecipe
from most.data.dialogue.voice.work import Outcome
from most.errors import MostError

_ENOUGH_TO_JUDGE = 20
_MEASURED_AFTER = 3


class Watch:
    """Sees each outcome of `n_work` items as it comes; `items` is what they are called."""

    def __init__(self, recipe: VoiceRecipe, n_work: int, items: str, echo: Callable[[str], None]) -> None:
        self.recipe, self.n_work, self.items, self.echo = recipe, n_work, items, echo
        self.seen = self.speech = 0.0
        self.busy = 0.0
        self.reasons: list[str] = []
        self.begin = time.monotonic()

    def see(self, outcome: Outcome) -> None:
        """Raises MostError where more fails than the recipe allows."""
        self.seen += 1
        self.busy += outcome.busy_seconds
        self.speech += outcome.speech_seconds
        if "reason" in outcome.row:
            self.reasons.append(outcome.row.get("detail", outcome.row["reason"]))
        if self.seen == min(_MEASURED_AFTER, self.n_work) and self.speech:
            left = (self.n_work - self.seen) * (time.monotonic() - self.begin) / self.seen
            self.echo(
                f"measured on {self.seen:.0f} {self.items}: {self.busy / self.speech:.2f} s of work a second of "
                f"speech, {self.recipe.workers} at once; about {left / 60:.0f} min for the other "
                f"{self.n_work - self.seen:.0f}"
            )
        if self.seen >= _ENOUGH_TO_JUDGE:
            refuse_many_rejected(self.recipe, self.reasons, round(self.seen))


def refuse_many_rejected(recipe: VoiceRecipe, reasons: list[str], n: int) -> None:
    """Raises MostError where `reasons`, of `n` items, are over the share that the recipe allows."""
    if len(reasons) > recipe.max_rejected_share * n:
        raise MostError(
            "max_rejected_share", f"{len(reasons)} of {n}",
            f"is over {recipe.max_rejected_share:g}; mend what fails or raise it. The last reason: {reasons[-1]}",
        )  # fmt: skip

"""What a recipe may say about watching a run; nothing here changes what is learned."""

from __future__ import annotations

from dataclasses import dataclass

from most.errors import MostError


@dataclass(frozen=True, kw_only=True)
class WatchSettings:
    """Of a recipe's `watch` section.

    Args:
        tensorboard: also write event files to `<output>/tensorboard` (extra `report`); metrics are in `history.jsonl`
            with or without.
        routing_every: optimizer steps in one window of routing counts; 0 counts nothing.
        gradients: norm of each part's gradient in every log line.
        images_every: routing windows between two heatmaps in TensorBoard; 0 draws none.
        report: write `<output>/report.html` at the end (extra `report`).
    """

    tensorboard: bool = False
    routing_every: int = 10
    gradients: bool = True
    images_every: int = 10
    report: bool = True

    def __post_init__(self) -> None:
        for name in ("routing_every", "images_every"):
            if getattr(self, name) < 0:
                raise MostError(f"watch.{name}", getattr(self, name), "must be at least 0; 0 turns it off")

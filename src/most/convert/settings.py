"""What a conversion may be told, checked before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from most.errors import MostError

SPLITS = ("index", "usage", "random")


@dataclass(frozen=True, kw_only=True)
class ConvertSettings:
    """How a backbone becomes a MoST.

    Args:
        partition: `index` (the paper), `usage` or `random` split the experts there are; `expand` adds copies of them
            for audio; `upcycle` makes experts of a dense model's MLPs; `none` divides nothing and leaves routing to the
            backbone, a baseline. None: `index`, or `upcycle` for a dense source.
        scores_over: what the router's scores compete with: `all` experts (the paper) or their `own` group. None: `all`
            for splits, `own` for `expand` and `upcycle`, whose text group then routes as the source does.
        text_experts: of a split: how many of a layer's experts text keeps; None for half.
        audio_experts: `expand`: experts to add to each layer; None for as many as there are.
        experts_per_group, top_k, shared_expert: `upcycle`: experts of each modality, how many of them a token uses, and
            whether a shared expert sees all tokens (None: where the architecture always has one).
        calibration, calibration_tokens: `usage`: text (plain or JSONL with `text`), and how much of it is read.
        audio_stack: encoder frames per position (2 turns 50 Hz into 25 Hz).
        modality_routing: False keeps the backbone's own routing, for comparison.
        balance_loss_alpha: weight of the balance loss in training.
        new_row_noise: spread of the new embedding rows, relative to the old ones; 1 suits a backbone of random weights.
        max_audio_seconds: longer audio is refused by the processor.
        seed: of everything new.
        max_shard_bytes: size of the weight files; also what an interrupted conversion loses at most.
    """

    partition: Literal["index", "usage", "random", "expand", "upcycle", "none"] | None = None
    scores_over: Literal["all", "own"] | None = None
    text_experts: int | None = None
    audio_experts: int | None = None
    experts_per_group: int = 4
    top_k: int = 2
    shared_expert: bool | None = None
    calibration: Path | None = None
    calibration_tokens: int = 50_000
    audio_stack: int = 2
    modality_routing: bool = True
    balance_loss_alpha: float = 0.001
    new_row_noise: float = 0.1
    max_audio_seconds: float = 30.0
    seed: int = 0
    max_shard_bytes: int = 4_000_000_000

    def __post_init__(self) -> None:
        if self.partition == "usage" and self.calibration is None:
            raise MostError("calibration", None, "partition 'usage' is measured on text; name a file of it")
        for name, partition in (("audio_experts", "expand"), ("calibration", "usage")):
            if getattr(self, name) is not None and self.partition != partition:
                raise MostError(
                    name, getattr(self, name), f"belongs to partition {partition!r}, not {self.partition!r}"
                )
        if self.text_experts is not None and self.partition not in (None, *SPLITS):
            raise MostError("text_experts", self.text_experts, f"belongs to a split, not to {self.partition!r}")
        for name in ("experts_per_group", "top_k", "calibration_tokens", "audio_stack", "max_shard_bytes"):
            if getattr(self, name) < 1:
                raise MostError(name, getattr(self, name), "must be at least 1")
        if self.audio_experts is not None and self.audio_experts < 1:
            raise MostError("audio_experts", self.audio_experts, "must be at least 1")
        if self.top_k > self.experts_per_group:
            raise MostError(
                "top_k", self.top_k, f"a group holds {self.experts_per_group} experts; raise them or lower it"
            )
        if self.new_row_noise < 0:
            raise MostError("new_row_noise", self.new_row_noise, "must be >= 0")

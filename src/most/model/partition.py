"""Expert partitions: which routed experts serve text and which serve audio. Data, not code: they live in the config.

arXiv 2601.10272 splits the experts of every layer by index, the first half for text; any disjoint, complete split does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from most.errors import MostError, nearest

_FIELDS = ("num_experts", "text", "audio", "method", "scores_over")
_SCORES_OVER = ("all", "own")
WHOLE = "none"
"""The method of a layer that is not divided: the backbone routes as it did, and audio has no experts of its own."""


@dataclass(frozen=True, kw_only=True)
class ExpertPartition:
    """Two disjoint groups that together hold every routed expert of a layer.

    Args:
        num_experts: routed experts of the layer.
        text, audio: expert indices of each group, ascending.
        method: how the split was found, for the record (`index`, `usage`, `random`, `given`, ...).
        scores_over: `all` (the paper): experts are scored against all others and the own group is kept. `own`: the
            backbone's rule is applied to the own group as if it were the layer, so that a group which is a whole
            layer of the backbone computes what that layer does.

    Raises:
        MostError: a group is empty, names an expert twice or an unknown one; the groups overlap or leave gaps; an
            unknown `scores_over`.
    """

    num_experts: int
    text: tuple[int, ...]
    audio: tuple[int, ...]
    method: str = "given"
    scores_over: str = "all"

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", tuple(sorted(int(i) for i in self.text)))
        object.__setattr__(self, "audio", tuple(sorted(int(i) for i in self.audio)))
        for name, group in (("text", self.text), ("audio", self.audio)):
            where = f"partition.{name}"
            if not group and (self.method, name) != (WHOLE, "audio"):
                raise MostError(where, group, "is empty; each modality needs experts of its own")
            if len(set(group)) != len(group):
                raise MostError(where, group, "names an expert twice")
            if group and (group[0] < 0 or group[-1] >= self.num_experts):
                raise MostError(
                    where, group, f"names an expert that does not exist; they are 0 to {self.num_experts - 1}"
                )
        if self.scores_over not in _SCORES_OVER:
            remedy = f"{nearest(str(self.scores_over), _SCORES_OVER)} (scores over all experts, or over the own group)"
            raise MostError("partition.scores_over", self.scores_over, remedy)
        if both := sorted(set(self.text) & set(self.audio)):
            raise MostError("partition", both, "these experts are in both groups; the groups must be disjoint")
        if left := sorted(set(range(self.num_experts)) - set(self.text) - set(self.audio)):
            raise MostError("partition", left, "these experts are in neither group; every expert needs a modality")

    @classmethod
    def split_by_index(cls, num_experts: int, text_experts: int | None = None) -> ExpertPartition:
        """The paper's split: the first half for text, the second for audio (text gets the odd one).

        Args:
            text_experts: how many experts text has, where it is not half of them.
        """
        return cls.split_in_order(range(num_experts), "index", text_experts)

    @classmethod
    def split_in_order(cls, order: Sequence[int], method: str, text_experts: int | None = None) -> ExpertPartition:
        """The first `text_experts` of `order` (half of them where None) for text, the others for audio.

        Raises:
            MostError: a single expert, or a number that leaves a group empty.
        """
        n = len(order)
        if n < 2:
            raise MostError("num_experts", n, "a split needs at least 2 routed experts")
        cut = (n + 1) // 2 if text_experts is None else text_experts
        if not 1 <= cut < n:
            raise MostError("text_experts", cut, f"must lie between 1 and {n - 1} of the {n} experts a layer has")
        return cls(num_experts=n, text=tuple(order[:cut]), audio=tuple(order[cut:]), method=method)

    @classmethod
    def whole(cls, num_experts: int) -> ExpertPartition:
        """No split, for a layer that routes as its backbone does; a single expert (a dense MLP) is one, too."""
        return cls(num_experts=num_experts, text=tuple(range(num_experts)), audio=(), method=WHOLE)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> ExpertPartition:
        """Read what `to_json` wrote. Raises MostError for an unknown or missing key."""
        if unknown := sorted(set(row) - set(_FIELDS)):
            raise MostError("partition", unknown[0], f"unknown key; {nearest(unknown[0], _FIELDS)}")
        if missing := sorted({"num_experts", "text", "audio"} - set(row)):
            raise MostError("partition", dict(row), f"has no key {missing[0]!r}")
        return cls(**row)

    def to_json(self) -> dict[str, Any]:
        return {
            "num_experts": self.num_experts, "text": list(self.text), "audio": list(self.audio), "method": self.method,
            "scores_over": self.scores_over,
        }  # fmt: skip

    @property
    def groups(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The experts of `Modality.TEXT` and of `Modality.AUDIO`."""
        return self.text, self.audio

    def check_top_k(self, top_k: int) -> None:
        """Raises MostError when a group cannot fill the router's top-k."""
        for name, group in (("text", self.text), ("audio", self.audio)):
            if len(group) < top_k and (self.method, name) != (WHOLE, "audio"):
                raise MostError(
                    f"partition.{name}", group, f"holds {len(group)} experts, but the router picks {top_k} a token"
                )

    def membership(self, device: torch.device | None = None) -> torch.Tensor:
        """(2, num_experts) bool: row `Modality.TEXT` and row `Modality.AUDIO`."""
        table = torch.zeros(2, self.num_experts, dtype=torch.bool)
        table[0, list(self.text)] = True
        table[1, list(self.audio)] = True
        return table.to(device)


def resolve(
    partitions: Sequence[Mapping[str, Any] | ExpertPartition] | None,
    *,
    num_experts: int,
    top_k: int | None,
    n_layers: int,
) -> list[ExpertPartition]:
    """One partition for each MoE layer.

    Args:
        partitions: none (split by index), one for all layers, or one for each MoE layer.
        num_experts, top_k, n_layers: of the backbone; n_layers counts MoE layers only.

    Raises:
        MostError: a wrong number of partitions, or one that does not fit the backbone.
    """
    if not partitions:
        partitions = [ExpertPartition.split_by_index(num_experts)]
    parsed = [p if isinstance(p, ExpertPartition) else ExpertPartition.from_json(p) for p in partitions]
    if len(parsed) not in (1, n_layers):
        raise MostError("partitions", len(parsed), f"give one for all layers or one for each of {n_layers} MoE layers")
    for p in parsed:
        if p.num_experts != num_experts:
            raise MostError("partition.num_experts", p.num_experts, f"the backbone has {num_experts} routed experts")
        if top_k is not None:
            p.check_top_k(top_k)
    return parsed * n_layers if len(parsed) == 1 else parsed

"""The backbones that MAMoE knows: where each keeps its router, and which conventions the router follows.

A table, and no mathematics: that is `rule.py`. A family is one `model_type` of transformers; each rule restates that
family's own router in transformers, and a test holds it to the same numbers. What a config asks for and its router
does not do is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from most.errors import MostError
from most.model.rule import RoutingRule


@dataclass(frozen=True, kw_only=True)
class Family:
    """What differs between backbones.

    Args:
        router: path of the router in a decoder layer that is a mixture of experts.
        experts_key: the config's name for the number of routed experts, to read and to set.
        rule: the config's routing conventions. Raises MostError when the router has others.
    """

    router: str
    experts_key: str
    rule: Callable[[Any], RoutingRule]

    @property
    def block(self) -> str:
        """Path of the mixture of experts in a decoder layer: its router and its `experts` are in there."""
        return self.router.rpartition(".")[0]

    def num_experts(self, config: Any) -> int:
        """Routed experts of each mixture."""
        return getattr(config, self.experts_key)


def family_of(text_config: Any) -> Family:
    """Raises MostError when the backbone is not one that MAMoE knows."""
    if text_config.model_type not in FAMILIES:
        supported = ", ".join(sorted(FAMILIES))
        raise MostError("model_type", text_config.model_type, f"is not supported; supported are {supported}")
    return FAMILIES[text_config.model_type]


def _only(config: Any, field: str, *covered: Any) -> Any:
    """The field's value, which must be a covered one; the first of them where the config has no such field."""
    value = getattr(config, field, covered[0])
    if value not in covered:
        known = " or ".join(map(repr, covered))
        remedy = f"transformers' {config.model_type} router knows {known} only; use weights that were trained so"
        raise MostError(field, value, remedy)
    return value


def _deepseek_v2(config: Any) -> RoutingRule:
    _only(config, "scoring_func", "softmax")
    _only(config, "norm_topk_prob", False, None)  # DeepSeek's released code has it; transformers' router ignores it
    limited = _only(config, "topk_method", "greedy", "group_limited_greedy") == "group_limited_greedy"
    return RoutingRule(
        top_k=config.num_experts_per_tok,
        scaling=config.routed_scaling_factor,
        n_groups=config.n_group if limited else 1,
        top_groups=config.topk_group if limited else 1,
    )


def _deepseek_v3(config: Any) -> RoutingRule:
    _only(config, "scoring_func", "sigmoid")
    _only(config, "topk_method", "noaux_tc")
    return RoutingRule(
        top_k=config.num_experts_per_tok,
        scoring="sigmoid",
        selection_bias="e_score_correction_bias",
        renormalise=bool(config.norm_topk_prob),
        scaling=config.routed_scaling_factor,
        n_groups=config.n_group,
        top_groups=config.topk_group,
        group_score="top2",
    )


def _softmax(config: Any) -> RoutingRule:
    return RoutingRule(
        top_k=config.num_experts_per_tok,
        renormalise=bool(config.norm_topk_prob),
        ranked=True,
        float32_logits=False,
        float32_weights=False,
    )


def _mixtral(config: Any) -> RoutingRule:
    return RoutingRule(top_k=config.num_experts_per_tok, renormalise=True, ranked=True, float32_logits=False)


def _granitemoe(config: Any) -> RoutingRule:
    return RoutingRule(
        top_k=config.num_experts_per_tok,
        scoring="softmax_of_picked",
        ranked=True,
        float32_logits=False,
        float32_weights=False,
    )


FAMILIES: dict[str, Family] = {
    "deepseek_v2": Family(router="mlp.gate", experts_key="n_routed_experts", rule=_deepseek_v2),
    "deepseek_v3": Family(router="mlp.gate", experts_key="n_routed_experts", rule=_deepseek_v3),
    "olmoe": Family(router="mlp.gate", experts_key="num_experts", rule=_softmax),
    "qwen2_moe": Family(router="mlp.gate", experts_key="num_experts", rule=_softmax),
    "qwen3_moe": Family(router="mlp.gate", experts_key="num_experts", rule=_softmax),
    "mixtral": Family(router="mlp.gate", experts_key="num_local_experts", rule=_mixtral),
    "granitemoe": Family(router="block_sparse_moe.router", experts_key="num_local_experts", rule=_granitemoe),
}
"""transformers' `model_type` of a backbone -> its conventions."""

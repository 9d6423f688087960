"""Our own ways of running routed experts, registered with transformers as `experts_implementation`s."""

from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from most.model.experts.forward import auto_mm_experts_forward, sorted_mm_experts_forward

SORTED_EXPERTS = "sorted_mm"
DEFAULT_EXPERTS = "auto_mm"
"""What a model runs by where neither its config nor its caller chooses another."""

ALL_EXPERTS_FUNCTIONS.register(SORTED_EXPERTS, sorted_mm_experts_forward)
ALL_EXPERTS_FUNCTIONS.register(DEFAULT_EXPERTS, auto_mm_experts_forward)

__all__ = ["DEFAULT_EXPERTS", "SORTED_EXPERTS", "auto_mm_experts_forward", "sorted_mm_experts_forward"]

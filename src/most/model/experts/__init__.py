"""Our own way of running routed experts, registered with transformers as an `experts_implementation`."""

from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from most.model.experts.forward import sorted_mm_experts_forward

DEFAULT_EXPERTS = "sorted_mm"
"""What a model runs by where neither its config nor its caller chooses another."""

ALL_EXPERTS_FUNCTIONS.register(DEFAULT_EXPERTS, sorted_mm_experts_forward)

__all__ = ["DEFAULT_EXPERTS", "sorted_mm_experts_forward"]

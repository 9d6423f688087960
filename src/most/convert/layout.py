"""How each family's published checkpoints name their MoE weights, and how transformers' modules do: one two-way table.

Published checkpoints mostly hold one tensor per expert and projection; the modules hold all experts of a layer fused as
`gate_up_proj` (E, 2 * I, H) and `down_proj` (E, H, I). Either is read; published names are written by `most export`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from most.convert.plan import Piece, PlannedTensor, part_of, rows_of, whole
from most.convert.source import StoredTensor
from most.errors import MostError

GATE_UP, DOWN = "experts.gate_up_proj", "experts.down_proj"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Names inside a decoder layer.

    Args:
        module, published: path of the MoE block in transformers' modules and in published checkpoints.
        gate, up, down: published names of one expert's projections, `{e}` its index; None where published fused.
        renamed: module name -> published name of the block's other weights that differ.
        per_expert: weights beside the experts with one row for each of them (module names).
    """

    module: str = "mlp"
    published: str = "mlp"
    gate: str | None = "experts.{e}.gate_proj.weight"
    up: str | None = "experts.{e}.up_proj.weight"
    down: str | None = "experts.{e}.down_proj.weight"
    renamed: tuple[tuple[str, str], ...] = ()
    per_expert: tuple[str, ...] = ("gate.weight",)


LAYOUTS: dict[str, Layout] = {
    "deepseek_v2": Layout(),
    "deepseek_v3": Layout(per_expert=("gate.weight", "gate.e_score_correction_bias")),
    "olmoe": Layout(),
    "qwen2_moe": Layout(),
    "qwen3_moe": Layout(),
    "mixtral": Layout(
        published="block_sparse_moe",
        gate="experts.{e}.w1.weight",
        up="experts.{e}.w3.weight",
        down="experts.{e}.w2.weight",
    ),
    "granitemoe": Layout(
        module="block_sparse_moe",
        published="block_sparse_moe",
        gate=None, up=None, down=None,
        renamed=(
            (GATE_UP, "input_linear.weight"), (DOWN, "output_linear.weight"), ("router.weight", "router.layer.weight")
        ),
        per_expert=("router.weight",),
    ),
}  # fmt: skip
"""transformers' `model_type` -> names of its MoE weights."""


def layout_of(model_type: str) -> Layout:
    """Raises MostError when checkpoints of this architecture are not known."""
    if model_type not in LAYOUTS:
        raise MostError("model_type", model_type, f"is not supported; supported are {', '.join(sorted(LAYOUTS))}")
    return LAYOUTS[model_type]


def split_name(name: str) -> tuple[str, str]:
    """`model.layers.3.mlp.gate.weight` -> (`model.layers.3.`, `mlp.gate.weight`); names outside layers: ("", name)."""
    parts = name.split(".")
    if parts[:2] == ["model", "layers"] and len(parts) > 3:
        return ".".join(parts[:3]) + ".", ".".join(parts[3:])
    return "", name


class MoeView:
    """A MoE checkpoint by transformers' module names, whatever names its files use.

    Args:
        prefix: before every name (`language_model.` in a MoST folder).
    """

    def __init__(self, tensors: dict[str, StoredTensor], layout: Layout, prefix: str = "") -> None:
        self.tensors, self.layout, self.prefix = tensors, layout, prefix

    def find(self, name: str) -> StoredTensor | None:
        """A tensor that is stored whole, by its module name."""
        return self.tensors.get(self.prefix + name) or self.tensors.get(self.prefix + self._published(name))

    def get(self, name: str) -> StoredTensor:
        tensor = self.find(name)
        if tensor is None:
            raise KeyError(f"{name}: no source")
        return tensor

    def dtype(self, name: str) -> str:
        """The dtype of a module weight."""
        tensor = self.find(name)
        if tensor is None:
            block, which = self._block(name)
            tensor = self.tensors[self._expert_name(block, "down" if which == DOWN else "gate", 0)]
        return tensor.dtype

    def n_experts(self, block: str) -> int:
        """Experts of the MoE block whose module path is `block` (`model.layers.3.mlp`)."""
        fused = self.find(f"{block}.{GATE_UP}")
        if fused is not None:
            return fused.shape[0]
        n = 0
        while self._expert_name(block, "gate", n) in self.tensors:
            n += 1
        return n

    def expert(self, block: str, part: str, e: int) -> Piece:
        """One expert's `gate`, `up` (I, H) or `down` (H, I). Raises KeyError that says what is not there."""
        fused = self.find(f"{block}.{DOWN if part == 'down' else GATE_UP}")
        if fused is not None:
            if not 0 <= e < fused.shape[0]:
                raise KeyError(f"{block} expert {e}: the source has {fused.shape[0]}")
            return part_of(fused, e) if part == "down" else part_of(fused, e, int(part == "up"), 2)
        name = self._expert_name(block, part, e)
        if name not in self.tensors:
            raise KeyError(f"{name}: no source")
        return whole(self.tensors[name])

    def expert_shape(self, block: str) -> tuple[int, int]:
        """(I, H) of one expert."""
        fused = self.find(f"{block}.{DOWN}")
        if fused is not None:
            return fused.shape[2], fused.shape[1]
        name = self._expert_name(block, "gate", 0)
        if name not in self.tensors:
            raise KeyError(f"{name}: no source")
        intermediate, hidden = self.tensors[name].shape
        return intermediate, hidden

    def fused(self, name: str, experts: Sequence[int]) -> PlannedTensor:
        """The module weight `name` (`...experts.gate_up_proj` or `...experts.down_proj`) made of these experts."""
        block, which = self._block(name)
        intermediate, hidden = self.expert_shape(block)
        parts = ("down",) if which == DOWN else ("gate", "up")
        pieces = tuple(self.expert(block, part, e) for e in experts for part in parts)
        shape = (hidden, intermediate) if which == DOWN else (2 * intermediate, hidden)
        return PlannedTensor(name, self.dtype(name), (len(experts), *shape), pieces)

    def published(self, name: str, experts: Sequence[int]) -> list[PlannedTensor]:
        """The same as published checkpoints hold it: a tensor per expert and projection, or fused where that is so."""
        block, which = self._block(name)
        if self.layout.gate is None:
            tensor = self.fused(name, experts)
            return [PlannedTensor(self._published(name), tensor.dtype, tensor.shape, tensor.pieces)]
        intermediate, hidden = self.expert_shape(block)
        parts = ("down",) if which == DOWN else ("gate", "up")
        out = []
        for new, old in enumerate(experts):
            for part in parts:
                shape = (hidden, intermediate) if part == "down" else (intermediate, hidden)
                target = self._expert_name(block, part, new, prefixed=False)
                out.append(PlannedTensor(target, self.dtype(name), shape, (self.expert(block, part, old),)))
        return out

    def per_expert(self, name: str, experts: Sequence[int]) -> PlannedTensor:
        """A weight with a row for each expert, such as the router's."""
        tensor = self.get(name)
        return PlannedTensor(name, tensor.dtype, (len(experts), *tensor.shape[1:]), tuple(rows_of(tensor, experts)))

    def stored(self, name: str) -> PlannedTensor:
        """A weight that is taken as it is."""
        tensor = self.get(name)
        return PlannedTensor(name, tensor.dtype, tensor.shape, (whole(tensor),))

    def is_experts(self, name: str) -> bool:
        return split_name(name)[1] in (f"{self.layout.module}.{GATE_UP}", f"{self.layout.module}.{DOWN}")

    def is_per_expert(self, name: str) -> bool:
        return split_name(name)[1] in {f"{self.layout.module}.{n}" for n in self.layout.per_expert}

    def published_name(self, name: str) -> str:
        """Module name -> the name in a published checkpoint, for weights stored whole."""
        return self._published(name)

    def _block(self, name: str) -> tuple[str, str]:
        layer, rest = split_name(name)
        return layer + self.layout.module, rest.removeprefix(self.layout.module + ".")

    def _published(self, name: str) -> str:
        layer, rest = split_name(name)
        if not layer or not rest.startswith(self.layout.module + "."):
            return name
        inner = rest.removeprefix(self.layout.module + ".")
        return f"{layer}{self.layout.published}.{dict(self.layout.renamed).get(inner, inner)}"

    def _expert_name(self, block: str, part: str, e: int, *, prefixed: bool = True) -> str:
        layer, _ = split_name(block + ".")
        pattern = {"gate": self.layout.gate, "up": self.layout.up, "down": self.layout.down}[part]
        name = f"{layer}{self.layout.published}.{(pattern or '').format(e=e)}"
        return self.prefix + name if prefixed else name

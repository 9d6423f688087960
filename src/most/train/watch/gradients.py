"""The norm of each part's gradient: which part learns, and which one makes a step unstable."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch

from most.model.install import routers
from most.train.trainable import parts_of


class GradientNorms:
    """Norms by part; the experts' are told apart by modality.

    Args:
        model: the MoST as it trains (sharded already, if it will be).
    """

    def __init__(self, model: Any) -> None:
        named = dict(model.named_parameters())
        self._whole: dict[str, list[Any]] = defaultdict(list)
        self._experts: list[tuple[Any, list[tuple[str, torch.Tensor]]]] = []
        installed = routers(model.language_model)
        parts = parts_of(model)
        layers = sorted({_layer(name) for name, part in parts if part == "experts"})
        partition = dict(zip(layers, (r.partition if r.routing else None for r in installed), strict=False))
        for name, part in parts:
            split = partition.get(_layer(name)) if part == "experts" else None
            if split is None:
                self._whole[part].append(named[name])
            else:
                groups = [("text_experts", torch.tensor(split.text)), ("audio_experts", torch.tensor(split.audio))]
                self._experts.append((named[name], groups))

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Part to norm, of the gradients as they are; all ranks must call it. Empty when there is no gradient."""
        squares: dict[str, list[torch.Tensor]] = defaultdict(list)
        for part, parameters in self._whole.items():
            grads = [p.grad for p in parameters if p.grad is not None]
            squares[part] += [n.double().square() for n in _norms(grads)]
        for parameter, groups in self._experts:
            if parameter.grad is not None:
                by_expert = torch.linalg.vector_norm(parameter.grad, dim=tuple(range(1, parameter.grad.ndim)))
                by_expert = _local(by_expert).double().square()
                for name, rows in groups:
                    squares[name].append(by_expert[rows.to(by_expert.device)].sum())
        return {part: float(torch.stack(s).sum().sqrt()) for part, s in squares.items() if s}


def _layer(name: str) -> int:
    return int(name.split(".layers.")[1].split(".")[0]) if ".layers." in name else -1


def _norms(grads: list[Any]) -> list[torch.Tensor]:
    if any(hasattr(g, "full_tensor") for g in grads):  # each may be sharded over ranks of its own
        return [_local(torch.linalg.vector_norm(g)) for g in grads]
    return list(torch._foreach_norm(grads)) if grads else []  # type: ignore[reportPrivateImportUsage]


def _local(norm: Any) -> torch.Tensor:
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm

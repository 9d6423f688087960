"""Names of foreign tensors to ours, strictly: each of theirs is used or dropped for a reason, each of ours filled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from most.errors import MostError
from most.speech.foreign.output import some


def split_dropped(
    tensors: Mapping[str, torch.Tensor], reasons: Mapping[str, str]
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors to keep, and name -> reason for those whose name begins with a key of `reasons`."""
    kept, dropped = {}, {}
    for name, tensor in tensors.items():
        reason = next((why for start, why in reasons.items() if name.startswith(start)), None)
        if reason is None:
            kept[name] = tensor
        else:
            dropped[name] = reason
    return kept, dropped


def rename(
    tensors: Mapping[str, torch.Tensor], table: Mapping[str, str], wanted: Mapping[str, torch.Tensor], source: Path
) -> dict[str, torch.Tensor]:
    """Their tensors under our names, as float32.

    Args:
        table: their name -> ours.
        wanted: tensors (or empty ones) of the shapes that our module has.
        source: the file, for the error.

    Raises:
        MostError: names on either side without a partner, or shapes that differ; they are listed.
    """
    wrong = [f"{name} {tuple(tensors[name].shape)} has no place" for name in tensors if name not in table]
    wrong += [f"{name} is missing" for name in table if name not in tensors]
    for theirs, ours in table.items():
        if theirs in tensors and ours in wanted and tensors[theirs].shape != wanted[ours].shape:
            shapes = f"{tuple(tensors[theirs].shape)}, needs {tuple(wanted[ours].shape)}"
            wrong.append(f"{theirs} has shape {shapes}")
    wrong += [f"our {name} is filled by none of its tensors" for name in set(wanted) - set(table.values())]
    if wrong:
        raise MostError("checkpoint", source, f"its tensors do not fit: {some(wrong)}")
    return {ours: tensors[theirs].detach().float().contiguous() for theirs, ours in table.items()}


def weight_norm_pairs(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same with torch's newer names of weight normalisation (`parametrizations`) under the older ones."""
    form = {".parametrizations.weight.original0": ".weight_g", ".parametrizations.weight.original1": ".weight_v"}
    renamed = {}
    for name, tensor in tensors.items():
        ending = next((e for e in form if name.endswith(e)), "")
        renamed[name.removesuffix(ending) + form.get(ending, "")] = tensor
    return renamed


def fold_weight_norm(tensors: Mapping[str, torch.Tensor], source: Path) -> dict[str, torch.Tensor]:
    """Magnitude g and direction v of weight normalisation (arXiv 1602.07868) as the weight g * v / |v|.

    Raises:
        MostError: one without the other.
    """
    pairs, folded = weight_norm_pairs(tensors), {}
    for name, tensor in pairs.items():
        if name.endswith(".weight_v"):
            g = pairs.get(name.removesuffix("_v") + "_g")
            if g is None or g.dim() != tensor.dim():
                raise MostError("checkpoint", source, f"{name} has no weight_g that fits; it is damaged")
            along = [d for d, n in enumerate(g.shape) if n == 1 and tensor.shape[d] != 1] or [0]
            v = tensor.double()
            folded[name.removesuffix("_v")] = (g.double() * v / v.norm(dim=along, keepdim=True)).float()
        elif name.endswith(".weight_g"):
            if name.removesuffix("_g") + "_v" not in pairs:
                raise MostError("checkpoint", source, f"{name} has no weight_v; it is damaged")
        else:
            folded[name] = tensor
    return folded

"""What a release's own weight files hold: which weights are rounded, which stay, and their bytes from shapes alone."""

from __future__ import annotations

from typing import Any

import torch

from most.errors import MostError
from most.model.install import moe_routers
from most.model.release.int8 import CODES, SCALES, is_rounded, round_rows, widen
from most.model.release.loading import ENCODER
from most.speech.codec import Codec

WEIGHTS = {"int8": "int8", "bf16": "bfloat16"}
"""What weights can be stored as -> its name in config.json."""


def shares_encoder(model: Any, codec: Codec) -> bool:
    """Whether model and codec have one encoder: every weight the same in float16, as the codec is stored."""
    if model.audio_encoder is None:
        return False
    ours, theirs = (e.get_submodule("model").state_dict() for e in (model.audio_encoder, codec.encoder))
    return ours.keys() == theirs.keys() and all(
        ours[k].shape == theirs[k].shape and torch.equal(ours[k].cpu().half(), theirs[k].cpu().half()) for k in ours
    )


def stored_tensors(model: Any, *, with_encoder: bool) -> dict[str, torch.Tensor]:
    """The weights of a MoST that a release's own files hold: tied ones once."""
    tied = model.all_tied_weights_keys
    kept = {k: v for k, v in model.state_dict().items() if k not in tied}
    return {k: v for k, v in kept.items() if with_encoder or not k.startswith(ENCODER)}


def router_weights(model: Any) -> set[str]:
    """Names of the routers' weights. They stay exact: a rounded score can send a token to another expert."""
    routers = {id(getattr(holder, name)) for holder, name in moe_routers(model.language_model)}
    return {f"{path}.{k}" for path, m in model.named_modules() if id(m) in routers for k in m.state_dict()}


def stored_dtypes(name: str, tensor: torch.Tensor, weights: str, routers: set[str]) -> dict[str, torch.dtype]:
    """The tensors that one weight is stored as, and their dtypes."""
    if not tensor.is_floating_point():
        return {name: tensor.dtype}
    if name.startswith(ENCODER):
        return {name: torch.float16}  # frozen; as codecs store it
    if weights == "int8" and is_rounded(name, tensor, routers):
        return {name + CODES: torch.int8, name + SCALES: torch.float32}
    return {name: torch.bfloat16 if weights == "bf16" and name not in routers else torch.float32}


def planned_bytes(model: Any, weights: str, *, with_encoder: bool) -> int:
    """Bytes of a release's own weights, from shapes alone: the model may lie on the meta device."""
    routers, total = router_weights(model), 0
    for name, tensor in stored_tensors(model, with_encoder=with_encoder).items():
        for part, dtype in stored_dtypes(name, tensor, weights, routers).items():
            n = tensor.numel() // tensor.shape[-1] if part.endswith(SCALES) else tensor.numel()
            total += n * dtype.itemsize
    return total


def pack(model: Any, weights: str, *, with_encoder: bool) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """What a release's own files hold, and the largest relative error of each kind of rounded weight."""
    routers, packed, errors = router_weights(model), {}, {}
    for name, tensor in stored_tensors(model, with_encoder=with_encoder).items():
        tensor = tensor.detach().cpu()
        dtypes = stored_dtypes(name, tensor, weights, routers)
        if name in dtypes:
            packed[name] = tensor.to(dtypes[name]).contiguous()
            if tensor.is_floating_point() and not bool(packed[name].isfinite().all()):
                raise MostError("weights", name, f"does not fit {dtypes[name]}, or is not finite")
            continue
        codes, scale = round_rows(tensor)
        packed[name + CODES], packed[name + SCALES] = codes, scale
        exact = tensor.float()
        off = float((widen(codes, scale, torch.float32) - exact).norm() / exact.norm().clamp(min=1e-9))
        kind = name.removesuffix(".weight").rpartition(".")[2]
        errors[kind] = max(off, errors.get(kind, 0.0))
    return packed, errors

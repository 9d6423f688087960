"""One micro-batch through the model's own modules on the meta device: FLOPs, bytes moved and bytes alive, op by op.

Nothing is computed and no weight is needed, so a model of any size is traced in seconds, and what is counted is what
its modules do rather than what a formula says about them. Not seen: which experts are busy, and the balance loss.
"""

from __future__ import annotations

import functools
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from most.model.losses import token_losses
from most.plan.kernels import KERNELS, fused_kernels

_GATHERS = ("index", "gather", "embedding", "index_select", "index_put", "index_add", "scatter_add", "scatter")
_FREE = ("empty", "new_empty", "empty_like", "new_empty_strided", "empty_strided", "detach", "alias", "lift_fresh")


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What one micro-batch of `rows` x `width` positions takes.

    Args:
        forward_flops: by part; a multiplication and an addition are two.
        backward_flops: of everything after the loss, what checkpointing computes again included.
        kernels: (FLOPs, bytes read and written, whether in half precision) of an op -> how often it runs.
        activations: bytes that the layers keep for the backward pass.
        logits: bytes of logits, their losses and what is kept of both.
        peak: the most bytes alive at once beyond the weights and all their gradients.
    """

    rows: int
    width: int
    forward_flops: dict[str, int]
    backward_flops: int
    kernels: Counter[tuple[int, int, bool]]
    activations: int
    logits: int
    peak: int

    @property
    def positions(self) -> int:
        return self.rows * self.width

    @property
    def flops(self) -> int:
        """Of forward and backward."""
        return sum(self.forward_flops.values()) + self.backward_flops


def trace(model: Any, rows: int, width: int, *, checkpointing: bool, part_of: Callable[[str], str]) -> Trace:
    """Trace forward and backward of a MoST on the meta device.

    Gradients of weights are there from the start, as they are for all micro-batches of a step but the first.

    Args:
        model: on the meta device, its weights in the dtype that is computed in; what trains requires a gradient.
        part_of: weight name -> part.
    """
    for p in model.parameters():
        p.grad = torch.empty_like(p) if p.requires_grad else None
    meter = Meter()
    language_model = model.language_model
    ids = torch.zeros(rows, width, dtype=torch.long, device="meta")
    mask = torch.ones(rows, 1, width, width, dtype=torch.bool, device="meta")
    with _prepared(model, checkpointing), _parts(model, part_of, meter), fused_kernels(meter), meter:
        embeddings = model.get_input_embeddings()(ids)
        if not embeddings.requires_grad:
            embeddings = embeddings.detach().requires_grad_()  # the projection's output, which is left out, is in there
        hidden = language_model.get_decoder()(
            inputs_embeds=embeddings, attention_mask=mask, modality_ids=ids, use_cache=False
        )[0]
        activations = meter.alive
        logits = language_model.get_output_embeddings()(hidden)
        losses = token_losses(logits, ids, model.vocab)
        kept = meter.alive - activations
        forward = dict(meter.flops)
        del logits, hidden, embeddings
        losses.total.backward()
    for p in model.parameters():
        p.grad = None
    return Trace(
        rows=rows,
        width=width,
        forward_flops=forward,
        backward_flops=sum(meter.flops.values()) - sum(forward.values()),
        kernels=meter.kernels,
        activations=activations,
        logits=kept,
        peak=meter.peak,
    )


class Meter(TorchDispatchMode):
    """Counts what runs inside: FLOPs by part, kernels, and bytes of storages that were made inside and still live."""

    def __init__(self) -> None:
        super().__init__()
        self.part = "other"
        self.flops: Counter[str] = Counter()
        self.kernels: Counter[tuple[int, int, bool]] = Counter()
        self.alive = self.peak = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        inputs, outputs = list(_tensors((args, kwargs))), list(_tensors(out))
        before = {t.untyped_storage()._cdata for t in inputs}
        fresh = [t for t in outputs if t.untyped_storage()._cdata not in before]
        for t in fresh:
            self._made(t.untyped_storage())
        name = func._schema.name.removeprefix("aten::").rstrip("_")
        if (fresh or func._schema.is_mutable) and name not in _FREE:
            written = sum(map(_size, fresh or outputs))
            read = written if name in _GATHERS else sum(map(_size, inputs))
            self.count(_flops(name, inputs, outputs), read + written, (fresh or outputs or inputs)[0].dtype)
        return out

    def count(self, flops: int, n_bytes: int, dtype: torch.dtype, part: str | None = None) -> None:
        if flops:
            self.flops[part or self.part] += flops
        self.kernels[flops, n_bytes, dtype.itemsize == 2] += 1

    def _made(self, storage: Any) -> None:
        if storage in self._seen:
            return
        self._seen.add(storage)
        n = storage.nbytes()
        self.alive += n
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._freed, n)

    def _freed(self, n: int) -> None:
        self.alive -= n


def _flops(name: str, inputs: list[torch.Tensor], outputs: list[torch.Tensor]) -> int:
    """Of a matrix product; what else there is is bound by memory."""
    if name in ("mm", "bmm"):
        return 2 * inputs[0].numel() * outputs[0].shape[-1]
    if name in ("addmm", "baddbmm"):
        return 2 * inputs[1].numel() * outputs[0].shape[-1]
    return 0


def _tensors(tree: Any) -> Iterator[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, list | tuple):
        for item in tree:
            yield from _tensors(item)
    elif isinstance(tree, dict):
        yield from _tensors(list(tree.values()))


def _size(t: torch.Tensor) -> int:
    return t.numel() * t.itemsize


@contextmanager
def _prepared(model: Any, checkpointing: bool) -> Iterator[None]:
    """Checkpointing as asked, expert kernels and attention that the meta device has; as it was afterwards."""
    config = model.language_model.config
    before = config._attn_implementation, config._experts_implementation, model.training
    config._attn_implementation = config._experts_implementation = KERNELS
    name = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"  # renamed in 5.24
    model.train()
    if checkpointing:
        getattr(model, f"{name}_checkpointing_enable")({"use_reentrant": False})
    else:
        getattr(model, f"{name}_checkpointing_disable")()
    try:
        yield
    finally:
        getattr(model, f"{name}_checkpointing_disable")()
        config._attn_implementation, config._experts_implementation = before[:2]
        model.train(before[2])


@contextmanager
def _parts(model: Any, part_of: Callable[[str], str], meter: Meter) -> Iterator[None]:
    """While a module that holds weights runs, its FLOPs are of its weights' part."""
    with ExitStack() as stack:
        for name, module in model.language_model.named_modules(prefix="language_model"):
            first = next((n for n, _ in module.named_parameters(recurse=False)), None)
            if first is not None:
                enter = functools.partial(_enter, meter, part_of(f"{name}.{first}"))
                stack.callback(module.register_forward_pre_hook(enter).remove)
        yield


def _enter(meter: Meter, part: str, *_: Any) -> None:
    meter.part = part

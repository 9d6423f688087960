"""A plan for people: a few aligned tables, rounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from most.plan.memory import Memory
from most.plan.plan import Plan


def as_text(plan: Plan) -> str:
    """All of a plan."""
    warning = [] if plan.fits else [_warning(plan)]
    return "\n\n".join([_about(plan), _parameters(plan), _flops(plan), _memory(plan), _time(plan), *warning])


def headline(plan: Plan) -> str:
    """A plan in one line."""
    active = {m: sum(row[f"active_{m}"] for row in plan.parameters.values()) for m in ("text", "audio")}
    fit = "" if plan.fits else ", which does not fit"
    return (
        f"estimate: {short(_total(plan))} parameters ({short(active['text'])} a text token, "
        f"{short(active['audio'])} an audio token), {short(sum(plan.trained.values()))} learn; "
        f"{size(plan.used.total)} a device{fit}; {plan.time.total:.3g} s a step, "
        f"{short(plan.tokens_per_step / plan.time.total)} tokens/s, {hours(plan.hours)}, bound by {plan.time.bound}"
    )


def _about(plan: Plan) -> str:
    b = plan.batches
    shape = f"{b.rows} rows of {b.width} positions"
    if b.largest != (b.rows, b.width):
        shape += f", at most {b.largest[0]} of {b.largest[1]}"
    rows = {
        "runs on": f"{plan.n_devices} x {plan.device}",
        "rates": plan.rates.source,
        "micro-batch": f"{shape}, {1 - b.tokens / b.positions:.0%} padding ({b.source})",
        "step": f"{plan.tokens_per_step:,.0f} tokens",
        "learns": ", ".join(f"{part.replace('_', ' ')} {short(n)}" for part, n in plan.trained.items()),
    }
    width = max(map(len, rows))
    return "\n".join(f"{key:<{width}}  {value}" for key, value in rows.items())


def _parameters(plan: Plan) -> str:
    keys = ("total", "active_text", "active_audio")
    rows = [
        (f"  {part.replace('_', ' ')}", *(short(row[k]) for k in keys))
        for part, row in plan.parameters.items()
        if row["total"]
    ]
    totals = (short(sum(row[k] for row in plan.parameters.values())) for k in keys)
    return table([("parameters", "total", "a text token", "an audio token"), *rows, ("  all", *totals)])


def _flops(plan: Plan) -> str:
    forward = plan.flops_per_position["forward"]
    rows = [(f"  {part.replace('_', ' ')}", short(n)) for part, n in forward.items()]
    ends = [("  forward", short(sum(forward.values()))), ("  backward", short(plan.flops_per_position["backward"]))]
    return table([("FLOPs a position", ""), *rows, *ends])


def _memory(plan: Plan) -> str:
    columns = (plan.without_checkpointing, plan.with_checkpointing)
    chosen = plan.used is plan.with_checkpointing
    heads = ("no checkpointing" + ("" if chosen else " *"), "checkpointing" + (" *" if chosen else ""))
    rows = [(f"  {f.name}", *(size(getattr(m, f.name)) for m in columns)) for f in fields(Memory)]
    total = ("  all", *(size(m.total) for m in columns))
    there = ("  there is", *(size(plan.capacity) for _ in columns))
    return table([("memory of a device", *heads), *rows, total, there]) + "\n  * as the recipe says"


def _time(plan: Plan) -> str:
    t = plan.time
    spent = {
        "matrix products": t.products, "memory traffic": t.traffic, "launching kernels": t.host,
        "optimizer": t.optimizer, "network, beside": t.hidden, "network, waited for": t.exposed,
    }  # fmt: skip
    rows = [(f"  {name}", f"{seconds:.4g} s") for name, seconds in spent.items() if seconds]
    ratio = [("  measured / predicted", f"{plan.rates.step_ratio:.3g}")] if plan.rates.step_ratio != 1 else []
    said = table([("a step", ""), *rows, *ratio, ("  all", f"{t.total:.4g} s")])
    return f"{said}\n\n{hours(plan.hours)}, bound by {t.bound}; {plan.tokens_per_step / t.total:,.0f} tokens/s"


def _warning(plan: Plan) -> str:
    return f"does not fit: needs {size(plan.used.total)} of {size(plan.capacity)}. {'; '.join(plan.advice)}."


def _total(plan: Plan) -> int:
    return sum(row["total"] for row in plan.parameters.values())


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns side by side, the first to the left, the others to the right."""
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    )


def short(n: float) -> str:
    """1234567 -> `1.23 M`."""
    for scale, unit in ((1e15, "P"), (1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if n >= scale:
            return f"{n / scale:.3g} {unit}"
    return f"{n:.3g}"


def size(n_bytes: float) -> str:
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.1f} {unit}"
    return f"{n_bytes:.0f} bytes"


def hours(n: float) -> str:
    if n < 1 / 60:
        return f"{3600 * n:.0f} s"
    if n < 1:
        return f"{60 * n:.0f} min"
    return f"{n:.1f} hours" if n < 48 else f"{n:.0f} hours ({n / 24:.0f} days)"

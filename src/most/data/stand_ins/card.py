"""The card of a stand-in: what it takes the place of, how it differs, what it holds and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from most.data.corpora.check import Record
from most.data.dialogue.voice.pool import Voices
from most.data.stand_ins.info import SetInfo
from most.data.stand_ins.items import Chosen
from most.data.stand_ins.recipe import StandInRecipe
from most.settings import to_plain


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is said of one kind of set.

    Args:
        source: the texts, with their paper.
        differs: how the set differs from the one that it stands in for, each a sentence.
    """

    title: str
    stand_in_for: str
    source: str
    differs: tuple[str, ...]

    def info(self, recipe: StandInRecipe, pool: Voices) -> SetInfo:
        """`set.json`, which an evaluation carries into its report."""
        voices = ", ".join(v.label for v in pool.voices)
        spoken = "; ".join(sorted({v.licence or "unknown" for v in pool.voices}))
        return SetInfo(
            name=self.title, source=f"{self.source}; said by {voices}",
            licence=f"texts {recipe.licence or 'unknown'}; voices {spoken}", stand_in_for=self.stand_in_for,
        )  # fmt: skip


def card(
    verb: str, about: Card, recipe: StandInRecipe, info: SetInfo, chosen: Chosen, kept: Sequence[Record],
    left_out: Sequence[dict[str, Any]], pool: Voices,
) -> str:  # fmt: skip
    """`README.md` of the set; nothing in it depends on when, where or by how many workers it was made."""
    lines = [
        f"# {info.name}", "",
        f"**A stand-in for {info.stand_in_for}, not that set.** Do not compare figures on it with published ones.",
        "",
        f"- source: {info.source}", f"- licence: {info.licence}", f"- items: {len(kept)}, left out: {len(left_out)}",
        "", "## How it differs", "", *(f"- {line}" for line in about.differs),
        "- Nobody recorded is heard: the voices are synthetic, clearer and more even than people are.", "",
    ]  # fmt: skip
    lines += ["## Voices", "", "| voice | items | hours | licence |", "|---|---|---|---|"]
    licences = {v.label: v.licence for v in pool.voices}
    for label, licence in licences.items():
        mine = [r for r in kept if r["speaker"] == label]
        hours = sum(r["seconds"] for r in mine) / 3600
        lines.append(f"| {label} | {len(mine)} | {hours:.3f} | {licence or '-'} |")
    groups = Counter(r["row"]["group"] for r in kept if "group" in r["row"])
    if len(groups) > 1:
        fewest, most = min(groups.values()), max(groups.values())
        lines += ["", f"Groups: {len(groups)}, of {fewest} to {most} items."]
        if len(groups) <= 12:
            lines += ["", "| group | items |", "|---|---|", *(f"| {g} | {n} |" for g, n in sorted(groups.items()))]
    lines += ["", *chosen.notes, *([""] if chosen.notes else [])]
    reasons = Counter(r["reason"] for r in left_out)
    lines += ["## Left out", "", "Nothing." if not reasons else "Each is named in `rejected.jsonl`.", ""]
    lines += ["| reason | items |", "|---|---|", *(f"| {r} | {n} |" for r, n in sorted(reasons.items())), ""] * bool(
        reasons
    )
    lines += ["## Made by", "", "`most data build`, a step with these settings (paths by their last name):", ""]
    return "\n".join([*lines, "```yaml", yaml.safe_dump(_settings(verb, recipe), sort_keys=False).rstrip(), "```", ""])


def _settings(verb: str, recipe: StandInRecipe) -> dict[str, Any]:
    tree = {k: v for k, v in to_plain(recipe).items() if k in (*recipe.of_content(), "limit")}
    unjudged = ("gate",) if recipe.gate.judge == "none" else ()
    tree = {k: v for k, v in tree.items() if k not in ("augment", "audio", "licence", *unjudged)}
    tree["voices"] = [{k: v for k, v in voice.items() if v and k != "roles"} for voice in tree["voices"]]
    names = [p.name for p in (recipe.source, *getattr(recipe, "texts", ()))]
    return {"verb": verb, "sources": names, **_named(tree)}


def _named(value: Any) -> Any:
    """Settings in which a path is its last name: where a model lies is nobody's business."""
    if isinstance(value, dict):
        return {k: _named(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_named(v) for v in value]
    return value.rstrip("/").rsplit("/", 1)[-1] if isinstance(value, str) and "/" in value else value

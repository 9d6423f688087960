"""What the data card of a set read aloud says beyond that of any prepared set: who speaks, and how well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from most.data.corpora.check import Record
from most.data.read_aloud.recipe import ReadAloudRecipe


def kept_rule(recipe: ReadAloudRecipe) -> str:
    """What was kept, in a sentence."""
    if recipe.gate.judge == "none":
        return "Kept: every sentence that a voice said; nobody judged the speech."
    model = recipe.gate.settings.get("model")
    judge = recipe.gate.judge + (f" ({str(model).rstrip('/').rsplit('/', 1)[-1]})" if model else "")
    return (
        f"Kept: sentences that {judge} understood with a word error rate of at most {100 * recipe.gate.max_wer:g} %, "
        "at the first or second take."
    )


def voice_lines(recipe: ReadAloudRecipe, records: Sequence[Record]) -> list[str]:
    """A table of voices: hours, what the judge misheard of what was kept, takes, licence."""
    rows: dict[str, list[Record]] = {}
    for record in records:
        rows.setdefault(record["speaker"], []).append(record)
    kinds = Counter(kind for r in records for kind in r.get("augmentation", ()))
    changed = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())) or "none"
    return [
        "Nobody recorded is heard here: the voices are synthetic, clearer and more even than people are.",
        "",
        "| voice | utterances | hours | word error rate | made twice | licence |",
        "|---|---|---|---|---|---|",
        *(_row(voice, rows[voice]) for voice in sorted(rows)),
        "",
        f"Augmented utterances (for `asr` alone): {changed}. Seed {recipe.seed}.",
        "",
    ]


def _row(voice: str, records: Sequence[Record]) -> str:
    judged = [r for r in records if "word_errors" in r]
    words = sum(r["words"] for r in judged)
    rate = f"{100 * sum(r['word_errors'] for r in judged) / words:.1f} % of {words}" if words else "-"
    hours = sum(r["seconds"] for r in records) / 3600
    twice = sum(r["takes"] > 1 for r in records)
    return f"| {voice} | {len(records)} | {hours:.3f} | {rate} | {twice} | {records[0]['voice_licence'] or '-'} |"

"""The data card: a README.md beside the data that says what it is, who speaks, under which licences, how well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from most.data.dialogue.voice.recipe import SpeakRecipe

_HEAD = """# Spoken dialogues

Synthetic speech made by `most data speak` from written dialogues. Nobody recorded is heard in it; the voices are those
of the synthesizers below. Dialogues that a model wrote carry that model's biases, and synthetic voices are clearer,
more even and less varied in age, accent and mood than people are.

`train.jsonl` holds one example a line for `most data encode` and `most train`: the user is heard, the assistant's
turns have text{said}. `dialogues/*/dialogue.json` says who spoke when, what was interrupted and where both spoke;
`rejected.jsonl` says what was left out and why; `recipe.json` is what it was made with.
"""


def write_card(
    recipe: SpeakRecipe, records: Sequence[Mapping[str, Any]], rejected: Sequence[Mapping[str, str]]
) -> None:
    """Write `README.md` into the output folder from the records alone."""
    (recipe.output / "README.md").write_text(card(recipe, records, rejected), encoding="utf-8")


def card(recipe: SpeakRecipe, records: Sequence[Mapping[str, Any]], rejected: Sequence[Mapping[str, str]]) -> str:
    """The card's text."""
    said = " and speech" if recipe.assistant == "speech" else ""
    turns = [t for r in records for t in r["turns"] if t["audio"]]
    seconds, count, licence = Counter[str](), Counter[str](), dict[str, str]()
    for record in records:
        licence |= {v["speaker"]: v["licence"] for v in record["voices"].values()}
    for turn in turns:
        seconds[turn["speaker"]] += turn["end"] - turn["start"]
        count[turn["speaker"]] += 1
    kinds = Counter(o["kind"] for r in records for o in r["overlaps"])
    both = sum(o["end"] - o["start"] for r in records for o in r["overlaps"])
    of_role = {role: sum(t["end"] - t["start"] for t in turns if t["role"] == role) for role in ("user", "assistant")}
    lines = [
        _HEAD.format(said=said),
        "| | |", "|---|---|",
        f"| dialogues | {len(records)}, {len(rejected)} left out{_by_kind(rejected)} |",
        f"| turns spoken | {len(turns)} |",
        f"| hours of speech | {sum(of_role.values()) / 3600:.3f} (user {of_role['user'] / 3600:.3f}, "
        f"assistant {of_role['assistant'] / 3600:.3f}) |",
        f"| overlaps | {kinds['barge-in']} barge-ins, {kinds['back-channel']} back-channels, {both:.1f} s |",
        f"| audio | {recipe.audio.sample_rate} Hz, {recipe.audio.format}; a file a turn"
        f"{'; user left, assistant right' if recipe.audio.two_channels and said else ''}"
        f"{'; mixed' if recipe.audio.mixed and said else ''} |",
        f"| judged by | {_judged(recipe, turns)} |",
        f"| augmented turns | {_augmented(turns)} |",
        f"| seed | {recipe.seed} |",
        "", "## Voices", "", "| voice | turns | hours | licence |", "|---|---|---|---|",
        *(f"| {v} | {count[v]} | {seconds[v] / 3600:.3f} | {licence[v] or 'not stated'} |" for v in sorted(count)),
        "", "## Texts", "", "| source | licence | dialogues |", "|---|---|---|",
        *(
            f"| {source} | {terms or 'not stated'} | {n} |"
            for (source, terms), n in sorted(Counter((r["source"], r["licence"]) for r in records).items())
        ),
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def _by_kind(rejected: Sequence[Mapping[str, str]]) -> str:
    kinds = Counter(r["kind"] for r in rejected)
    return f" ({', '.join(f'{n} for {kind}' for kind, n in sorted(kinds.items()))})" if kinds else ""


def _judged(recipe: SpeakRecipe, turns: Sequence[Mapping[str, Any]]) -> str:
    judged = [t for t in turns if t["wer"] is not None]
    if not judged:
        return "nobody"
    errors, words = sum(t["word_errors"] for t in judged), sum(t["words"] for t in judged)
    model = recipe.gate.settings.get("model")
    name = recipe.gate.judge + (f" ({str(model).rstrip('/').rsplit('/', 1)[-1]})" if model else "")
    return (
        f"{name}: word error rate {100 * errors / words:.1f} % over {words} words of {len(judged)} turns kept, limit "
        f"{100 * recipe.gate.max_wer:g} % a turn; {sum(t['takes'] > 1 for t in turns)} made a second time"
    )


def _augmented(turns: Sequence[Mapping[str, Any]]) -> str:
    kinds = Counter(kind for t in turns for kind in t["augmentation"])
    return ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())) or "none"

"""What a set of dialogues holds too much or too little of: topics, lengths, interruptions, voices, rates, repetitions.

The paper names biases of synthetic dialogues as a limit and leaves them open; this measures them, `balance` acts on
them. Counts only: nothing is kept of a dialogue but a sketch of about 1 kB, by which duplicates are found.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from most.data.dialogue.bias_items import Item
from most.data.dialogue.interruptions.validate import words_of
from most.data.dialogue.near import NearDuplicates
from most.errors import MostError

PHRASE_WORDS = (3, 5)
OPENING_WORDS = 2
N_SHOWN = 25
_PRUNE_AT = 3_000_000
"""Phrases counted at once; beyond it those seen once are forgotten, which can only lower the counts of rare ones."""


def effective_number(counts: Counter[Any]) -> float:
    """How many equally frequent values would be as varied: e to the entropy (Hill, "Diversity and evenness", 1973)."""
    total = sum(counts.values())
    return math.exp(-sum(n / total * math.log(n / total) for n in counts.values() if n)) if total else 0.0


@dataclass(kw_only=True)
class Tally:
    """Counts over dialogues; `add` each, then `summary`."""

    near: NearDuplicates = field(default_factory=NearDuplicates)
    n: int = 0
    topics: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    n_turns: Counter[int] = field(default_factory=Counter)
    words: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    chunk_words: Counter[int] = field(default_factory=Counter)
    interrupted_dialogues: int = 0
    cut_at: Counter[int] = field(default_factory=Counter)
    cut_turn: Counter[int] = field(default_factory=Counter)
    cut_kinds: Counter[str] = field(default_factory=Counter)
    cut_phrases: Counter[str] = field(default_factory=Counter)
    openings: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    phrases: Counter[str] = field(default_factory=Counter)
    voices: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    voice_seconds: Counter[str] = field(default_factory=Counter)
    voice_words: Counter[str] = field(default_factory=Counter)
    rates: Counter[int] = field(default_factory=Counter)

    def add(self, item: Item) -> None:
        dialogue = item.dialogue
        self.n += 1
        self.topics[dialogue.topic or "(none)"] += 1
        self.sources[f"{dialogue.source} ({dialogue.licence or 'licence unknown'})"] += 1
        self.n_turns[len(dialogue.turns)] += 1
        all_words: list[str] = []
        phrases: set[str] = set()
        for k, turn in enumerate(dialogue.turns):
            words = words_of(turn.said)
            all_words += words
            self.words[turn.role][len(words)] += 1
            self.openings[turn.role][" ".join(words[:OPENING_WORDS])] += 1
            self.chunk_words.update(len(c.split()) for c in turn.spoken)
            for n in range(PHRASE_WORDS[0], PHRASE_WORDS[1] + 1):
                phrases.update(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
            if turn.interrupted_at is not None:
                self.cut_at[min(19, 20 * len(words) // max(1, len(words_of(turn.text))))] += 1
                self.cut_turn[k + 1] += 1
                self.cut_phrases[dialogue.turns[k + 1].text] += 1
        if any(t.interrupts for t in dialogue.turns):
            self.interrupted_dialogues += 1
            about = dialogue.meta.get("interruption")
            about = about if isinstance(about, dict) else {}
            self.cut_kinds[str(about.get("kind") or about.get("writer") or "(not said)")] += 1
        self.phrases.update(phrases)
        if len(self.phrases) > _PRUNE_AT:
            self.phrases = Counter({p: n for p, n in self.phrases.items() if n > 1})
        self.near.add(dialogue.id, all_words)
        for speech in item.speech:
            self.voices[speech.role][speech.voice] += 1
            if speech.seconds > 0:
                self.voice_seconds[speech.voice] += speech.seconds  # type: ignore[assignment]
                self.voice_words[speech.voice] += speech.words
                self.rates[int(speech.words / speech.seconds * 5)] += 1

    def summary(self) -> dict[str, Any]:
        """Everything as JSON values; histograms are `{value: count}`.

        Raises:
            MostError: nothing was added.
        """
        if not self.n:
            raise MostError("dialogues", 0, "there is nothing to report on")
        groups = self.near.groups()
        alike = sum(len(g) - 1 for g in groups)
        rows: dict[str, Any] = {
            "n_dialogues": self.n,
            "n_turns": sum(k * v for k, v in self.n_turns.items()),
            "n_words": sum(k * v for counts in self.words.values() for k, v in counts.items()),
            "sources": _largest(self.sources),
            "topics": _largest(self.topics),
            "effective_topics": round(effective_number(self.topics), 2),
            "turn_counts": _ordered(self.n_turns),
            "words_of_a_turn": {role: _ordered(counts) for role, counts in sorted(self.words.items())},
            "words_of_a_chunk": _ordered(self.chunk_words),
            "interruptions": {
                "dialogues": self.interrupted_dialogues,
                "share": round(self.interrupted_dialogues / self.n, 4),
                "at_share_of_turn": {f"{k / 20:.2f}": n for k, n in sorted(self.cut_at.items())},
                "turn": _ordered(self.cut_turn),
                "kinds": _largest(self.cut_kinds),
                "phrases": _largest(self.cut_phrases, N_SHOWN),
                "different_phrases": len(self.cut_phrases),
            },
            "openings": {role: _largest(counts, N_SHOWN) for role, counts in sorted(self.openings.items())},
            "phrases": self._phrases(),
            "near_duplicates": {
                "threshold": self.near.threshold,
                "pairs": len(self.near.pairs),
                "superfluous": alike,
                "share": round(alike / self.n, 4),
                "groups": groups[:N_SHOWN],
                "examples": [[p.id, p.like, p.similarity] for p in self.near.pairs[:N_SHOWN]],
            },
        }
        if self.voice_seconds:
            rows["voices"] = {
                "turns": {role: _largest(counts) for role, counts in sorted(self.voices.items())},
                "seconds": {v: round(s, 2) for v, s in self.voice_seconds.most_common()},
                "effective": round(effective_number(self.voice_seconds), 2),
                "words_per_second": {
                    v: round(self.voice_words[v] / s, 3) for v, s in sorted(self.voice_seconds.items())
                },
                "turn_words_per_second": {f"{k / 5:.1f}": n for k, n in sorted(self.rates.items())},
            }
        return rows

    def _phrases(self) -> dict[str, int]:
        """The phrases that most dialogues share; one that seldom stands without a longer or shifted one is left out."""
        ranked = [(p, n) for p, n in self.phrases.most_common(20 * N_SHOWN) if n > 1]
        ranked.sort(key=lambda pair: (-pair[1], -len(pair[0].split()), pair[0]))
        kept: dict[str, int] = {}
        for phrase, n in ranked:
            if len(kept) == N_SHOWN:
                break
            longer = any(f" {phrase} " in f" {other} " and m >= 0.8 * n for other, m in ranked if other != phrase)
            if not longer and not any(_shifted(phrase, other) and n >= 0.8 * m for other, m in kept.items()):
                kept[phrase] = n
        return kept


def _shifted(one: str, other: str) -> bool:
    """Two windows of one sentence, a word apart."""
    a, b = one.split(), other.split()
    return a[1:] == b[:-1] or b[1:] == a[:-1]


def findings(rows: dict[str, Any]) -> list[str]:
    """What stands out, as sentences: rules of thumb whose limits are named, for a reader to judge."""
    n, out = rows["n_dialogues"], []
    topic, most = next(iter(rows["topics"].items()))
    if len(rows["topics"]) > 1 and most > 0.3 * n:
        out.append(f"{most / n:.0%} of the dialogues are about one topic, {topic!r} (over 30 %).")
    if topic == "(none)" and most > 0.3 * n:
        out.append("Most topics are unknown: balancing by topic cannot reach those dialogues.")
    cut = rows["interruptions"]
    if cut["dialogues"]:
        phrase, times = next(iter(cut["phrases"].items()))
        if times > max(2, 0.05 * cut["dialogues"]):
            share = times / cut["dialogues"]
            out.append(f"The interruption {phrase!r} comes back in {share:.1%} of those interrupted (over 5 %).")
        where = cut["at_share_of_turn"]
        point, often = max(where.items(), key=lambda pair: pair[1])
        if often > 0.5 * sum(where.values()) and cut["dialogues"] > 20:
            out.append(f"Over half of the interruptions come at the same point, {float(point):.0%} of the turn.")
    else:
        out.append("No dialogue holds an interruption.")
    for phrase, times in rows["phrases"].items():
        if len(phrase.split()) >= 4 and times > 0.1 * n and n > 20:  # shorter ones are plain English
            out.append(f"The phrase {phrase!r} stands in {times / n:.0%} of the dialogues (over 10 %).")
    if rows["near_duplicates"]["share"] > 0.01:
        out.append(f"{rows['near_duplicates']['share']:.1%} of the dialogues resemble another (over 1 %).")
    for role, voices in rows.get("voices", {}).get("turns", {}).items():
        voice, turns = next(iter(voices.items()))
        if turns > 0.5 * sum(voices.values()):
            out.append(f"{turns / sum(voices.values()):.0%} of the {role}'s turns have one voice, {voice} (over 50 %).")
    return out


def _largest(counts: Counter[str], n: int | None = None) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:n])


def _ordered(counts: Counter[int]) -> dict[str, int]:
    return {str(k): n for k, n in sorted(counts.items())}

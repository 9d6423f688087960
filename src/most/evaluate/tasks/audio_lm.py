"""Audio language modelling: of two stretches of speech, is the right one likelier? sWUGGY, sBLIMP, story cloze.

Accuracy as in the toolkit of ZeroSpeech 2021 (https://github.com/zerospeech/zerospeech2021): one point where the good
member is likelier and half a point for a tie, mean over the voices of a pair, then over pairs. Likelihoods are means
per unit as in TWIST (arXiv 2305.13009) and slamkit (https://github.com/slp-rl/slamkit, `mean_nll`); slamkit counts the
end token with the units, and scores repeated units once, where we score the units as the codec gives them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from most.errors import MostError, nearest
from most.evaluate.likelihood import Likelihood
from most.evaluate.score import Score, mean_interval
from most.evaluate.sets.base import SetInfo, SetSettings
from most.evaluate.sets.pairs import Form, Pair, Said, check_pairs, first_pairs, read_built
from most.evaluate.sets.story_cloze import read_story_cloze
from most.evaluate.sets.zerospeech import OUT_OF_VOCABULARY, read_zerospeech
from most.evaluate.subject import Capability, Subject
from most.evaluate.tasks.base import Row
from most.speech.audio import read_audio

SAMPLE_RATE = 16000

SETS: Mapping[str, Callable[[SetSettings], tuple[list[Pair], SetInfo]]] = {
    "zerospeech": read_zerospeech,
    "story_cloze": read_story_cloze,
    "built": read_built,
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is compared, and in which form.

    Args:
        limit: at most so many pairs, with all their voices, spread evenly over the set.
        form: `speech` compares units of the recordings, `text` what they say.
    """

    set: SetSettings
    limit: int | None = None
    form: Form = "speech"

    def __post_init__(self) -> None:
        if self.set.kind not in SETS:
            raise MostError("set.kind", self.set.kind, nearest(self.set.kind, SETS))
        if self.limit is not None and self.limit < 1:
            raise MostError("limit", self.limit, "must be at least 1, or left out for the whole set")


def make(settings: Settings, name: str) -> AudioLm:
    """Read and check the set.

    Raises:
        MostError: a set that is not there, is not whole or not of its layout.
    """
    pairs, info = SETS[settings.set.kind](settings.set)
    pairs = first_pairs(pairs, settings.limit)
    if settings.form == "text":  # all voices say the same
        pairs = list({p.pair: p for p in reversed(pairs)}.values())[::-1]
    check_pairs(pairs, settings.form)
    return AudioLm(name=name, items=pairs, form=settings.form, info=info)


@dataclass(frozen=True, kw_only=True)
class AudioLm:
    """Pairs in one form."""

    name: str
    items: Sequence[Pair]
    form: Form
    info: SetInfo

    family = "audio_lm"

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({"speak" if self.form == "speech" else "text"})

    @property
    def facts(self) -> Mapping[str, str]:
        unit = "unit" if self.form == "speech" else "text token"
        voices = len({p.voice for p in self.items})
        scored = {
            "speech": "units of the codec with their repeats; bos, audio_begin and a prompt before them as context, "
            "audio_end not scored",
            "text": "the text's tokens behind bos and a prompt, the end of the text not scored",
        }
        return {
            "form": self.form,
            "pairs": f"{len({p.pair for p in self.items})}, {len(self.items)} comparisons, {voices} voice(s)",
            "accuracy": f"share of pairs whose good member has the higher log-likelihood, mean per {unit}; ties half; "
            "mean over the voices of a pair, then over pairs",
            "accuracy_total": "the same by the sum, not normalised by length",
            "scored tokens": scored[self.form],
            "softmax": "over the whole vocabulary, as trained",
            "interval": "bootstrap over pairs",
        }

    def answer(self, subject: Subject, items: Sequence[Pair], folder: Path) -> list[Row]:
        both = self._speech(subject, items) if self.form == "speech" else self._text(subject, items)
        return [
            {
                "id": item.id, "pair": item.pair, "voice": item.voice, "group": item.group,
                "good_text": item.good.text, "good": good.total, "good_tokens": good.n_tokens,
                "bad_text": item.bad.text, "bad": bad.total, "bad_tokens": bad.n_tokens,
            }
            for item, good, bad in zip(items, both[::2], both[1::2], strict=True)
        ]  # fmt: skip

    @staticmethod
    def _speech(subject: Subject, items: Sequence[Pair]) -> list[Likelihood]:
        def units(said: Said) -> np.ndarray:
            assert said.audio is not None
            return subject.units_of(read_audio(said.audio, SAMPLE_RATE), SAMPLE_RATE)

        asked = []
        for item in items:
            context = units(item.prompt) if item.prompt else np.zeros(0, dtype=np.int64)
            asked += [(context, units(item.good)), (context, units(item.bad))]
        return subject.unit_likelihoods(asked)

    @staticmethod
    def _text(subject: Subject, items: Sequence[Pair]) -> list[Likelihood]:
        asked = []
        for item in items:
            context, gap = (item.prompt.text.rstrip(), " ") if item.prompt else ("", "")
            asked += [(context, gap + said.text.strip()) for said in (item.good, item.bad)]
        return subject.text_likelihoods(asked)

    def score(self, rows: Sequence[Row]) -> list[Score]:
        items = {item.id: item for item in self.items}
        placed = []  # a failed row may hold no more than its id
        for row in rows:
            item = items.get(row.get("id", ""))
            pair = row.get("pair") or (item.pair if item else row.get("id", ""))
            placed.append((pair, row.get("group") or (item.group if item else ""), row))
        groups = sorted({group for _, group, _ in placed if group})
        parts: list[tuple[str, list[tuple[str, Row]]]] = [("", [(p, r) for p, _, r in placed])]
        if OUT_OF_VOCABULARY in groups:
            known = [(p, r) for p, g, r in placed if g not in ("", OUT_OF_VOCABULARY)]
            parts += [("in vocabulary", known)] if known else []
        parts += [(group, [(p, r) for p, g, r in placed if g == group]) for group in groups if len(groups) > 1]
        whole = parts[0][1]
        by_mean = [_accuracy(f"accuracy/{part}" if part else "accuracy", chosen, _by_mean) for part, chosen in parts]
        return [by_mean[0], _accuracy("accuracy_total", whole, _by_total), *by_mean[1:]]

    def badness(self, row: Row) -> float:
        """By how much the bad member is likelier, in nats a token."""
        return float("inf") if "error" in row else row["bad"] / row["bad_tokens"] - row["good"] / row["good_tokens"]


def _points(good: float, bad: float) -> float:
    return 0.5 if good == bad else float(good > bad)


def _by_mean(row: Row) -> float:
    return _points(row["good"] / row["good_tokens"], row["bad"] / row["bad_tokens"])


def _by_total(row: Row) -> float:
    return _points(row["good"], row["bad"])


def _accuracy(metric: str, rows: Sequence[tuple[str, Row]], point: Callable[[Row], float]) -> Score:
    by_pair: dict[str, list[float]] = defaultdict(list)
    for pair, row in rows:
        by_pair[pair].append(0.0 if "error" in row else point(row))
    value, low, high = mean_interval([float(np.mean(points)) for points in by_pair.values()])
    failed = sum("error" in row for _, row in rows)
    return Score(metric=metric, value=value, low=low, high=high, n_items=len(rows), n_failed=failed)

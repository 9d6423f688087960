"""The text ability that a model keeps: perplexity of documents, and multiple choice by likelihood.

Perplexity a token depends on the tokenizer, bits a byte do not. Multiple choice is scored as `acc` and `acc_norm` of
lm-evaluation-harness (https://github.com/EleutherAI/lm-evaluation-harness): the likeliest choice by its sum, and by
its sum over its length, here in bytes where that harness counts characters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from most.errors import MostError, nearest
from most.evaluate.score import Score, mean_interval, ratio_interval
from most.evaluate.sets.base import SetInfo, SetSettings
from most.evaluate.sets.text import Choices, Document, read_choices, read_documents
from most.evaluate.subject import Capability, Subject
from most.evaluate.tasks.base import Row

KINDS = ("perplexity", "choices")
NATS_PER_BYTE = math.log(256)
"""What a failed document costs: a byte of it a token, drawn blindly."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`set.kind` says what is measured: `perplexity` or `choices`.

    Args:
        limit: at most so many documents or questions, the first ones.
    """

    set: SetSettings
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.set.kind not in KINDS:
            raise MostError("set.kind", self.set.kind, nearest(self.set.kind, KINDS))
        if self.limit is not None and self.limit < 1:
            raise MostError("limit", self.limit, "must be at least 1, or left out for the whole set")


def make(settings: Settings, name: str) -> Perplexity | MultipleChoice:
    """Read the set.

    Raises:
        MostError: a set that is not there or not of its layout.
    """
    if settings.set.kind == "perplexity":
        documents, info = read_documents(settings.set)
        return Perplexity(name=name, items=documents[: settings.limit], info=info)
    choices, info = read_choices(settings.set)
    return MultipleChoice(name=name, items=choices[: settings.limit], info=info)


@dataclass(frozen=True, kw_only=True)
class Perplexity:
    """Documents, each read from its beginning."""

    name: str
    items: Sequence[Document]
    info: SetInfo

    family = "text"
    needs: frozenset[Capability] = frozenset({"text"})

    @property
    def facts(self) -> Mapping[str, str]:
        return {
            "documents": f"{len(self.items)}, {sum(d.n_bytes for d in self.items)} bytes",
            "perplexity": "exp of the loss a token over all documents together; models with other tokenizers do not "
            "compare by it",
            "bits_per_byte": "the same loss in bits, over the UTF-8 bytes of the text",
            "scored tokens": "all of the text behind bos; the end of the text is not scored; what is longer than the "
            "model's context is read in stretches",
            "failed documents": "count as a token a byte at 8 bits a byte",
            "interval": "bootstrap over documents",
        }

    def answer(self, subject: Subject, items: Sequence[Document], folder: Path) -> list[Row]:
        found = subject.text_likelihoods([("", item.text) for item in items])
        return [
            {"id": item.id, "total": x.total, "n_tokens": x.n_tokens, "n_bytes": item.n_bytes}
            for item, x in zip(items, found, strict=True)
        ]

    def score(self, rows: Sequence[Row]) -> list[Score]:
        n_bytes = {item.id: item.n_bytes for item in self.items}
        losses, tokens, lengths = [], [], []
        for row in rows:
            length = row["n_bytes"] if "error" not in row else n_bytes[row["id"]]
            losses.append(length * NATS_PER_BYTE if "error" in row else -row["total"])
            tokens.append(length if "error" in row else row["n_tokens"])
            lengths.append(length)
        failed = sum("error" in row for row in rows)
        per_token = [math.exp(x) for x in ratio_interval(losses, tokens)]
        per_byte = [x / math.log(2) for x in ratio_interval(losses, lengths)]
        return [
            Score(
                metric=metric, value=value, low=low, high=high, n_items=len(rows), n_failed=failed, unit=unit,
                better="lower",
            )
            for metric, unit, (value, low, high) in (
                ("perplexity", "", per_token),
                ("bits_per_byte", "bits", per_byte),
            )
        ]  # fmt: skip

    def badness(self, row: Row) -> float:
        """Loss a byte."""
        return float("inf") if "error" in row else -row["total"] / row["n_bytes"]


@dataclass(frozen=True, kw_only=True)
class MultipleChoice:
    """Questions; the model says how likely each choice is."""

    name: str
    items: Sequence[Choices]
    info: SetInfo

    family = "text"
    needs: frozenset[Capability] = frozenset({"text"})

    @property
    def facts(self) -> Mapping[str, str]:
        chance = sum(1 / len(item.choices) for item in self.items) / len(self.items)
        return {
            "questions": f"{len(self.items)}; a blind guess is right in {100 * chance:.1f} %",
            "prompt": f"no examples before it; of the first question: {self.items[0].context!r}, then a space and a "
            "choice",
            "accuracy": "the choice with the highest log-likelihood; k tied ones share the point",
            "accuracy_norm": "the same by log-likelihood over the UTF-8 bytes of the choice",
            "interval": "bootstrap over questions",
        }

    def answer(self, subject: Subject, items: Sequence[Choices], folder: Path) -> list[Row]:
        found = iter(subject.text_likelihoods([(item.context, f" {c}") for item in items for c in item.choices]))
        return [
            {
                "id": item.id, "context": item.context, "choices": list(item.choices), "answer": item.answer,
                "totals": [next(found).total for _ in item.choices],
                "n_bytes": [len(c.encode()) for c in item.choices],
            }
            for item in items
        ]  # fmt: skip

    def score(self, rows: Sequence[Row]) -> list[Score]:
        failed = sum("error" in row for row in rows)
        scores = []
        for metric, normalized in (("accuracy", False), ("accuracy_norm", True)):
            value, low, high = mean_interval([0.0 if "error" in row else _point(row, normalized) for row in rows])
            scores.append(Score(metric=metric, value=value, low=low, high=high, n_items=len(rows), n_failed=failed))
        return scores

    def badness(self, row: Row) -> float:
        """By how much the best wrong choice is likelier, in nats a byte."""
        if "error" in row:
            return float("inf")
        rates = _rates(row, normalized=True)
        return max(x for k, x in enumerate(rates) if k != row["answer"]) - rates[row["answer"]]


def _rates(row: Row, normalized: bool) -> list[float]:
    return [t / n if normalized else t for t, n in zip(row["totals"], row["n_bytes"], strict=True)]


def _point(row: Row, normalized: bool) -> float:
    rates = _rates(row, normalized)
    best = [k for k, x in enumerate(rates) if x == max(rates)]
    return 1 / len(best) if row["answer"] in best else 0.0

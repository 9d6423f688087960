"""Scores of synthesised speech from the log of a `tts` task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from most.evaluate.score import Score, mean_interval, ratio_interval
from most.evaluate.tasks.base import Row
from most.evaluate.wer import ItemErrors, item_errors


def heard_wrong(
    rows: Sequence[Row], judge: str, texts: Mapping[str, str], normalizer: str, *, key: str = "heard"
) -> list[ItemErrors]:
    """What a judge heard against what should be said; speech that failed is heard as nothing.

    Args:
        texts: by item, for rows of failed items, which may hold nothing but their id.
        key: `heard`, or `heard_original` for rows that have it.
    """
    refs = [row["reference"] if "reference" in row else texts[row["id"]] for row in rows]
    hyps = ["" if "error" in row else row[key][judge] for row in rows]
    return item_errors(refs, hyps, normalizer=normalizer, ids=[str(row["id"]) for row in rows])


def speech_scores(rows: Sequence[Row], texts: Mapping[str, str], normalizer: str) -> list[Score]:
    """The main score is the first judge's word error rate."""
    made = [row for row in rows if "error" not in row]
    judges = list(dict.fromkeys(name for row in made for name in row["heard"])) or [""]
    n_failed = len(rows) - len(made)
    scores = []
    for judge in judges:
        found = heard_wrong(rows, judge, texts, normalizer)
        scores.append(_wer(f"wer ({judge})" if judge else "wer", found, n_failed))
        originals = [row for row in made if judge in row["heard_original"]]
        if originals:
            found = heard_wrong(originals, judge, texts, normalizer, key="heard_original")
            scores.append(_wer(f"wer/originals ({judge})", found, 0))

    n_silent = sum(not row["wav"] for row in made)
    cut = [float(row.get("truncated", False)) for row in rows]
    scores.append(_mean("truncated", cut, n_failed, n_silent, better="lower"))
    said = [row for row in made if row["wav"]]
    for metric, key, unit in (("seconds", "seconds", "s"), ("f0", "f0_hz", "Hz"), ("voiced", "voiced", "%")):
        for name, prefix in ((metric, ""), (f"{metric}/originals", "original_")):
            values = [row[prefix + key] for row in said if row.get(prefix + key) is not None]
            scores += [_mean(name, values, 0, 0, unit=unit)] if values else []
    if any("similarity" in row for row in made):
        alike = [row.get("similarity", 0.0) for row in rows]
        scores.append(_mean("similarity", alike, n_failed, n_silent, unit="", better="higher"))
    themselves = [row["original_similarity"] for row in made if "original_similarity" in row]
    scores += [_mean("similarity/originals", themselves, 0, 0, unit="", better="higher")] if themselves else []
    return scores


def _wer(metric: str, found: Sequence[ItemErrors], n_failed: int) -> Score:
    value, low, high = ratio_interval([e.errors for e in found], [e.words for e in found])
    return Score(
        metric=metric, value=value, low=low, high=high, n_items=len(found), n_failed=n_failed,
        n_empty=sum(e.empty for e in found) - n_failed, better="lower",
    )  # fmt: skip


def _mean(
    metric: str, values: Sequence[Any], n_failed: int, n_empty: int, *, unit: str = "%",
    better: Literal["lower", "higher"] | None = None,
) -> Score:  # fmt: skip
    value, low, high = mean_interval(values)
    return Score(
        metric=metric, value=value, low=low, high=high, n_items=len(values), n_failed=n_failed, n_empty=n_empty,
        unit=unit, better=better,
    )  # fmt: skip

"""Word error rate through jiwer: every item counts, an empty hypothesis is all deletions, an interval says how sure.

What never happens here: a failed item leaving the denominator, or a rate without the number of words it rests on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from most.errors import MostError, nearest
from most.evaluate.text import NORMALIZERS


@dataclass(frozen=True, kw_only=True)
class WordErrors:
    """Counts over a test set; `wer` is (S + D + I) / reference words, `low` to `high` its bootstrap 95 % interval."""

    substitutions: int
    deletions: int
    insertions: int
    reference_words: int
    n_items: int
    n_empty: int
    """Items whose hypothesis holds no word after normalisation; all their words count as deleted."""
    wer: float
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"{100 * self.wer:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f}; {self.n_items} items, "
            f"{self.reference_words} words, S {self.substitutions} D {self.deletions} I {self.insertions}, "
            f"{self.n_empty} empty)"
        )


def word_errors(
    refs: Sequence[str],
    hyps: Sequence[str | None],
    *,
    normalizer: str = "english",
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> WordErrors:
    """Score hypotheses against references, item by item; `None` is an empty hypothesis.

    Args:
        refs, hyps: texts as they come; both go through the normaliser.
        normalizer: `english` (Whisper's) or `digits` (the same, then a digit a word).
        n_bootstrap: resamplings of the items for the interval; their seed is fixed, so the interval is too.

    Raises:
        MostError: unequal or zero counts, a reference without words, an unknown normaliser, or jiwer missing.
    """
    try:
        import jiwer
    except ImportError as e:
        raise MostError("jiwer", "not installed", "install the extra: pip install 'most-speech[eval]'") from e
    if len(refs) != len(hyps) or not refs:
        raise MostError("hyps", f"{len(refs)} references, {len(hyps)} hypotheses", "give one hypothesis a reference")
    if normalizer not in NORMALIZERS:
        raise MostError("normalizer", normalizer, nearest(str(normalizer), NORMALIZERS))
    clean: Callable[[str], str] = NORMALIZERS[normalizer]
    ref_words, hyp_words = [clean(r) for r in refs], [clean(h or "") for h in hyps]
    for k, text in enumerate(ref_words):
        if not text:
            raise MostError("refs", f"item {k}: {refs[k]!r}", "holds no word after normalisation; leave the item out")

    rows = []
    for r, h in zip(ref_words, hyp_words, strict=True):
        got: Any = jiwer.process_words(r, h)
        rows.append((got.substitutions, got.deletions, got.insertions, len(r.split())))
    counts = np.array(rows)
    substitutions, deletions, insertions, words = (int(c) for c in counts.sum(axis=0))
    errors = counts[:, :3].sum(axis=1)
    draws = np.random.default_rng(seed).integers(len(rows), size=(n_bootstrap, len(rows)))
    rates = errors[draws].sum(axis=1) / counts[:, 3][draws].sum(axis=1)
    low, high = np.percentile(rates, [2.5, 97.5])
    return WordErrors(
        substitutions=substitutions, deletions=deletions, insertions=insertions, reference_words=words,
        n_items=len(rows), n_empty=sum(not h for h in hyp_words), wer=(substitutions + deletions + insertions) / words,
        low=float(low), high=float(high),
    )  # fmt: skip

"""Word and character error rates through jiwer: every item counts, an empty hypothesis is all deletions.

What never happens here: a failed item leaving the denominator, or a rate without the number of words it rests on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from most.errors import MostError, nearest
from most.evaluate.score import N_BOOTSTRAP, ratio_interval
from most.evaluate.text import NORMALIZERS


@dataclass(frozen=True, kw_only=True)
class ItemErrors:
    """What is wrong in one hypothesis, counted on normalised text; characters include the spaces between words."""

    substitutions: int
    deletions: int
    insertions: int
    words: int
    """Of the reference."""
    char_errors: int
    chars: int
    """Of the reference."""
    empty: bool
    """The hypothesis holds no word; all of the reference's count as deleted."""

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions


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


def normalizer_of(name: str) -> Callable[[str], str]:
    """The normaliser of that name.

    Raises:
        MostError: there is none.
    """
    if name not in NORMALIZERS:
        raise MostError("normalizer", name, nearest(str(name), NORMALIZERS))
    return NORMALIZERS[name]


def check_references(items: Sequence[tuple[str, str]], *, normalizer: str) -> None:
    """Of (id, text): whether every text holds a word to count.

    Raises:
        MostError: an unknown normaliser, or a text that holds none after it; names the item.
    """
    clean = normalizer_of(normalizer)
    for name, text in items:
        if not clean(text):
            raise MostError("refs", f"{name}: {text!r}", "holds no word after normalisation; leave the item out")


def item_errors(
    refs: Sequence[str], hyps: Sequence[str | None], *, normalizer: str = "english", ids: Sequence[str] | None = None
) -> list[ItemErrors]:
    """What is wrong in each hypothesis; `None` is an empty one.

    Args:
        refs, hyps: texts as they come; both go through the normaliser.
        normalizer: `english` (Whisper's) or `digits` (the same, then a digit a word).
        ids: what errors call the items.

    Raises:
        MostError: unequal or zero counts, a reference without words, an unknown normaliser, or jiwer missing.
    """
    try:
        import jiwer
    except ImportError as e:
        raise MostError("jiwer", "not installed", "install the extra: pip install 'most-speech[eval]'") from e
    if len(refs) != len(hyps) or not refs:
        raise MostError("hyps", f"{len(refs)} references, {len(hyps)} hypotheses", "give one hypothesis a reference")
    names = ids or [f"item {k}" for k in range(len(refs))]
    check_references(list(zip(names, refs, strict=True)), normalizer=normalizer)
    clean = normalizer_of(normalizer)
    out = []
    for ref, hyp in zip(refs, hyps, strict=True):
        said, got = clean(ref), clean(hyp or "")
        words: Any = jiwer.process_words(said, got)
        chars: Any = jiwer.process_characters(said, got)
        out.append(
            ItemErrors(
                substitutions=words.substitutions, deletions=words.deletions, insertions=words.insertions,
                words=len(said.split()), chars=len(said), empty=not got,
                char_errors=chars.substitutions + chars.deletions + chars.insertions,
            )
        )  # fmt: skip
    return out


def word_errors(
    refs: Sequence[str],
    hyps: Sequence[str | None],
    *,
    normalizer: str = "english",
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
) -> WordErrors:
    """Score hypotheses against references, as `item_errors` and over all of them.

    Args:
        n_bootstrap: resamplings of the items for the interval; their seed is fixed, so the interval is too.

    Raises:
        MostError: as `item_errors`.
    """
    items = item_errors(refs, hyps, normalizer=normalizer)
    wer, low, high = ratio_interval(
        [i.errors for i in items], [i.words for i in items], seed=seed, n_bootstrap=n_bootstrap
    )
    return WordErrors(
        substitutions=sum(i.substitutions for i in items), deletions=sum(i.deletions for i in items),
        insertions=sum(i.insertions for i in items), reference_words=sum(i.words for i in items), n_items=len(items),
        n_empty=sum(i.empty for i in items), wer=wer, low=low, high=high,
    )  # fmt: skip

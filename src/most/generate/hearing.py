"""Transcripts by attention and CTC together: a beam of hypotheses, each scored by both.

A model that was trained with a CTC term (`most.model.losses.ctc_loss`) says twice what it hears: at the positions of
the clip, where nothing is skipped or said twice, and behind the prompt, where it knows how words are written. A
hypothesis scores `(1 - w)` times its log-probability behind the prompt and `w` times that of its prefix at the clip's
positions (hybrid CTC/attention decoding, arXiv 1706.02737, section 3.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from most.errors import MostError


@dataclass(frozen=True, kw_only=True)
class Hearing:
    """How a transcript is searched for.

    Args:
        beams: hypotheses that are gone on with at each step.
        ctc_weight: of the clip's positions against what is behind the prompt; 0 leaves them out.
    """

    beams: int = 4
    ctc_weight: float = 0.4

    def __post_init__(self) -> None:
        if self.beams < 1:
            raise MostError("beams", self.beams, "must be at least 1")
        if not 0 <= self.ctc_weight < 1:
            raise MostError("ctc_weight", self.ctc_weight, "must lie in [0, 1)")


@dataclass(frozen=True)
class _Prefix:
    """Log-probabilities (T + 1,) of all paths through the first t positions that spell a prefix: those that end in its
    last token, and those that end in a blank."""

    token: np.ndarray
    blank: np.ndarray
    last: int = -1

    @property
    def either(self) -> np.ndarray:
        return np.logaddexp(self.token, self.blank)


class CtcPrefixes:
    """Probabilities of prefixes under a clip's CTC (arXiv 1609.06773, eq. 12 ff.).

    Args:
        scores: (T, V + 1) log-probabilities, the blank last.
    """

    def __init__(self, scores: np.ndarray) -> None:
        self._scores = scores.astype(np.float64)
        self._probabilities = np.exp(self._scores[:, :-1])

    def empty(self) -> _Prefix:
        blank = np.concatenate([[0.0], np.cumsum(self._scores[:, -1])])
        return _Prefix(np.full_like(blank, -math.inf), blank)

    def next(self, prefix: _Prefix) -> np.ndarray:
        """(V,) log-probability of what begins with the prefix and each token behind it."""
        before = prefix.either[:-1]
        highest = before.max()
        if highest == -math.inf:  # no position is left for more
            return np.full(self._probabilities.shape[1], -math.inf)
        with np.errstate(divide="ignore"):
            out = highest + np.log(np.exp(before - highest) @ self._probabilities)
        if prefix.last >= 0:  # the same token again needs a blank between
            out[prefix.last] = np.logaddexp.reduce(prefix.blank[:-1] + self._scores[:, prefix.last])
        return out

    def whole(self, prefix: _Prefix) -> float:
        """Log-probability of the prefix and nothing behind it."""
        return float(prefix.either[-1])

    def extended(self, prefix: _Prefix, token: int) -> _Prefix:
        """The prefix with a token more."""
        reached = (prefix.blank if token == prefix.last else prefix.either).tolist()
        spoken, silent = self._scores[:, token].tolist(), self._scores[:, -1].tolist()
        ends, blanks = [-math.inf], [-math.inf]
        for t in range(len(spoken)):
            ends.append(_log_add(ends[t], reached[t]) + spoken[t])
            blanks.append(_log_add(blanks[t], ends[t]) + silent[t])
        return _Prefix(np.array(ends), np.array(blanks), token)


def _log_add(a: float, b: float) -> float:
    high, low = (a, b) if a > b else (b, a)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


@dataclass(frozen=True)
class _Hypothesis:
    tokens: tuple[int, ...]
    likelihood: float
    """Behind the prompt."""
    prefix: _Prefix | None
    score: float


class Search:
    """The hypotheses of one transcript.

    Args:
        ctc: of the clip; not read where `hearing.ctc_weight` is 0.
        eos: the token that ends a transcript.
        max_new_tokens: of a transcript, its end among them.
    """

    def __init__(self, hearing: Hearing, ctc: CtcPrefixes | None, eos: int, max_new_tokens: int) -> None:
        self.hearing, self.eos, self.max_new_tokens = hearing, eos, max_new_tokens
        self._ctc = ctc if hearing.ctc_weight else None
        self._running = [_Hypothesis((), 0.0, None if self._ctc is None else self._ctc.empty(), 0.0)]
        self._ended: _Hypothesis | None = None
        self._n_given = 0
        self.over = False

    def advance(self, likelihoods: np.ndarray) -> tuple[list[int], list[int]]:
        """One step.

        Args:
            likelihoods: (H, V) log-probabilities of the next token behind each hypothesis, in the order of the last
                step's answer.

        Returns:
            Of each hypothesis that goes on, which one it grew from, and its new token; none when the search is over.
        """
        found: list[tuple[float, int, int, float]] = []
        for h, (hypothesis, own) in enumerate(zip(self._running, likelihoods, strict=True)):
            scores, weight = hypothesis.likelihood + own, self.hearing.ctc_weight
            if self._ctc is not None and hypothesis.prefix is not None:
                heard = self._ctc.next(hypothesis.prefix)
                heard[self.eos] = self._ctc.whole(hypothesis.prefix)
                scores = (1 - weight) * scores + weight * heard
            best = np.argsort(-scores, kind="stable")[: self.hearing.beams + 1]  # one of them may be the end
            found += [(float(scores[c]), h, int(c), hypothesis.likelihood + float(own[c])) for c in best]
        found.sort(key=lambda f: (-f[0], f[1], f[2]))
        parents: list[int] = []
        grown: list[_Hypothesis] = []
        for rank, (score, h, token, likelihood) in enumerate(found):
            parent = self._running[h]
            if token == self.eos:
                if rank < self.hearing.beams and (self._ended is None or score > self._ended.score):
                    self._ended = _Hypothesis(parent.tokens, likelihood, None, score)
            elif len(grown) < self.hearing.beams and score > -math.inf:
                prefix = None if self._ctc is None else self._ctc.extended(parent.prefix, token)  # type: ignore[arg-type]
                grown.append(_Hypothesis((*parent.tokens, token), likelihood, prefix, score))
                parents.append(h)
        # No score rises when a hypothesis grows.
        won = self._ended is not None and (not grown or self._ended.score >= grown[0].score)
        self.over = won or not grown or len(grown[0].tokens) >= self.max_new_tokens
        self._running = grown
        return ([], []) if self.over else (parents, [g.tokens[-1] for g in grown])

    def given(self) -> list[int]:
        """Tokens that have become certain since the last call; when the search is over, all that are left."""
        if self.over:
            best = self.best
        else:
            rivals = [h.tokens for h in (*self._running, *([self._ended] if self._ended else []))]
            best = rivals[0][: _n_shared(rivals)]
        new, self._n_given = best[self._n_given :], max(self._n_given, len(best))
        return list(new)

    @property
    def stopped(self) -> bool:
        """Whether the best hypothesis ended by itself."""
        return self._ended is not None and not (self._running and self._running[0].score > self._ended.score)

    @property
    def best(self) -> tuple[int, ...]:
        """The transcript: with its end where it has one."""
        if self.stopped and self._ended is not None:
            return (*self._ended.tokens, self.eos)
        return self._running[0].tokens if self._running else (self.eos,)


def _n_shared(rows: Sequence[tuple[int, ...]]) -> int:
    """How many tokens all begin with."""
    n = 0
    while all(len(r) > n for r in rows) and len({r[n] for r in rows}) == 1:
        n += 1
    return n

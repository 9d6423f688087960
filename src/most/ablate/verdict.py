"""What a grid says about each claim: reproduced, not reproduced, or undecided at this size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from most.ablate.compare import LEVEL, Cells, Difference, difference, holm, value_of
from most.ablate.recipe import AblateRecipe, Claim, OpenQuestion

Word = Literal["reproduced", "not reproduced", "undecided"]
Measured = Mapping[str, Mapping[str, Cells]]
"""measure -> variant -> its cells."""

RULE = (
    f"A difference counts where its 95 % interval leaves out zero, its p-value is below {LEVEL:g} after Holm's "
    "adjustment over all tests of the page, and every seed agrees. A claim is reproduced where one of its measures "
    "counts for it and none against it, not reproduced where one counts against it and none for it; else undecided."
)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One measure of one comparison. `counts` is -1 where the first variant is better, 1 where worse, 0 undecided."""

    first: str
    second: str
    measure: str
    result: Difference
    p_adjusted: float = 1.0

    @property
    def counts(self) -> int:
        r = self.result
        if not (r.low > 0 or r.high < 0) or self.p_adjusted >= LEVEL or r.agree < len(r.by_seed):
            return 0
        return -1 if r.difference < 0 else 1


@dataclass(frozen=True, kw_only=True)
class Judged:
    claim: Claim
    tests: tuple[Comparison, ...]

    @property
    def verdict(self) -> Word:
        found = {t.counts for t in self.tests}
        if -1 in found and 1 not in found:
            return "reproduced"
        return "not reproduced" if 1 in found and -1 not in found else "undecided"

    @property
    def why(self) -> str:
        """Which measures speak for and against the claim."""
        parts = []
        for word, sign in (("better", -1), ("worse", 1), ("undecided", 0)):
            names = [t.measure for t in self.tests if t.counts == sign]
            if names:
                parts.append(f"{word} on {', '.join(names)}")
        return "; ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The open question: every variant against the first, and the one that is best over all measures."""

    question: OpenQuestion
    tests: tuple[Comparison, ...]
    gain: Mapping[str, float]
    """Mean over the measures of how much lower a variant's value is than the first's, as a share of that."""

    @property
    def better(self) -> list[str]:
        """Variants that are better than the first on a measure, worse on none, and better in the mean gain."""
        names = self.question.among[1:]
        signs = {n: {t.counts for t in self.tests if t.first == n} for n in names}
        return [n for n in names if -1 in signs[n] and 1 not in signs[n] and self.gain[n] > 0]

    @property
    def text(self) -> str:
        first = self.question.among[0]
        if not self.better:
            others = ", ".join(self.question.among[1:])
            return (
                f"None of {others} is shown to be better than {first}: on a measure, on none worse, and on the whole."
            )
        best = max(self.better, key=lambda n: self.gain[n])
        shown = ", ".join(f"{n} ({100 * self.gain[n]:+.1f} %)" for n in self.better)
        return f"Better than {first}: {shown}, by the mean relative gain over the measures. Best: {best}."


def judge(recipe: AblateRecipe, measured: Measured) -> tuple[list[Judged], Answered | None]:
    """Test every claim and the open question; p-values are adjusted over all of these tests."""
    pairs = [(c.better, c.worse, c.measures) for c in recipe.claims]
    question = recipe.open_question
    pairs += [(name, question.among[0], question.measures) for name in question.among[1:]] if question else []
    tests = [
        Comparison(first=a, second=b, measure=m, result=difference(measured[m][a], measured[m][b]))
        for a, b, measures in pairs
        for m in measures
    ]
    adjusted = holm([t.result.p for t in tests])
    tests = [
        Comparison(first=t.first, second=t.second, measure=t.measure, result=t.result, p_adjusted=p)
        for t, p in zip(tests, adjusted, strict=True)
    ]
    judged, at = [], 0
    for claim in recipe.claims:
        judged.append(Judged(claim=claim, tests=tuple(tests[at : at + len(claim.measures)])))
        at += len(claim.measures)
    if question is None:
        return judged, None
    rest = tests[at:]
    return judged, Answered(question=question, tests=tuple(rest), gain=_gains(question, rest, measured))


def _gains(question: OpenQuestion, tests: Sequence[Comparison], measured: Measured) -> dict[str, float]:
    base = {m: value_of(measured[m][question.among[0]]).value for m in question.measures}
    gains: dict[str, list[float]] = {}
    for t in tests:
        gains.setdefault(t.first, []).append(-t.result.difference / max(base[t.measure], 1e-12))
    return {name: sum(g) / len(g) for name, g in gains.items()}

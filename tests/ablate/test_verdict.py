"""Verdicts follow the rule that the page states."""

from dataclasses import replace

import pytest

from most.ablate.compare import Difference
from most.ablate.recipe import Claim, OpenQuestion
from most.ablate.verdict import Answered, Comparison, Judged


def _test(measure: str, value: float, *, width: float = 0.01, p: float = 0.001, agree: int = 3) -> Comparison:
    result = Difference(difference=value, low=value - width, high=value + width, by_seed=(value,) * 3, agree=agree, p=p)
    return Comparison(first="a", second="b", measure=measure, result=result, p_adjusted=p)


@pytest.mark.parametrize(
    ("tests", "verdict"),
    [
        ([_test("x", -0.1), _test("y", 0.0)], "reproduced"),
        ([_test("x", 0.1), _test("y", 0.0)], "not reproduced"),
        ([_test("x", -0.1), _test("y", 0.1)], "undecided"),
        ([_test("x", -0.1, width=0.2)], "undecided"),
        ([_test("x", -0.1, p=0.06)], "undecided"),
        ([_test("x", -0.1, agree=2)], "undecided"),
    ],
)
def test_verdicts(tests, verdict):
    claim = Claim(says="", source="", better="a", worse="b", measures=tuple(t.measure for t in tests))
    assert Judged(claim=claim, tests=tuple(tests)).verdict == verdict


def test_the_reason_names_every_measure():
    claim = Claim(says="", source="", better="a", worse="b", measures=("x", "y", "z"))
    judged = Judged(claim=claim, tests=(_test("x", -0.1), _test("y", 0.1), _test("z", 0.0)))
    assert judged.why == "better on x; worse on y; undecided on z"


@pytest.mark.parametrize(
    ("tests", "gains", "better"),
    [
        ([("b", -0.1), ("c", 0.0)], {"b": 0.2, "c": 0.3}, ["b"]),
        ([("b", -0.1), ("c", 0.0)], {"b": -0.2, "c": 0.3}, []),
        ([("b", -0.1), ("b", 0.1)], {"b": 0.2}, []),
    ],
)
def test_the_best_is_better_somewhere_and_worse_nowhere(tests, gains, better):
    question = OpenQuestion(asks="Which?", among=("a", *gains), measures=("x",))
    found = tuple(replace(_test("x", value), first=name, second="a") for name, value in tests)
    answered = Answered(question=question, tests=found, gain=gains)
    assert answered.better == better
    assert ("None of" in answered.text) == (not better)

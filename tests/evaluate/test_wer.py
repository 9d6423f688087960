"""Word errors equal jiwer's and a count by hand; nothing leaves the denominator."""

import jiwer
import pytest

from most.errors import MostError
from most.evaluate.wer import word_errors

REFS = ["the cat sat", "a dog ran away", "hello world", "birds fly"]
HYPS = ["the cat sat", "a fog ran far away", "", None]


def test_counts_by_hand():
    got = word_errors(REFS, HYPS)
    assert (got.substitutions, got.deletions, got.insertions) == (1, 4, 1)
    assert got.reference_words == 11
    assert got.n_empty == 2
    assert got.n_items == 4
    assert got.wer == pytest.approx(6 / 11)


def test_equals_jiwer_over_the_whole_set():
    refs = ["three one four", "one five nine two", "six five three"]
    hyps = ["three four", "one five five nine two", "eight five three"]
    got = word_errors(refs, hyps, normalizer="digits")
    assert got.wer == pytest.approx(jiwer.wer(refs, hyps))
    assert got.reference_words == 10


def test_both_sides_are_normalised():
    assert word_errors(["The colour, Mr. Grey?"], ["the color mister gray"]).wer == 0
    assert word_errors(["three one four"], ["3 1 4"], normalizer="digits").wer == 0


def test_a_digit_wrong_is_one_word_in_three_not_one_in_one():
    assert word_errors(["three one four"], ["three one five"], normalizer="digits").wer == pytest.approx(1 / 3)


def test_more_words_than_said_can_exceed_one():
    got = word_errors(["yes"], ["no no no"])
    assert got.wer == 3.0


def test_the_interval_holds_the_rate_and_is_the_same_each_time():
    refs = ["alpha beta gamma delta"] * 40
    hyps = ["alpha beta gamma delta"] * 30 + ["alpha"] * 10
    got = word_errors(refs, hyps)
    assert got == word_errors(refs, hyps)
    assert got.low < got.wer < got.high
    # standard error of the mean of 40 items of which a quarter err by 0.75: about 0.051
    assert got.high - got.low == pytest.approx(4 * 0.051, rel=0.2)
    sure = word_errors(refs, refs)
    assert (sure.low, sure.wer, sure.high) == (0, 0, 0)


@pytest.mark.parametrize(
    ("refs", "hyps", "kwargs", "field"),
    [
        (["a b"], [], {}, "hyps"),
        ([], [], {}, "hyps"),
        (["..."], ["x"], {}, "refs"),
        (["x"], ["x"], {"normalizer": "englsh"}, "normalizer"),
    ],
)
def test_mistakes_are_named(refs, hyps, kwargs, field):
    with pytest.raises(MostError) as e:
        word_errors(refs, hyps, **kwargs)
    assert e.value.field == field

"""Word errors equal jiwer's and a count by hand; nothing leaves the denominator."""

import jiwer
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from most.errors import MostError
from most.evaluate.text import NORMALIZERS
from most.evaluate.wer import check_references, item_errors, word_errors

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


SOME = "the colour two three red Mr. it's uh, five-hundred cats ran ... 3.14 away!"
WORDS = st.lists(st.sampled_from(SOME.split()), max_size=7).map(" ".join)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6), st.sampled_from(sorted(NORMALIZERS)))
def test_both_rates_equal_jiwer_s_on_any_texts(pairs, normalizer):
    clean = NORMALIZERS[normalizer]
    refs, hyps = [r for r, _ in pairs], [h for _, h in pairs]
    assume(all(clean(r) for r in refs))
    got = item_errors(refs, hyps, normalizer=normalizer)
    said, heard = [clean(r) for r in refs], [clean(h) for h in hyps]
    assert sum(g.errors for g in got) / sum(g.words for g in got) == pytest.approx(jiwer.wer(said, heard))
    assert sum(g.char_errors for g in got) / sum(g.chars for g in got) == pytest.approx(jiwer.cer(said, heard))
    assert word_errors(refs, hyps, normalizer=normalizer).wer == pytest.approx(jiwer.wer(said, heard))


def _distance(a, b):
    """Levenshtein's, by the recurrence."""
    d = np.arange(len(b) + 1)
    for i, x in enumerate(a, 1):
        last, d[0] = d[0], i
        for j, y in enumerate(b, 1):
            last, d[j] = d[j], min(d[j] + 1, d[j - 1] + 1, last + (x != y))
    return d[-1]


@given(WORDS, WORDS)
def test_errors_are_the_least_number_of_edits(ref, hyp):
    clean = NORMALIZERS["english"]
    assume(clean(ref))
    (got,) = item_errors([ref], [hyp])
    assert got.errors == _distance(clean(ref).split(), clean(hyp).split())
    assert got.char_errors == _distance(clean(ref), clean(hyp))


def test_characters_by_hand():
    got = item_errors(["the cat", "oh no"], ["the hat", None], ids=["a", "b"])
    assert (got[0].char_errors, got[0].chars, got[0].empty) == (1, 7, False)
    assert (got[1].char_errors, got[1].chars, got[1].empty) == (4, 4, True)  # "0 no"


def test_the_item_without_words_is_named():
    with pytest.raises(MostError, match="item/7"):
        check_references([("item/6", "words"), ("item/7", "[noise] uh")], normalizer="english")
    with pytest.raises(MostError, match="item/7"):
        item_errors(["uh"], ["x"], ids=["item/7"])


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

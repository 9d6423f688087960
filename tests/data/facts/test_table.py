"""The table: right where that can be computed, grammatical in every filling, wordings apart."""

from __future__ import annotations

import calendar
import re
from functools import cache

import pytest

from most.data.facts.english import fill, plural, with_article
from most.data.facts.numbers import DIGITS, number_words
from most.data.facts.table import chosen, relations
from most.data.read_aloud.sentences import normal
from most.errors import MostError
from most.evaluate.answers import contained

FACTS = [(r, f) for r in relations().values() for f in r.facts]


def fillings(relation, fact, wordings):
    """The wordings filled, in both orders where both are used."""
    return [fact.fill(w, swap=swap) for w in wordings for swap in ([False, True] if fact.either_order else [False])]


@cache
def every_text():
    """All that is ever asked and answered about single facts."""
    out = set()
    for relation, fact in FACTS:
        wordings = (*relation.questions, *relation.held_out, *relation.answers, relation.follow_up)
        out.update(fillings(relation, fact, [w for w in wordings if w]))
    return sorted(out)


def number(words):
    return {number_words(n): n for n in range(1001)}[words]


def test_number_words_are_those_of_num2words():
    num2words = pytest.importorskip("num2words").num2words
    for n in range(1001):
        assert number_words(n) == num2words(n).replace(" and ", " ")


@pytest.mark.parametrize(
    ("relation", "of"),
    [
        ("sums", lambda a, b: a + b), ("differences", lambda a, b: a - b), ("doubles", lambda a: 2 * a),
        ("halves", lambda a: a / 2), ("numbers after", lambda a: a + 1), ("numbers before", lambda a: a - 1),
    ],
)  # fmt: skip
def test_arithmetic_is_right_and_whole(relation, of):
    rows = {}
    for fact in relations()[relation].facts:
        given = [number(v) for k, v in fact.slots.items() if k != "kind"]
        assert fact.answers[1] == str(int(of(*given)))
        assert number(fact.answers[0]) == of(*given)
        rows[tuple(given)] = fact
    if relation == "sums":
        assert rows.keys() == {(a, b) for a in range(1, 20) for b in range(a, 20) if a + b <= 20}
    if relation == "differences":
        assert rows.keys() == {(a, b) for a in range(1, 21) for b in range(1, a)}


def test_the_calendar_is_that_of_python():
    days, months = list(calendar.day_name), list(calendar.month_name)[1:]
    for cycle, kind in ((days, "days"), (months, "months")):
        after = {f.subject: f.answers[0] for f in relations()[f"{kind} after"].facts}
        before = {f.subject: f.answers[0] for f in relations()[f"{kind} before"].facts}
        assert after == {one: cycle[(k + 1) % len(cycle)] for k, one in enumerate(cycle)}
        assert before == {one: cycle[k - 1] for k, one in enumerate(cycle)}
    assert [f.answers[0] for f in relations()["months by number"].facts] == months
    for fact in relations()["days of months"].facts:
        assert number(fact.answers[0]) == calendar.monthrange(2023, months.index(fact.subject) + 1)[1]
    for fact in relations()["months in order"].facts:
        assert fact.answers[0] == min(fact.slots.values(), key=months.index)


def test_opposites_are_mutual():
    """Where both words are asked for, each is an answer to the other."""
    answers = {f.subject: f.answers for f in relations()["opposites"].facts}
    for word, others in answers.items():
        assert others[0] not in answers or word in answers[others[0]]


def test_the_table_is_whole():
    ids = [f.id for _, f in FACTS]
    assert len(set(ids)) == len(ids) > 500
    for relation in relations().values():
        assert 8 <= len(relation.questions) + len(relation.held_out) <= 32
        assert len(relation.held_out) >= 3 or relation.name == "months in order"
        assert 2 <= len(relation.answers) <= 3


def test_no_held_out_wording_is_in_training_and_none_the_other_way():
    for relation, fact in FACTS:
        train, test = (
            [f" {normal(t)} " for t in fillings(relation, fact, w)] for w in (relation.questions, relation.held_out)
        )
        assert not [(a, b) for a in train for b in test if a in b or b in a]


def test_one_question_has_one_answer():
    seen: dict[str, str] = {}
    for relation, fact in FACTS:
        for text in fillings(relation, fact, (*relation.questions, *relation.held_out)):
            assert seen.setdefault(normal(text), fact.answers[0]) == fact.answers[0], text


def test_every_answer_is_found_in_its_sentences():
    for relation, fact in FACTS:
        for answer in fact.answers:
            assert contained(answer, [answer])
        for text in fillings(relation, fact, relation.answers):
            assert contained(text, fact.answers), text


def test_every_filling_is_a_sentence():
    for text in every_text():
        assert re.fullmatch(r"[A-Z][^{}\d_/]*[.?]", text), text
        assert "  " not in text
        assert not re.search(r"[.?!] [a-z]", text), text
        assert not re.search(r"\b(\w+) \1\b", text), text


def test_articles_fit_the_sound_of_the_next_word(first_phones):
    vowels = {"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"}
    found = {m.groups() for text in every_text() for m in re.finditer(r"\b(an?) ([a-z]+)", text.lower())}
    assert len(found) > 100
    assert {word for _, word in found} - first_phones.keys() == {"gosling", "cygnet", "owlet", "eaglet"}
    for article, word in found:
        begins = {phone.rstrip("012") in vowels for phone in first_phones.get(word, ())}
        assert not begins or (article == "an") in begins, f"{article} {word}"


def test_plurals_are_words(first_phones):
    for relation, fact in FACTS:
        if any("{many animal}" in w for w in (*relation.questions, *relation.held_out, *relation.answers)):
            assert plural(fact.slots["animal"]).split()[-1] in first_phones
    assert [plural(w) for w in ("wolf", "butterfly", "fox", "mosquito", "polar bear", "mouse", "monkey")] == [
        "wolves", "butterflies", "foxes", "mosquitoes", "polar bears", "mice", "monkeys",
    ]  # fmt: skip


def test_the_text_is_in_its_spoken_form():
    pytest.importorskip("num2words")
    from most.data.dialogue.spoken import to_spoken

    for k, (relation, fact) in enumerate(FACTS):
        wordings = [*relation.questions, *relation.held_out]
        text = f"{fact.fill(wordings[k % len(wordings)])} {fact.fill(relation.answers[k % len(relation.answers)])}"
        assert to_spoken(text) == text


def test_numbers_are_right_in_digits_too():
    days = next(f for f in relations()["units"].facts if f.subject == "days / a normal year")
    assert days.answers == ("three hundred sixty-five", "three hundred and sixty-five", "365")
    assert DIGITS["one thousand"] == "1000"


def test_templates():
    assert fill("{a animal} and {many animal}. so {animal}?", {"animal": "owl"}) == "An owl and owls. So owl?"
    assert with_article("unknown thing") == "an unknown thing"
    with pytest.raises(KeyError):
        fill("{some animal}", {"animal": "owl"})


def test_an_unknown_relation_is_named():
    with pytest.raises(MostError, match="capitals"):
        chosen(["capital"])

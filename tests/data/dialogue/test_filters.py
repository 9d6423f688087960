"""Which dialogues can be spoken: each reason has its case, and plain talk about the same things has none."""

import pytest

from most.data.dialogue.filters import SpeechLimits, foreign_share, reasons_against
from most.errors import MostError

TABLE = "| a | b |\n|---|---|\n| 1 | 2 |"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("```python\nx\n```", "code"),
        ("Use this:\nimport numpy\nand go on", "code"),
        ("def f(x): return x", "code"),
        ("    x = f(y);", "code"),
        ("SELECT name FROM users", "code"),
        (TABLE, "table"),
        ("See https://example.com for it.", "web address"),
        ("It is \\frac{1}{2} of it.", "formula"),
        ("$$x^2$$", "formula"),
        ("word " * 161, "turn too long"),
        ("\n".join(f"- item {k}" for k in range(7)), "long list"),
        ("Das heißt «привет».", "letters that are not Latin"),
        ("?!", "nothing to say"),
    ],
)
def test_reasons(make, answer, reason):
    assert reasons_against(make("d", "Ask.", answer), SpeechLimits()) == [reason]


@pytest.mark.parametrize(
    "answer",
    [
        "They import cars from Japan, and export rice.",
        "Please select one from the menu.",
        "First, eggs.\n- Then milk.\n- Then flour.",
        "Zürich, café, naïve and 1½ ª.",
        "I paid $5 for it, or was it 20%?",
        "word " * 160,
    ],
)
def test_plain_talk_is_kept(make, answer):
    assert reasons_against(make("d", "Ask.", answer), SpeechLimits()) == []


def test_turns_are_counted(make):
    texts = ["Hello."] * 26
    assert reasons_against(make("d", *texts), SpeechLimits()) == ["too many turns"]
    assert reasons_against(make("d", *texts), SpeechLimits(max_turns=26)) == []
    assert reasons_against(make("d", "Hello."), SpeechLimits()) == ["no answer"]


def test_limits_can_be_lifted(make):
    answer = f"```x```\n{TABLE}\nhttps://a.com $$x$$ привет"
    found = reasons_against(make("d", "Ask.", answer), SpeechLimits())
    assert found == ["code", "formula", "letters that are not Latin", "table", "web address"]
    free = SpeechLimits(allow_code=True, allow_tables=True, allow_urls=True, allow_formulas=True, max_foreign=1.0)
    assert reasons_against(make("d", "Ask.", answer), free) == []


def test_foreign_share():
    assert foreign_share("ab вг") == 0.5
    assert foreign_share("1, 2") == 0


@pytest.mark.parametrize("bad", [{"max_turns": 1}, {"max_words": 0}, {"max_list_items": -1}, {"max_foreign": 2}])
def test_bad_limits(bad):
    with pytest.raises(MostError, match=f"limits.{next(iter(bad))}"):
        SpeechLimits(**bad)

"""Whether a response answers a question, by three rules of growing leniency; none of them asks a model.

`exact` is the exact match of TriviaQA's evaluation script (its normalisation extends SQuAD's). `contained` is what
papers on spoken models call accuracy (arXiv 2305.15255, 2410.00037, 2412.02612): the answer occurs in the response,
here as whole words, where common scripts take a substring and find "ten" in "often". `alias` admits every alias, and
numbers and abbreviations however they are written.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache

from most.evaluate.text import normalize

MATCHES: Mapping[str, str] = {
    "contained": "an answer occurs in the response as whole words (case, punctuation and a, an, the apart)",
    "exact": "the response is one of the answers or their aliases, by the normalisation of TriviaQA's script",
    "alias": "as contained, any alias counts, and twenty one = 21, U.S. = US, Beyoncé = Beyonce, colour = color",
}
"""Each rule and what it does, the main one first."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_GROUPS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_POINTS = re.compile(r"(?<=\d)\.(?=\d)")
_POINT = "\ue000"  # private use: stands for a decimal point while punctuation goes
_DOTTED = re.compile(r"\b(?:[^\W\d_]\.){2,}")
_SPELLED = re.compile(r"\b[a-z](?: [a-z]\b)+")


def normalize_answer(text: str) -> str:
    """Lower case; punctuation and underscores are spaces; no articles; single spaces.

    As https://github.com/mandarjoshi90/triviaqa (evaluation/triviaqa_evaluation.py), with three differences: all of
    Unicode's punctuation goes, not only ASCII's; a number stays one word (1,000 is 1000 and holds no 1, 3.5 no 5); an
    answer that is nothing but an article ("A") keeps it.
    """
    text = _GROUPS.sub("", unicodedata.normalize("NFC", text).lower())
    text = _POINTS.sub(_POINT, text)
    words = "".join(" " if _is_mark(c) else c for c in text)
    return (" ".join(_ARTICLES.sub(" ", words).split()) or " ".join(words.split())).replace(_POINT, ".")


def _is_mark(char: str) -> bool:
    return char in string.punctuation or char == "´" or unicodedata.category(char).startswith("P")


@lru_cache(maxsize=1 << 16)
def fold_answer(text: str) -> str:
    """What `alias` compares: Whisper's normaliser (numerals, American spelling, no accents), then `normalize_answer`.

    Dotted and spelled letters become one word: "U.S.", "U S" and "US" are all `us`.
    """
    text = _DOTTED.sub(lambda m: m.group().replace(".", "") + " ", text)
    return _SPELLED.sub(lambda m: m.group().replace(" ", ""), normalize_answer(normalize(text)))


def exact(response: str, answers: Sequence[str]) -> bool:
    """The response is one of the answers. An empty response or answer matches nothing."""
    said = normalize_answer(response)
    return bool(said) and said in {normalize_answer(a) for a in answers}


def contained(response: str, answers: Sequence[str]) -> bool:
    """One of the answers occurs in the response as whole words, in its order. An empty answer occurs nowhere."""
    return _occurs(normalize_answer(response), [normalize_answer(a) for a in answers])


def alias(response: str, answers: Sequence[str]) -> bool:
    """One of the answers is contained, either as it is or after `fold_answer` of both."""
    return contained(response, answers) or _occurs(fold_answer(response), [fold_answer(a) for a in answers])


def matches(response: str, answers: Sequence[str], aliases: Sequence[str] = ()) -> dict[str, bool]:
    """Each rule of `MATCHES` on one response.

    Args:
        answers: what the set gives as the answer; several where any of them is one.
        aliases: other names of the answer; `contained` does not look at them.
    """
    every = [*answers, *aliases]
    return {
        "contained": contained(response, answers),
        "exact": exact(response, every),
        "alias": alias(response, every),
    }


def _occurs(said: str, answers: Sequence[str]) -> bool:
    return any(a and f" {a} " in f" {said} " for a in answers)

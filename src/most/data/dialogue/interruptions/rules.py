"""The writer that needs no model: cuts a turn inside a sentence and breaks in with a phrase of a table.

Deterministic. What it can say is in `phrases`; the bias report shows how often each phrase comes back, and an LLM
writer is the cure.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from numpy.random import Generator

from most.data.dialogue.collected import Rejection
from most.data.dialogue.dialogue import Dialogue
from most.data.dialogue.interruptions.base import CUT_BETWEEN, interrupted, interruptible
from most.data.dialogue.interruptions.phrases import BRIDGES, KINDS

_SMALL_WORDS = """
    the a an this that these those my your his her its our their i you he she it we they me him us them and or
    but so because if than then of in on at to for from by with about into over is are was were be been being am
    do does did have has had can could will would should may might must not no very really too just also as when
    where while who which that what how why there here all some any every much many more most such like out up
    off down back only even still ever never always again before after during until since through get got go
    it's he's she's that's i'm you're they're we're i've you've don't didn't doesn't isn't wasn't can't won't
    i'd i'll think know feel believe guess hope want love need said say says make makes made other another one
    ones same own seems seem kind sort lot bit way thing things both each either few first last next
"""
_SMALL = frozenset(_SMALL_WORDS.split())
_COMPLETING = "of way thing things one ones lot bit kind sort same own other another up out off down me"
_COMPLETES = frozenset(_COMPLETING.split())
"""Small words that still belong to the word before."""
_SUBJECTS = """
    i you he she it we they there this that these those the a an my your his her its our their everyone everybody
    someone nobody most some both all when if once while since what
"""
_SUBJECT = frozenset(_SUBJECTS.split())
_LEADS_IN = re.compile(
    r"(?:(?:and|but|so|or|also|well|oh|yes|yeah|yep|no|nope|definitely|absolutely|exactly|true|right|okay|now|then|plus|"
    r"anyway|honestly|haha|because|though|although|i agree|i know)\b,?\s+)+",
    re.IGNORECASE,
)
"""Words that tie a sentence to the one before; left out where it is taken up again."""
_CLAUSE_BEGINS = re.compile(r"[,;:]\s+|\s(?=(?:and|but|because)\s)|(?<=[.!?])[\"'”’)]*\s+")
_TOKEN = re.compile(r"\S+")
_SENTENCE_ENDS = re.compile(r"[.!?:][\"'”’)]*$")
_SAID_AGAIN = (3, 12)
"""Words of a clause that is said again, fewest and most."""
_MIN_LEFT = 2
"""Words of the sentence that the interruption keeps from being said, at least."""
_DEFINITE_WORDS = "the this that my your his her its our their"
_DEFINITE = frozenset(_DEFINITE_WORDS.split())
_OTHER = {"my": "your", "our": "your", "your": "my"}
_MAX_NAMED = 3
"""Words of what was named, behind its article."""


@dataclass(frozen=True, kw_only=True)
class _Cut:
    turn: int
    at: int
    named: str
    """What was named last, with its article; empty if nothing."""
    again: str
    """The clause so far, said again when the thread is taken up."""
    asks: bool
    """It stands in a question, to which no remark fits."""


class RuleWriter:
    """Interruptions from a table.

    Args:
        between: shares of a turn's words between which it is cut.
    """

    name = "rules"
    parallel = 1

    def __init__(self, *, between: tuple[float, float] = CUT_BETWEEN) -> None:
        self.between = between

    def settings(self) -> dict[str, Any]:
        table = hashlib.blake2b(repr((KINDS, BRIDGES)).encode(), digest_size=8).hexdigest()
        return {"between": list(self.between), "table": table}

    def write(self, dialogue: Dialogue, rng: Generator) -> Dialogue | Rejection:
        if any(t.interrupted_at is not None for t in dialogue.turns):
            return Rejection(id=dialogue.id, reasons=("is interrupted already",))
        turns = interruptible(dialogue)
        if not turns:
            return Rejection(id=dialogue.id, reasons=("no assistant's turn is long enough",))
        cuts = [cut for k in turns for cut in cuts_of(dialogue.turns[k].text, k, self.between)]
        if not cuts:
            return Rejection(id=dialogue.id, reasons=("no good place to cut",))
        fitting = {kind: [cut for cut in cuts if _fits(kind, cut)] for kind in sorted(KINDS)}
        kinds = [kind for kind, usable in fitting.items() if usable]
        kind = kinds[int(rng.integers(len(kinds)))]
        usable = fitting[kind]
        cut = usable[int(rng.integers(len(usable)))]
        asked, answer = KINDS[kind][int(rng.integers(len(KINDS[kind])))]
        bridge = BRIDGES[int(rng.integers(len(BRIDGES)))]
        first, _, others = cut.named.partition(" ")
        your = f"{_OTHER.get(first, first)} {others}"
        asked = asked.replace("{your}", your).replace("{Your}", your[:1].upper() + your[1:])
        again = cut.again if bridge.endswith(",") else cut.again[0].upper() + cut.again[1:]
        resumed = f"{bridge} {again} {dialogue.turns[cut.turn].text[cut.at :].strip()}"
        answer = answer.replace("{np}", cut.named)
        return interrupted(dialogue, cut.turn, cut.at, asked, answer, resumed, kind=kind, writer=self.name)


def _fits(kind: str, cut: _Cut) -> bool:
    return {"clarify": bool(cut.named), "react": not cut.asks}.get(kind, True)


def cuts_of(text: str, turn: int, between: tuple[float, float]) -> list[_Cut]:
    """Places inside sentences, behind a word with content, where a speaker can be cut off and take the thread up."""
    tokens = list(_TOKEN.finditer(text))
    out = []
    for k in range(1, len(tokens) - 1):
        word, following = tokens[k - 1][0], tokens[k][0]
        if not between[0] <= k / len(tokens) <= between[1] or not _can_stop(word, following):
            continue
        ends = [i for i, token in enumerate(tokens) if _SENTENCE_ENDS.search(token[0])]
        starts = max((i + 1 for i in ends if i < k), default=0)
        last = min((i for i in ends if i >= k), default=len(tokens) - 1)
        at = tokens[k - 1].end()
        if last - k + 1 < _MIN_LEFT or text[:at].count('"') % 2:
            continue
        if again := _clause(text[tokens[starts].start() : at]):
            named = _named([t[0] for t in tokens[starts:k]])
            out.append(_Cut(turn=turn, at=at, named=named, again=again, asks="?" in tokens[last][0]))
    return out


def _can_stop(word: str, following: str) -> bool:
    """Behind a word with content, before one of the small words that begin something new."""
    plain = word.lower().strip("'\"”’)(")
    if plain in _SMALL or not plain.isalpha() or word.isupper():
        return False
    after = following.strip(",.;!?").lower()
    return after in _SMALL - _COMPLETES and following[-1] not in ".!?"


def _named(words: list[str]) -> str:
    """The noun phrase that the words end with, from its article on: "the special effects"; empty if there is none."""
    for back in range(2, min(len(words), _MAX_NAMED + 1) + 1):
        first = words[-back].lower()
        if first in _SMALL:
            phrase = [first, *words[1 - back :]]
            whole = all(w.isalpha() and w.lower() not in _SMALL and not w.endswith(("ly", "ing")) for w in phrase[1:])
            return " ".join(phrase) if first in _DEFINITE and whole else ""
    return ""


def _clause(said: str) -> str:
    """The last clause of an unfinished sentence that can stand at a beginning; empty if it is too short or too long."""
    starts = [0, *(m.end() for m in _CLAUSE_BEGINS.finditer(said))]
    for start in reversed(starts):
        clause = said[start:]
        if lead := _LEADS_IN.match(clause):
            clause = clause[lead.end() :]
        words = clause.split()
        if len(words) > _SAID_AGAIN[1]:
            return ""
        first = words[0].lower() if words else ""
        begins = re.sub(r"['’].*", "", first) in _SUBJECT
        if len(words) >= _SAID_AGAIN[0] and (begins or (start == 0 and words[0].isalpha())):
            keep = re.match(r"I\b", words[0]) or (first not in _SMALL and not begins)
            return clause if keep else first + clause[len(first) :]
    return ""

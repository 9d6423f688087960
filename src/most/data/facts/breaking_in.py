"""The scene of breaking in: the user stops a long answer, with a new question or because it is enough.

The assistant stops where it is cut, answers briefly, and after a question may take up its thread: then the turns are
what `most data dialogues interrupt` makes, and pass its checks.
"""

from __future__ import annotations

import re
from dataclasses import replace

from most.data.dialogue.dialogue import Dialogue, Turn
from most.data.dialogue.interruptions.base import CUT_BETWEEN, interrupted
from most.data.facts.asking import pick
from most.data.facts.english import sentence
from most.data.facts.expect import Exchange
from most.data.facts.scenes import Stage, reply_of
from most.data.facts.table import LICENCE
from most.data.facts.talk import talk

_WORD = re.compile(r"\S+")
_CLAUSE = re.compile(r", (?!and )")
"""Behind which a sentence can be taken up again."""
_QUESTIONS = 0.7
"""Share of the interruptions that ask something new."""
_THREAD_WORDS = 4
"""Behind the cut: enough of what was broken off to know it again."""


def cuts(text: str) -> list[int]:
    """Ends of words inside sentences between the shares of a turn at which it is cut, in characters."""
    words = list(_WORD.finditer(text))
    inside = [
        w.end() - (w[0][-1] == ",")
        for k, w in enumerate(words[:-1], 1)
        if CUT_BETWEEN[0] <= k / len(words) <= CUT_BETWEEN[1] and w[0][-1] not in ".!?:"
    ]
    assert inside, text
    return inside


def breaking_in(stage: Stage, resumed: float) -> list[Exchange]:
    """A long answer that is broken into.

    Args:
        resumed: share of the answers that are taken up again behind the new question's.
    """
    listing = pick(talk().lists, stage.rng)
    text = sentence(listing.say)
    options = cuts(text)
    cut = pick(options, stage.rng)
    asks = Turn(role="user", text=stage.says(listing.ask))
    if not stage.likely(_QUESTIONS):
        answer = sentence(pick(talk().stop.assistant, stage.rng))
        stops = Turn(role="user", text=stage.says(talk().stop), interrupts=True)
        return [_cut_off(asks, text, cut), reply_of(talk().stop, stops, answer)]
    new = stage.fact()
    frame = pick(talk().break_in.of(stage.part), stage.rng)
    said = new.fact.fill(frame.replace("{question}", new.wording))
    if not stage.likely(resumed):
        stops, answer = Turn(role="user", text=said, interrupts=True), Turn(role="assistant", text=new.answer)
        return [_cut_off(asks, text, cut), Exchange(user=stops, assistant=answer, right=new.fact.answers)]
    cut = pick([c for c in options if _CLAUSE.match(text, c)], stage.rng)
    whole = Dialogue(id="scene", turns=(asks, Turn(role="assistant", text=text)), source="scene", licence=LICENCE)
    left = text[cut:].lstrip(", ")
    thread = f"{pick(talk().resume, stage.rng)} {left}"
    asks, stopped, breaks_in, answer = interrupted(whole, 1, cut, said, new.answer, sentence(thread)).turns
    words = " ".join(left.split()[:_THREAD_WORDS]).rstrip(",.")
    return [
        Exchange(user=asks, assistant=stopped),
        Exchange(user=breaks_in, assistant=answer, right=new.fact.answers, thread=words),
    ]


def _cut_off(asks: Turn, text: str, cut: int) -> Exchange:
    return Exchange(user=asks, assistant=replace(Turn(role="assistant", text=text), interrupted_at=cut))

"""Checks on any writer's work against the dialogue it was given. What fails is kept out, with its reasons counted."""

from __future__ import annotations

import re

from most.data.dialogue.dialogue import Dialogue
from most.data.dialogue.interruptions.base import CUT_BETWEEN

MAX_INTERRUPTION_WORDS = 25
MAX_ANSWER_WORDS = 45
"""Of the brief answer and the phrase that leads back, together."""
_SLACK = 0.05
_META = re.compile(
    r"\bas an? (?:ai|artificial|large language|language model)|\blanguage model\b|\bhere(?:'s| is) (?:the|a|your) "
    r"(?:rewritten|revised|modified|updated|new|resulting)|\brewritten (?:dialogue|turn|conversation|version)\b|"
    r"\b(?:user|assistant|system)\s*:|\[(?:interrupt|pause|cut|user|assistant)[^\]]*\]|"
    r"\((?:interrupt|cut off|pause)[^)]*\)|"
    r"\b(?:the|this) (?:user|assistant|speaker) (?:interrupts|is interrupted|breaks in|stops|resumes)|"
    r"<\|?[a-z_/]+\|?>|```|"
    r"\bresum(?:es|ing) mid-sentence|\binterrupted_at\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def words_of(text: str) -> list[str]:
    """Words in lower case without punctuation, so that commas and capitals at the joint do not count."""
    return [w.replace("’", "'").lower() for w in _WORD.findall(text)]


def faults(before: Dialogue, after: Dialogue) -> list[str]:
    """What is wrong with `after` as `before` with one interruption; empty if nothing is.

    `Dialogue` itself has seen to roles that alternate, and to a turn that breaks in behind each interrupted one.
    """
    cuts = [k for k, t in enumerate(after.turns) if t.interrupted_at is not None]
    if len(cuts) != 1:
        return [f"{len(cuts)} interruptions instead of one"]
    k = cuts[0]
    found = []
    if len(after.turns) != len(before.turns) + 2 or k + 2 >= len(after.turns):
        return ["turns were added or lost"]
    if [t.text for t in after.turns[:k]] != [t.text for t in before.turns[:k]] or (
        [t.text for t in after.turns[k + 3 :]] != [t.text for t in before.turns[k + 1 :]]
    ):
        found.append("other turns were changed")
    old, cut, user, resumed = before.turns[k], after.turns[k], after.turns[k + 1], after.turns[k + 2]
    if (after.id, after.source, after.licence, after.topic) != (before.id, before.source, before.licence, before.topic):
        found.append("id, source, licence or topic was changed")
    said, all_words = words_of(cut.said), words_of(old.text)
    rest, again = all_words[len(said) :], words_of(resumed.text)
    if said != all_words[: len(said)] or not rest:
        found.append("what was said is not the beginning of the turn")
    elif again[-len(rest) :] != rest:
        found.append("the turn is not resumed word for word")
    else:
        lead = again[: -len(rest)]
        if not lead:
            found.append("no answer to the interruption")
        if len(lead) > MAX_ANSWER_WORDS:
            found.append("the answer is not brief")
    if re.search(r"[.!?]['\"”)]*\s*$", cut.said):
        found.append("not mid-sentence")
    share = len(said) / max(1, len(all_words))
    if not CUT_BETWEEN[0] - _SLACK <= share <= CUT_BETWEEN[1] + _SLACK:
        found.append("cut too early or too late")
    if not words_of(user.text):
        found.append("the interruption says nothing")
    if len(words_of(user.text)) > MAX_INTERRUPTION_WORDS:
        found.append("the interruption is too long")
    if _META.search(user.text) or len(_META.findall(resumed.text)) > len(_META.findall(old.text)):
        found.append("talks about the task")
    return found

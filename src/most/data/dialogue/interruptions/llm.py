"""The writer with a language model behind it: it judges whether a dialogue suits, then writes one interruption as JSON.

Paper, stage 2 (there Qwen2.5-7B-Instruct). The model never copies the dialogue: it names the turn, where it breaks
off and what is said in between, and the dialogue is put together here. So other turns cannot be changed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from numpy.random import Generator

from most.data.dialogue.collected import Rejection
from most.data.dialogue.dialogue import Dialogue
from most.data.dialogue.interruptions.base import CUT_BETWEEN, MIN_WORDS, interrupted, interruptible
from most.data.dialogue.interruptions.chat import Chat, Messages, Refused
from most.data.dialogue.interruptions.validate import faults

ATTEMPTS = 3
"""At an interruption that holds what was asked for; each with another seed."""
_MAX_TOKENS = {"judge": 1024, "write": 2048}
"""Room for models that think before they answer; others stop far earlier."""
_JUDGE = """You judge written dialogues between a user and a voice assistant. A dialogue suits if it would sound \
natural when spoken aloud, is in English, needs nothing to be seen (no code, tables, long lists, formulas, exact \
wording to copy), and has an assistant's turn during which a listener could naturally break in. Answer with one word: \
yes or no."""
_WRITE = f"""You write ONE natural interruption into a spoken dialogue. The user breaks in while the assistant is \
speaking: asks about something just said, corrects or adds something, or asks for a change. The assistant stops \
mid-sentence, answers in one or two short sentences, and resumes where it stopped.

Choose one of the assistant's turns marked [may be interrupted]. Answer with one JSON object and nothing else:
{{"turn": its number,
 "said": the beginning of that turn up to where it breaks off, copied word for word, ending inside a sentence, \
{CUT_BETWEEN[0]:.0%} to {CUT_BETWEEN[1]:.0%} of the turn,
 "interruption": what the user says, one short sentence,
 "answer": the assistant's brief answer,
 "bridge": a few words that lead back, such as "As I was saying,", or ""}}
The rest of the turn is added by us behind the bridge; do not write it. Do not explain, and do not mention that you \
are writing."""
_KEYS = {"turn": int, "said": str, "interruption": str, "answer": str, "bridge": str}


@dataclass(frozen=True)
class _Faulty(Exception):
    reason: str


class LlmWriter:
    """Interruptions by a chat model: suitability first, then one interruption; a faulty one is asked for anew."""

    def __init__(self, chat: Chat, *, attempts: int = ATTEMPTS) -> None:
        self.chat, self.attempts = chat, attempts

    @property
    def name(self) -> str:
        return self.chat.name

    @property
    def parallel(self) -> int:
        return self.chat.parallel

    def settings(self) -> dict[str, Any]:
        return {**self.chat.settings(), "attempts": self.attempts}

    def write(self, dialogue: Dialogue, rng: Generator) -> Dialogue | Rejection:
        if any(t.interrupted_at is not None for t in dialogue.turns):
            return Rejection(id=dialogue.id, reasons=("is interrupted already",))
        turns = interruptible(dialogue)
        if not turns:
            return Rejection(id=dialogue.id, reasons=(f"no assistant's turn of {MIN_WORDS} words",))
        shown = _shown(dialogue, turns)
        reasons: list[str] = []
        try:
            verdict = self._ask("judge", [_JUDGE, shown + "\n\nDoes this dialogue suit? Answer yes or no."], rng)
            if (suits := yes_or_no(verdict)) is not True:
                why = "judged unsuitable" if suits is False else "the judge said neither yes nor no"
                return Rejection(id=dialogue.id, reasons=(why,))
            for _ in range(self.attempts):
                try:
                    return self._parsed(dialogue, turns, self._ask("write", [_WRITE, shown], rng))
                except _Faulty as e:
                    reasons.append(e.reason)
        except Refused as e:
            return Rejection(id=dialogue.id, reasons=(str(e),))
        return Rejection(id=dialogue.id, reasons=tuple(dict.fromkeys(reasons)))

    def _ask(self, what: str, texts: list[str], rng: Generator) -> str:
        messages: Messages = [{"role": "system", "content": texts[0]}, {"role": "user", "content": texts[1]}]
        return self.chat.reply(messages, max_tokens=_MAX_TOKENS[what], seed=int(rng.integers(2**31)))

    def _parsed(self, dialogue: Dialogue, turns: list[int], answer: str) -> Dialogue:
        row = parse(answer)
        turn = row["turn"] - 1
        if turn not in turns:
            raise _Faulty("no turn that may be interrupted")
        text = dialogue.turns[turn].text
        cut = end_of(row["said"], text)
        if not cut:
            raise _Faulty("what was said is not the beginning of the turn")
        resumed = f"{row['bridge'].strip()} {text[cut:].strip(' ,')}".strip()
        if not row["interruption"].strip() or not row["answer"].strip():
            raise _Faulty("an empty interruption or answer")
        out = interrupted(dialogue, turn, cut, row["interruption"], row["answer"], resumed, writer=self.name,
                          model=self.chat.settings().get("model", ""))  # fmt: skip
        if found := faults(dialogue, out):
            raise _Faulty(found[0])
        return out


def yes_or_no(answer: str) -> bool | None:
    """One word, whatever its case and full stop; `None` for anything else."""
    return {"yes": True, "no": False}.get(_without_thoughts(answer).strip().rstrip(".!").lower())


def parse(answer: str) -> dict[str, Any]:
    """The JSON object of an answer, with exactly the keys asked for; a fence around it is let pass."""
    text = _without_thoughts(answer).strip()
    fenced = re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", text, re.DOTALL)
    try:
        row = json.loads(fenced[1] if fenced else text)
    except json.JSONDecodeError:
        raise _Faulty("not JSON") from None
    if not isinstance(row, dict) or set(row) != set(_KEYS):
        raise _Faulty("not the keys asked for")
    if any(not isinstance(row[key], kind) or isinstance(row[key], bool) for key, kind in _KEYS.items()):
        raise _Faulty("a value of the wrong kind")
    return row


def end_of(said: str, text: str) -> int:
    """Characters of `text` that `said` covers, by letters and digits; 0 if it is no beginning in whole words."""
    wanted = [c.lower() for c in said if c.isalnum()]
    at = matched = 0
    for at, c in enumerate(text):  # noqa: B007 (the place is needed behind the loop)
        if matched == len(wanted):
            break
        if c.isalnum():
            if c.lower() != wanted[matched]:
                return 0
            matched += 1
    ends_inside_word = matched and text[at].isalnum() and at > 0 and text[at - 1].isalnum()
    if matched < len(wanted) or not wanted or ends_inside_word:
        return 0
    return at


def _without_thoughts(answer: str) -> str:
    return re.sub(r"^\s*<think>.*?</think>", "", answer, flags=re.DOTALL)


def _shown(dialogue: Dialogue, turns: list[int]) -> str:
    lines = []
    for k, turn in enumerate(dialogue.turns):
        mark = " [may be interrupted]" if k in turns else ""
        lines.append(f"{k + 1}. {turn.role}{mark}: {' '.join(turn.text.split())}")
    return "The dialogue:\n" + "\n".join(lines)

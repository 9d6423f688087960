"""Spoken question answering: a question asked aloud (or, as a control, in writing), answered in writing or aloud.

A question may stand in a dialogue: then the turns before it are the set's own, those of the assistant written. A spoken
answer is judged by what a recogniser hears in it. How answers are matched: `most.evaluate.answers`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import soundfile

from most.errors import MostError
from most.evaluate.answers import MATCHES, contained, matches
from most.evaluate.judges import JudgeSettings
from most.evaluate.score import Score, mean_interval
from most.evaluate.sets.base import SetInfo, SetSettings
from most.evaluate.sets.questions import Question, QuestionSet, load_questions
from most.evaluate.subject import Asked, Capability, Subject, message
from most.evaluate.tasks.base import Row
from most.evaluate.tasks.naming import audio_row, file_name, seed_of
from most.manifest import AudioRef
from most.speech.audio import write_audio

DIRECTIONS = {
    ("speech", "text"): "S→T", ("speech", "speech"): "S→S", ("text", "text"): "T→T", ("text", "speech"): "T→S"
}  # fmt: skip
"""How question and answer travel, as papers write it."""
RESUMED = "resumed"
"""The score of responses that take up what the user broke off."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One set, asked and answered in one way.

    Args:
        ask: how questions reach the model; `text` is the control that leaves listening out.
        to: how it answers.
        judge: for spoken answers.
        limit: the first so many questions; all when left out.
        max_new_tokens: of a written answer; max_seconds: of a spoken one. What is cut off there is matched as it is.
        seed: of the draw of spoken answers, together with a question's id.
    """

    set: SetSettings
    ask: Literal["speech", "text"] = "speech"
    to: Literal["text", "speech"] = "text"
    judge: JudgeSettings | None = None
    limit: int | None = None
    max_new_tokens: int = 64
    max_seconds: float = 20.0
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.to == "speech") != (self.judge is not None):
            raise MostError("judge", self.judge, "give a judge for spoken answers (to: speech), and only for those")
        for name in ("limit", "max_new_tokens", "max_seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise MostError(name, value, "must be > 0")


def make(settings: Settings, name: str) -> SpokenQa:
    """The task; reads the set, loads no model."""
    found = load_questions(settings.set, limit=settings.limit, spoken=settings.ask == "speech")
    return SpokenQa(settings=settings, name=name, found=found)


@dataclass(frozen=True, kw_only=True)
class SpokenQa:
    settings: Settings
    name: str
    found: QuestionSet

    family = "spoken_qa"

    @property
    def info(self) -> SetInfo:
        return self.found.info

    @property
    def items(self) -> Sequence[Question]:
        return self.found.questions

    @property
    def needs(self) -> frozenset[Capability]:
        hear: Capability = "hear" if self.settings.ask == "speech" else "text"
        speak: Capability = "speak" if self.settings.to == "speech" else "text"
        return frozenset({hear, speak})

    @property
    def facts(self) -> Mapping[str, str]:
        s = self.settings
        facts = {
            "items": f"the first {s.limit} of the set" if s.limit else "all of the set",
            "question": {"speech": "spoken, nothing else in the turn", "text": "written, as the set has it"}[s.ask],
            "answer": f"written, at most {s.max_new_tokens} tokens, the most likely ones"
            if s.to == "text"
            else f"spoken, at most {s.max_seconds:g} s, seed {s.seed}",
            "direction": DIRECTIONS[s.ask, s.to],
            **MATCHES,
        }
        if any(q.history for q in self.items):
            user = {"speech": "spoken", "text": "written"}[s.ask]
            facts["turns before"] = f"the set's own: the user's {user}, the assistant's written"
        if any(q.thread for q in self.items):
            facts[RESUMED] = "share of the responses, where the set's own does so, that take up what was broken off"
        if s.judge is not None:
            facts["judge"] = str(s.judge)
        return facts

    def answer(self, subject: Subject, items: Sequence[Question], folder: Path) -> list[Row]:
        s = self.settings
        heard = [self._audio(q, folder) for q in items] if s.ask == "speech" else [None] * len(items)
        asked = [self._asked(q, q.question if a is None else a) for q, a in zip(items, heard, strict=True)]
        rows = [_row(q) for q in items]
        for row, audio in zip(rows, heard, strict=True):
            if audio is not None:
                row["question_audio"] = audio_row(audio, folder)
        if s.to == "text":
            for row, said in zip(rows, subject.answer_text(asked, max_new_tokens=s.max_new_tokens), strict=True):
                row["response"] = said
            return rows
        assert s.judge is not None
        judge = s.judge.judge()
        seeds = [seed_of(s.seed, q.id) for q in items]
        speeches = subject.answer_speech(asked, seeds=seeds, max_seconds=s.max_seconds)
        for row, speech in zip(rows, speeches, strict=True):
            row |= {"response": "", "wav": "", "seconds": 0.0, "truncated": speech.truncated}
            if len(speech.waveform):
                path = write_audio(folder / f"{file_name(row['id'])}.wav", speech.waveform, speech.sample_rate)
                row["wav"], row["seconds"] = path.name, round(len(speech.waveform) / speech.sample_rate, 3)
                row["response"] = judge.transcribe(speech.waveform, speech.sample_rate)
        return rows

    def _asked(self, question: Question, last: AudioRef | str) -> Asked:
        """The question alone, or the conversation that it ends."""
        if not question.history:
            return last
        aloud = self.settings.ask == "speech"
        turns = []
        for turn in question.history:
            said = turn.audio if aloud and turn.role == "user" else turn.text
            assert said is not None  # the set was read so
            turns.append(message(turn.role, said))
        return [*turns, message("user", last)]

    def _audio(self, question: Question, folder: Path) -> AudioRef:
        """A question's audio as a file; a set that carries it inline has it written beside the answers."""
        if isinstance(question.audio, AudioRef):
            return question.audio
        assert question.audio is not None
        path = folder / f"{file_name(question.id)}.question.wav"
        if not path.is_file():
            try:
                wav, rate = soundfile.read(io.BytesIO(question.audio), dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as e:
                raise MostError("audio", question.id, f"the set's audio cannot be decoded ({e.error_string})") from e
            write_audio(path, wav.mean(axis=1), rate)
        return AudioRef(path=path)

    def score(self, rows: Sequence[Row]) -> list[Score]:
        """Each rule over the whole set, the main one by scene, and how often a broken thread is taken up."""
        found = [_found(row) for row in rows]
        scores = [_share(rule, rows, [f[rule] for f in found]) for rule in MATCHES]
        items = {q.id: q for q in self.items}

        def known(row: Row, key: Literal["scene", "thread"]) -> str:  # a failed row may hold no more than its id
            return row.get(key) or getattr(items.get(row["id"]), key, "")

        scenes = [known(row, "scene") for row in rows]
        rule = next(iter(MATCHES))
        for scene in sorted({*scenes} - {""}):
            of = [k for k, s in enumerate(scenes) if s == scene]
            scores.append(_share(f"{rule}/{scene}", [rows[k] for k in of], [found[k][rule] for k in of]))
        if broken := [row for row in rows if known(row, "thread")]:
            resumed = [contained(row.get("response", ""), [known(row, "thread")]) for row in broken]
            scores.append(_share(RESUMED, broken, resumed, better=None))
        return scores

    def badness(self, row: Row) -> float:
        """Failed, then empty, then wrong, then matched by alias only, then contained."""
        if "error" in row:
            return 4.0
        found = _found(row)
        return 3.0 if _empty(row) else 2.0 if not found["alias"] else 1.0 if not found["contained"] else 0.0


def _row(question: Question) -> Row:
    """What was asked and what is right, as the log has it."""
    q = question
    row: Row = {"id": q.id, "question": q.question, "answers": list(q.answers), "aliases": list(q.aliases)}
    row |= {"turns_before": [f"{t.role}: {t.text}" for t in q.history]} if q.history else {}
    return row | {k: v for k, v in (("scene", q.scene), ("thread", q.thread)) if v}


def _share(
    metric: str, rows: Sequence[Row], right: Sequence[bool], *, better: Literal["higher"] | None = "higher"
) -> Score:
    value, low, high = mean_interval(right)
    return Score(
        metric=metric, value=value, low=low, high=high, n_items=len(rows), n_failed=sum("error" in r for r in rows),
        n_empty=sum(_empty(r) for r in rows), better=better,
    )  # fmt: skip


def _found(row: Row) -> dict[str, bool]:
    if "error" in row:
        return dict.fromkeys(MATCHES, False)
    return matches(row["response"], row["answers"], row["aliases"])


def _empty(row: Row) -> bool:
    return "error" not in row and not row["response"].strip()

"""A conversation with an engine: its history, kept within the model's context, and cut to what was heard.

Turns are laid out as in training (`most.data.dialogue.voice.record`): what the user said stays audio, what the
assistant said stays its text, and a turn that was broken into ends behind the last word that was said.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from most.errors import MostError
from most.generate.engine import Engine, SpeakSettings, Speech
from most.generate.request import Request
from most.generate.stream import Ended, Written
from most.generate.stream import Said as Sound
from most.manifest import AudioRef

_WORD = re.compile(r"\S+")
_N_MARKERS = 2
"""Around units: where they begin and end."""
_CHARACTERS_A_SECOND = 15.0
"""Of speech whose end was not made."""
Said = str | Path | AudioRef | np.ndarray
"""A user's turn: a text, or speech as a file or as (T,) float32 at the model's rate."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The assistant's turn.

    Args:
        speech: how it was said; None where only writing was asked for.
        forgotten: turns of the history that no longer fitted and are gone.
    """

    text: str
    speech: Speech | None = None
    forgotten: int = 0


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What a `Batch` is asked for the assistant's next turn, of those turns that fit; `forgotten` ones did not."""

    request: Request
    turns: list[dict[str, Any]]
    forgotten: int


class Chat:
    """One conversation. `history` holds its turns in the Hugging Face form, the last one the assistant's.

    Args:
        speaker: voice of the codec; its main one when left out.
        settings: of speech, which ends where the context does; `seed` and the turn's number give a turn's draw.
        max_new_tokens: of a written answer.
        latest_parts: of a turn that alone is longer than the context, go on with its latest parts; it is refused
            otherwise.
    """

    def __init__(
        self, engine: Engine, *, speaker: str | None = None, settings: SpeakSettings | None = None,
        max_new_tokens: int = 128, latest_parts: bool = False,
    ) -> None:  # fmt: skip
        self.engine, self.speaker, self.settings = engine, speaker, settings or SpeakSettings()
        if self.settings.best_of > 1:
            raise MostError("best_of", self.settings.best_of, "compares whole takes, but a talk is said as it comes: 1")
        self.max_new_tokens, self.latest_parts = max_new_tokens, latest_parts
        self.history: list[dict[str, Any]] = []
        self.n_answers = 0

    def reset(self) -> None:
        """Forget everything."""
        self.history.clear()

    def ask(self, said: Said, *, voice: bool = False) -> Answer:
        """The answer to the user's next turn. What fails or is interrupted leaves the history as it was.

        Args:
            said: a `str` is a text; speech is a Path, an AudioRef or a waveform.
            voice: also say it.

        Raises:
            MostError: nothing said, audio that cannot be heard, or a turn that is longer than the context.
        """
        turn = self.turn([self._part(said)], voice=voice)
        ((written, *spoken),) = self.engine.answers([turn.request])
        speech = self.engine.speech(spoken[0], self.speaker) if voice else None
        answer = Answer(
            text=self.engine.processor.decode_text(written), speech=speech, forgotten=turn.forgotten
        )  # fmt: skip
        self.answered(turn, answer.text)
        return answer

    def stream(self, said: Said, *, voice: bool = False) -> Iterator[Written | Sound | Answer]:
        """As `ask`, as it comes: text, sound, at last the answer. Closed before that, the history stays as it was."""
        turn = self.turn([self._part(said)], voice=voice)
        waves, ended = list[Sound](), None
        for event in self.engine.stream(turn.request, speaker=self.speaker):
            if isinstance(event, Ended):
                ended = event
                break
            if isinstance(event, Sound):
                waves.append(event)
            yield event
        assert ended is not None
        speech = None
        if voice and self.engine.codec is not None:
            wav = np.concatenate([w.waveform for w in waves]) if waves else np.zeros(0, dtype=np.float32)
            rate = waves[0].sample_rate if waves else self.engine.codec.sample_rate
            speech = Speech(wav, rate, ended.units, "speech" in ended.truncated)
        self.answered(turn, ended.text)
        yield Answer(text=ended.text, speech=speech, forgotten=turn.forgotten)

    def turn(self, content: list[dict[str, Any]], *, voice: bool = False) -> Turn:
        """The user's next turn as a request; the history stays as it is until it is `answered`.

        Args:
            content: parts in the Hugging Face form.
            voice: also say the answer.

        Raises:
            MostError: audio that cannot be heard, or a turn that is longer than the context.
        """
        turns, forgotten = self._fitting([*self.history, {"role": "user", "content": content}], voice)
        if voice:
            seed = self.settings.seed + self.n_answers
            request = self.engine.to_reply(turns, self._speech_that_fits(turns), seed, self.max_new_tokens)
        else:
            request = self.engine.to_write(turns, self.max_new_tokens)
        return Turn(request=request, turns=turns, forgotten=forgotten)

    def answered(self, turn: Turn, text: str) -> None:
        """Take a turn and what was answered into the history."""
        self.history = [*turn.turns, {"role": "assistant", "content": text}]
        self.n_answers += 1

    def heard(self, share: float) -> str:
        """Cut the last answer to the share of it that was heard, and return what is left of its text.

        Its first word is always kept: no turn that a model learns from is empty.
        """
        if not self.history:
            return ""
        text = heard_text(self.history[-1]["content"], share)
        self.history[-1] = {"role": "assistant", "content": text}
        return text

    def broken_off(self, said: Said, text: str) -> None:
        """Take a turn into the history whose answer was stopped on the way, with as much of it as was heard."""
        self.answered(self.turn([self._part(said)]), text)

    def _part(self, said: Said) -> dict[str, Any]:
        if not isinstance(said, str):
            return {"type": "audio", "audio": self.engine.processor.read(said)}
        if not said.strip():
            raise MostError("text", said, "is empty; say something")
        return {"type": "text", "text": said.strip()}

    def _fitting(self, turns: list[dict[str, Any]], voice: bool) -> tuple[list[dict[str, Any]], int]:
        """The latest turns, from a user's on, whose prompt leaves room for the answer; and how many were dropped.

        What the system says stays.
        """
        room = self.max_new_tokens
        if voice:
            # Speech is long: it may take half of the context, and all that is left, but not drive out every turn.
            room = min(room + self._n_units(self.settings.max_seconds), max(room, self._context // 2))
        first = next(k for k, t in enumerate(turns) if t["role"] != "system")
        starts = [(k, 0) for k, t in enumerate(turns) if k == first or (k > first and t["role"] == "user")]
        if self.latest_parts:
            starts += [(len(turns) - 1, n) for n in range(1, len(turns[-1]["content"]))]

        def kept(start: tuple[int, int]) -> list[dict[str, Any]]:
            k, n = start
            return [*turns[:first], {**turns[k], "content": turns[k]["content"][n:]}, *turns[k + 1 :]]

        at = bisect.bisect_left(starts, True, key=lambda start: self._length(kept(start)) + room <= self._context)
        if at < len(starts):
            return kept(starts[at]), starts[at][0] - first
        raise MostError(
            "turn", f"{self._length(kept(starts[-1]))} positions",
            f"leaves less than {room} of the model's {self._context} for the answer; say less at once",
        )  # fmt: skip

    def _speech_that_fits(self, turns: list[dict[str, Any]]) -> SpeakSettings:
        if self.engine.codec is None:
            return self.settings  # the engine refuses
        left = self._context - self._length(turns) - self.max_new_tokens
        seconds = max(left - _N_MARKERS, 1) / self.engine.codec.unit_rate_hz
        return replace(self.settings, max_seconds=min(self.settings.max_seconds, seconds))

    def _n_units(self, seconds: float) -> int:
        """Positions that speech takes."""
        return 0 if self.engine.codec is None else int(seconds * self.engine.codec.unit_rate_hz) + _N_MARKERS

    @property
    def _context(self) -> int:
        return self.engine.model.config.get_text_config().max_position_embeddings

    def _length(self, turns: list[dict[str, Any]]) -> int:
        processor = self.engine.processor
        return len(processor.builder.prompt(processor.messages(turns), "text"))


def heard_text(text: str, share: float) -> str:
    """The words of `text` that lie wholly within a share of it, as training writes a turn that was broken into.

    At least the first word; without the comma behind the last one.

    Raises:
        MostError: a share outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise MostError("share", share, "must lie in [0, 1]")
    ends = [w.end() for w in _WORD.finditer(text)]
    within = [end for end in ends if end <= share * len(text)] or ends[:1]
    if not within or within[-1] == ends[-1]:
        return text
    return text[: within[-1]].removesuffix(",")


def spoken_seconds(text: str, made_seconds: float, *, whole: bool) -> float:
    """How long an answer's speech is, of which so much was made; a guess where that is not the `whole`."""
    return made_seconds if whole else max(made_seconds, len(text) / _CHARACTERS_A_SECOND)

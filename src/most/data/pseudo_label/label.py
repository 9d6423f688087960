"""One piece of a recording heard and written down, or the reason why what was heard cannot be relied on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import soundfile

from most.data.corpora.check import DAMAGED, Limits, Record, Rejected, check
from most.data.corpora.write import PSEUDO_LABEL
from most.data.dialogue.spoken import to_spoken
from most.data.dialogue.voice.quality import judge_speech
from most.data.pseudo_label.pieces import Piece
from most.data.pseudo_label.recipe import PseudoLabelRecipe, SureSettings
from most.data.read_aloud.sentences import normal
from most.errors import MostError
from most.evaluate.judges import Heard, Judge, SureJudge, make_judge
from most.evaluate.text import NORMALIZERS
from most.speech.audio import read_audio

NOTHING_HEARD, DISAGREE, UNSURE = "nothing heard", "judges disagree", "judge unsure"


class Labeller:
    """One process's judges."""

    def __init__(self, recipe: PseudoLabelRecipe) -> None:
        self.recipe = recipe
        made = [make_judge(j.name, **j.settings) for j in recipe.judges]
        self.judge: Judge = made[0]
        self.second = made[1] if len(made) > 1 else None

    def label(self, piece: Piece) -> Record:
        """The record of a piece, with its text and marks, or with the reason why it is left out."""
        try:
            text, marks = self._hear(piece)
            item = replace(piece.item, text=text)
        except Rejected as e:
            item, marks = replace(piece.item, problem=(e.args[0], e.args[1])), {}
        # Lengths were looked at when it was opened; here a rounded bound would reject.
        limits = Limits(min_seconds=self.recipe.min_seconds / 2, max_seconds=2 * self.recipe.max_seconds)
        record = check(item, self.recipe.output, limits)
        return record if "reason" in record else record | {"meta": {PSEUDO_LABEL: self.judge.name, **marks}}

    def _hear(self, piece: Piece) -> tuple[str, dict[str, Any]]:
        recipe = self.recipe
        try:
            rate = soundfile.info(str(piece.audio.path)).samplerate
            wav = read_audio(piece.audio, rate, max_seconds=None)
        except MostError as e:
            raise Rejected(DAMAGED, e.remedy) from e
        except RuntimeError as e:  # soundfile, when a seek fails
            raise Rejected(DAMAGED, str(e)) from e
        heard, marks = self._first(wav, rate)
        if not NORMALIZERS[recipe.normalizer](heard.text):
            raise Rejected(NOTHING_HEARD, f"{self.judge.name} wrote {heard.text!r}")
        if self.second is None:
            _require_sure(heard, recipe.sure)
        else:
            verdict = judge_speech(self.second, wav, rate, heard.text, recipe.normalizer)
            assert verdict.wer is not None
            if verdict.wer > recipe.max_disagreement:
                raise Rejected(
                    DISAGREE, f"word error rate {verdict.wer:.2f}, the limit is {recipe.max_disagreement:g}; "
                    f"{self.judge.name} wrote {heard.text!r}, {self.second.name} {verdict.heard!r}",
                )  # fmt: skip
            marks = {"agrees": self.second.name, "disagreement": verdict.wer}
        return (normal(to_spoken(heard.text)) if recipe.transcript == "plain" else heard.text), marks

    def _first(self, wav: Any, rate: int) -> tuple[Heard, dict[str, Any]]:
        if self.second is None and isinstance(self.judge, SureJudge):
            heard = self.judge.hear(wav, rate)
            return heard, {"logprob": round(heard.logprob, 3)}
        return Heard(text=self.judge.transcribe(wav, rate)), {}


def _require_sure(heard: Heard, sure: SureSettings) -> None:
    for what, value, limit, ok in (
        ("mean log-probability", heard.logprob, sure.min_logprob, heard.logprob >= sure.min_logprob),
        ("probability of no speech", heard.no_speech, sure.max_no_speech, heard.no_speech <= sure.max_no_speech),
        ("compression ratio", heard.compression, sure.max_compression, heard.compression <= sure.max_compression),
    ):
        if not ok:
            raise Rejected(UNSURE, f"{what} {value:.2f}, the limit is {limit:g}; wrote {heard.text!r}")

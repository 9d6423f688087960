"""Judges: pretrained recognisers that MoST has no part in, which say what synthesised speech sounds like.

Judges err too, so their score on people saying the same stands beside every result. `table.py` names them all.
"""

from most.evaluate.judges.base import Heard, Judge, SureJudge
from most.evaluate.judges.speech import SpeechScore, score_speech
from most.evaluate.judges.sphinx import PocketSphinx, PocketSphinxDigits, fill_upper_band
from most.evaluate.judges.table import JUDGES, JudgeSettings, make_judge
from most.evaluate.judges.transformers import TransformersJudge
from most.evaluate.judges.whisper import DIGIT_CONTEXT, FasterWhisperJudge

__all__ = [
    "DIGIT_CONTEXT", "JUDGES", "FasterWhisperJudge", "Heard", "Judge", "JudgeSettings", "PocketSphinx",
    "PocketSphinxDigits", "SpeechScore", "SureJudge", "TransformersJudge", "fill_upper_band", "make_judge",
    "score_speech",
]  # fmt: skip

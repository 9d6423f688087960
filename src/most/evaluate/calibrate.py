"""How well a judge hears people: its word errors on connected digits composed from FSDD's test recordings, by speaker.

A judge is worth what it scores here; run it with `python -m most.evaluate.calibrate [judge] [setting=value ...]`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import soxr

from most.data.digits import connect
from most.data.fsdd import SOURCE_RATE, SPEAKERS, TEST_TAKES, Recordings, take_of
from most.data.prompts import DIGIT_WORDS
from most.evaluate.judges import Judge, make_judge
from most.evaluate.wer import WordErrors, word_errors


def calibrate(
    judge: Judge, *, speakers: Sequence[str] = SPEAKERS, n_utterances: int = 20, seed: int = 0
) -> dict[str, WordErrors]:
    """Word errors by speaker and, as `all`, together: `n_utterances` each of three to six digits, all equally often."""
    recordings = Recordings()
    refs: dict[str, list[str]] = {}
    hyps: dict[str, list[str]] = {}
    for speaker in speakers:
        rng = np.random.default_rng(seed)
        lengths = rng.integers(3, 7, n_utterances)
        digits = list(rng.permutation(np.arange(int(lengths.sum())) % 10))
        refs[speaker], hyps[speaker] = [], []
        for length in lengths:
            said = [int(digits.pop()) for _ in range(length)]
            parts = []
            for digit in said:
                takes = [r for r in recordings.ids(speaker, digit) if take_of(r) in TEST_TAKES]
                parts.append(recordings.wav(takes[int(rng.integers(len(takes)))]))
            wav = soxr.resample(connect(parts, rng), SOURCE_RATE, judge.sample_rate)
            refs[speaker].append(" ".join(DIGIT_WORDS[d] for d in said))
            hyps[speaker].append(judge.transcribe(wav, judge.sample_rate))
    out = {s: word_errors(refs[s], hyps[s], normalizer="digits") for s in speakers}
    every_ref, every_hyp = [r for s in speakers for r in refs[s]], [h for s in speakers for h in hyps[s]]
    out["all"] = word_errors(every_ref, every_hyp, normalizer="digits")
    return out


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "pocketsphinx-digits"
    judge = make_judge(name, **dict(a.split("=", 1) for a in sys.argv[2:]))
    print(judge.name)
    for speaker, errors in calibrate(judge).items():
        print(f"{speaker:10s} {errors}")


if __name__ == "__main__":
    main()

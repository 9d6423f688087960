"""Measure a codec: speech -> units -> speech, judged by a recogniser (WER) and by WORLD (voicing and pitch).

Every item gets a line, also one that failed; the original is judged beside the resynthesis. Judge and normaliser come
from the caller: they belong to `most.evaluate`, which lies above this layer.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from most.errors import MostError
from most.manifest import Utterance
from most.speech.audio import read_audio, resample, write_audio
from most.speech.codec import Codec
from most.speech.f0 import measure_f0

Judge = Callable[[np.ndarray], str]
"""16 kHz float32 (T,) to a transcript."""
F0_RATE_HZ = 100.0
GROSS = 0.2
"""A pitch error over 20 % is gross: an octave jump or a wrong voice, kept out of the mean in cents."""


def edits(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Levenshtein distance: substitutions + deletions + insertions."""
    row = list(range(len(hypothesis) + 1))
    for i, a in enumerate(reference, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(hypothesis, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]


def pitch_counts(real: np.ndarray, made: np.ndarray) -> dict[str, Any]:
    """Compare two F0 contours (F,) in Hz, 0 where unvoiced; counts and sums that add up over utterances."""
    n = min(len(real), len(made))
    real, made = real[:n], made[:n]
    both = (real > 0) & (made > 0)
    ratio = made[both] / real[both]
    fine = np.abs(ratio - 1) <= GROSS
    return {
        "frames": n,
        "voiced": int((real > 0).sum()),
        "voiced_both": int(both.sum()),
        "voicing_errors": int(((real > 0) != (made > 0)).sum()),
        "gross": int((~fine).sum()),
        "cents_sum": float(np.abs(1200 * np.log2(ratio[fine])).sum()),
        "log_f0": [np.log(real[both]), np.log(made[both])],
    }


def evaluate_codec(
    codec: Codec,
    utterances: Sequence[Utterance],
    out: str | os.PathLike[str],
    *,
    judge: Judge | None = None,
    normalize: Callable[[str], str] = str.lower,
    speaker: str | None = None,
    keep_audio: bool = False,
) -> dict[str, Any]:
    """Resynthesise every utterance and measure it; writes `out`/items.jsonl and `out`/summary.json.

    Args:
        judge: recogniser; None measures pitch and speed only.
        normalize: applied to transcript and reference before words are compared.
        speaker: voice to speak with; None for the default. Pitch is compared only with the same voice's recordings.
        keep_audio: also write each resynthesis as a wav.

    Returns:
        the summary: rates in percent, None where nothing could be measured.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    voice = speaker or codec.default_speaker
    items = []
    part = out / "items.jsonl.part"
    with part.open("w", encoding="utf-8") as f:
        for row in tqdm(utterances, desc="evaluate", unit="utt"):
            try:
                item, pitch = _measure(codec, row, judge, normalize, voice, out / "audio" if keep_audio else None)
            except MostError as e:
                item, pitch = {"id": row.id, "error": str(e)}, None
            items.append((item, pitch))
            f.write(json.dumps(item, ensure_ascii=False) + "\n")
            f.flush()
    os.replace(part, out / "items.jsonl")
    summary = {"codec": codec.fingerprint, "speaker": voice, **summarise(items)}
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return summary


def _measure(
    codec: Codec, row: Utterance, judge: Judge | None, normalize: Callable[[str], str], voice: str, audio: Path | None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    wav = codec.level(read_audio(row.audio, codec.sample_rate, allow_silence=False))
    began = time.perf_counter()
    units = codec.encode(wav)
    middle = time.perf_counter()
    made, rate = codec.decode(units, voice)
    end = time.perf_counter()
    made = resample(made, rate, codec.sample_rate)
    item: dict[str, Any] = {
        "id": row.id, "speaker": row.speaker, "seconds": round(len(wav) / codec.sample_rate, 3), "units": len(units),
        "encode_seconds": round(middle - began, 4), "decode_seconds": round(end - middle, 4),
    }  # fmt: skip
    if audio is not None:
        write_audio(audio / f"{Path(row.id).stem}.wav", made, codec.sample_rate)
    if judge is not None and row.text is not None:
        reference = normalize(row.text).split()
        item |= {"text": row.text, "words": len(reference)}
        for name, x in (("original", wav), ("resynthesis", made)):
            heard = judge(x)
            item |= {name: heard, f"{name}_errors": edits(reference, normalize(heard).split())}
    if row.speaker != voice:
        return item, None
    n = round(len(wav) / codec.sample_rate * F0_RATE_HZ)
    pitch = pitch_counts(*(measure_f0(x, codec.sample_rate, n, F0_RATE_HZ) for x in (wav, made)))
    return item | {k: v for k, v in pitch.items() if k != "log_f0"}, pitch


def summarise(items: Sequence[tuple[dict[str, Any], dict[str, Any] | None]]) -> dict[str, Any]:
    """Totals over items: corpus-level WER (errors over words), pitch over all frames, real-time factors."""
    good = [item for item, _ in items if "error" not in item]
    judged = [item for item in good if item.get("words")]
    pitch = [p for _, p in items if p is not None]

    def ratio(top: float, bottom: float, scale: float = 100.0) -> float | None:
        return round(scale * top / bottom, 3) if bottom else None

    words, seconds = sum(i["words"] for i in judged), sum(i["seconds"] for i in good)
    total = {
        k: sum(p[k] for p in pitch) for k in ("frames", "voiced", "voiced_both", "voicing_errors", "gross", "cents_sum")
    }
    pairs = [np.concatenate([p["log_f0"][side] for p in pitch]) if pitch else np.zeros(0) for side in (0, 1)]
    varied = len(pairs[0]) > 2 and min(pairs[0].std(), pairs[1].std()) > 0
    return {
        "items": len(items),
        "failed": len(items) - len(good),
        "judged": len(judged),
        "words": words,
        "wer_original": ratio(sum(i["original_errors"] for i in judged), words),
        "wer_resynthesis": ratio(sum(i["resynthesis_errors"] for i in judged), words),
        "seconds": round(seconds, 1),
        "rtf_encode": ratio(sum(i["encode_seconds"] for i in good), seconds, 1.0),
        "rtf_decode": ratio(sum(i["decode_seconds"] for i in good), seconds, 1.0),
        "pitch_items": len(pitch),
        "voiced_kept": ratio(total["voiced_both"], total["voiced"]),
        "voicing_error": ratio(total["voicing_errors"], total["frames"]),
        "gross_pitch_error": ratio(total["gross"], total["voiced_both"]),
        "f0_error_cents": ratio(total["cents_sum"], total["voiced_both"] - total["gross"], 1.0),
        "f0_correlation": round(float(np.corrcoef(pairs[0], pairs[1])[0, 1]), 3) if varied else None,
    }

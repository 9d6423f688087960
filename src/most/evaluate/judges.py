"""Judges: pretrained recognisers that MoST has no part in, which say what synthesised speech sounds like.

`pocketsphinx-digits` needs no weights beyond its package and knows ten words; `faster-whisper` reads any English, from
a CTranslate2 folder or hub name. Judges err too, so their score on people saying the same stands beside every result.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import soxr

from most.data.prompts import DIGIT_WORDS
from most.errors import MostError, nearest
from most.evaluate.wer import WordErrors, word_errors

DIGIT_CONTEXT = "Digits: three one four, nine zero two seven, five six eight."
_DIGIT_GRAMMAR = (
    f"#JSGF V1.0; grammar digits; public <digits> = <digit>+; <digit> = {' | '.join(DIGIT_WORDS)};"  # zero to nine
)


class Judge(Protocol):
    """A recogniser: `transcribe` takes mono float32 `(T,)` at any rate and returns what it heard, "" if nothing."""

    @property
    def name(self) -> str: ...
    @property
    def sample_rate(self) -> int: ...
    def transcribe(self, wav: np.ndarray, rate: int) -> str: ...


def _resampled(wav: np.ndarray, rate: int, to: int) -> np.ndarray:
    wav = np.asarray(wav, dtype=np.float32)
    if wav.ndim != 1:
        raise MostError("wav", wav.shape, "must be mono, of shape (T,)")
    if not np.isfinite(wav).all():
        raise MostError("wav", f"{len(wav)} samples", "holds NaN or infinite samples; the speech cannot be judged")
    return wav if rate == to else soxr.resample(wav, rate, to, quality="HQ")


def fill_upper_band(wav: np.ndarray, seed: int = 0) -> np.ndarray:
    """Telephone-band speech at 16 kHz `(T,)` with noise above 4 kHz that follows the loudness of 2.5 to 3.9 kHz.

    For recognisers that only know full-band speech: to them an s without its upper half is another sound. Speech that
    has an upper band comes back untouched.
    """
    spectrum = np.fft.rfft(wav)
    hz = np.fft.rfftfreq(len(wav), 1 / 16000)
    power = np.abs(spectrum) ** 2
    if not power.sum() or power[hz > 4200].sum() > 1e-4 * power.sum():
        return wav
    edge = np.fft.irfft(np.where((hz > 2500) & (hz < 3900), spectrum, 0), len(wav))
    loudness = np.sqrt(np.convolve(edge**2, np.full(320, 1 / 320), mode="same"))
    noise = np.fft.rfft(np.random.default_rng(seed).normal(size=len(wav)) * loudness)
    tilt = np.where(hz < 3950, 0, 10 ** (-6 * (hz - 4000) / 1000 / 20))
    return (wav + np.fft.irfft(noise * tilt, len(wav))).astype(np.float32)


# Six by people whose s is lost above 4 kHz, as on a telephone: what is left of it sounds like f, th or nothing.
_NARROW_SIX = ("F IH K F", "TH IH K TH", "F IH K", "TH IH K", "S IH K", "IH K")


class PocketSphinxDigits:
    """CMU PocketSphinx with the US English model of its package and a grammar of zero to nine, repeated.

    Settings that differ from its own defaults were tuned on training recordings and clean synthetic voices, never on a
    model's speech; `CALIBRATION.md` beside this file holds the figures. Every input is given one level, quiet edges and
    a noise floor.
    """

    name = "pocketsphinx-digits"
    sample_rate = 16000
    level_dbfs = -23.0
    noise_dbfs = -50.0
    pad_seconds = 0.3
    settings: dict[str, Any] = {"lw": 1.0, "silprob": 0.3, "wip": 1e-3}  # noqa: RUF012  the decoder's keyword arguments, shared on purpose

    def __init__(self) -> None:
        try:
            from pocketsphinx import Config, Decoder
        except ImportError as e:
            raise MostError("judge", self.name, "install the extra: pip install 'most-speech[eval]'") from e
        self._decoder = Decoder(Config(lm=None, loglevel="FATAL", **self.settings))
        for k, phones in enumerate(_NARROW_SIX):
            self._decoder.add_word(f"six({k + 2})", phones, False)
        self._decoder.add_jsgf_string("digits", _DIGIT_GRAMMAR)
        self._decoder.activate_search("digits")

    def transcribe(self, wav: np.ndarray, rate: int) -> str:
        wav = _resampled(wav, rate, self.sample_rate)
        frames = wav[: len(wav) // 160 * 160].reshape(-1, 160)
        rms = np.sqrt(np.mean(frames**2, axis=1))
        if not len(rms) or rms.max() < 1e-5:
            return ""
        wav = fill_upper_band(wav) * (10 ** (self.level_dbfs / 20) / np.sqrt(np.mean(rms[rms > 0.1 * rms.max()] ** 2)))
        wav = np.pad(wav, round(self.pad_seconds * self.sample_rate))
        wav = wav + np.random.default_rng(0).normal(0, 10 ** (self.noise_dbfs / 20), len(wav))
        self._decoder.start_utt()
        self._decoder.process_raw((np.clip(wav, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
        self._decoder.end_utt()
        heard = self._decoder.hyp()
        return heard.hypstr if heard else ""


class FasterWhisperJudge:
    """Whisper through faster-whisper, greedy, int8 on a CPU.

    Args:
        model: a folder in CTranslate2 format, or a name that the hub knows (`base.en`, `large-v3`).
        context: words put before the transcript, as if just said; `DIGIT_CONTEXT` keeps it to digit words.
        language: what is spoken.
        threads: CPU threads.
    """

    sample_rate = 16000

    def __init__(
        self, model: str | os.PathLike[str], *, context: str | None = None, language: str = "en", threads: int = 1
    ) -> None:
        try:
            from faster_whisper import WhisperModel
        except ImportError as e:
            raise MostError("judge", "faster-whisper", "install the extra: pip install 'most-speech[eval]'") from e
        try:
            self._model = WhisperModel(os.fspath(model), device="cpu", compute_type="int8", cpu_threads=threads)
        except Exception as e:
            raise MostError("judge.model", model, f"could not be loaded as a CTranslate2 Whisper ({e})") from e
        self._context, self._language = context, language
        self.name = f"faster-whisper:{os.path.basename(os.path.normpath(model))}"

    def transcribe(self, wav: np.ndarray, rate: int) -> str:
        wav = _resampled(wav, rate, self.sample_rate)
        if not len(wav) or np.abs(wav).max() < 1e-5:
            return ""
        segments, _ = self._model.transcribe(
            wav, language=self._language, beam_size=1, temperature=0.0, condition_on_previous_text=False,
            without_timestamps=True, initial_prompt=self._context,
            max_new_tokens=20 + round(8 * len(wav) / self.sample_rate),  # bounds the loops that Whisper falls into
        )  # fmt: skip
        return " ".join(s.text.strip() for s in segments)


JUDGES: dict[str, Callable[..., Judge]] = {
    "pocketsphinx-digits": PocketSphinxDigits,
    "faster-whisper": FasterWhisperJudge,
}


def make_judge(name: str, **settings: Any) -> Judge:
    """The judge of that name from the table `JUDGES`.

    Raises:
        MostError: an unknown name or setting, or the extra `eval` is missing.
    """
    if name not in JUDGES:
        raise MostError("judge", name, nearest(str(name), JUDGES))
    try:
        return JUDGES[name](**settings)
    except TypeError as e:
        raise MostError(f"judge.{name}", settings, f"settings do not fit ({e})") from e


@dataclass(frozen=True, kw_only=True)
class SpeechScore:
    """How a judge heard synthesised speech, and how it heard people (or any reference audio) saying the same."""

    judge: str
    speech: WordErrors
    hypotheses: tuple[str, ...]
    originals: WordErrors | None = None
    original_hypotheses: tuple[str, ...] = ()


def score_speech(
    judge: Judge,
    wavs: Sequence[np.ndarray | None],
    refs: Sequence[str],
    originals: Sequence[np.ndarray] | None = None,
    *,
    rate: int = 16000,
    originals_rate: int = 16000,
    normalizer: str = "english",
) -> SpeechScore:
    """Word errors of speech as a judge hears it: mono float `(T,)` at `rate` against the texts it should say.

    `None` or an empty array is speech that was never made: all its words count as deleted. `originals` are recordings
    of the same texts; a few suffice where judging is slow (any length up to that of `refs`, in the same order).

    Raises:
        MostError: counts that do not fit, or audio that is not mono and finite.
    """
    if len(wavs) != len(refs):
        raise MostError("wavs", f"{len(wavs)} for {len(refs)} texts", "give one waveform (or None) a text")
    if originals is not None and not 0 < len(originals) <= len(refs):
        raise MostError("originals", f"{len(originals)} for {len(refs)} texts", "give between one and as many as texts")
    heard = tuple(judge.transcribe(w, rate) if w is not None and len(w) else "" for w in wavs)
    heard_originals = tuple(judge.transcribe(w, originals_rate) for w in originals or ())
    return SpeechScore(
        judge=judge.name,
        speech=word_errors(refs, heard, normalizer=normalizer),
        hypotheses=heard,
        originals=word_errors(refs[: len(heard_originals)], heard_originals, normalizer=normalizer)
        if heard_originals
        else None,
        original_hypotheses=heard_originals,
    )

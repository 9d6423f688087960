"""CMU PocketSphinx: judges that share neither architecture nor training data with anything else here.

Both come whole with their package. `pocketsphinx` knows any English, badly; `pocketsphinx-digits` ten words, well.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from most.data.prompts import DIGIT_WORDS
from most.errors import MostError
from most.evaluate.judges.base import at_rate

_DIGIT_GRAMMAR = (
    f"#JSGF V1.0; grammar digits; public <digits> = <digit>+; <digit> = {' | '.join(DIGIT_WORDS)};"  # zero to nine
)
# Six by people whose s is lost above 4 kHz, as on a telephone: what is left of it sounds like f, th or nothing.
_NARROW_SIX = ("F IH K F", "TH IH K TH", "F IH K", "TH IH K", "S IH K", "IH K")


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


class PocketSphinx:
    """CMU PocketSphinx with the acoustic model, dictionary and trigram model of US English that its package brings.

    Every input is given one level, quiet edges and a noise floor.
    """

    name = "pocketsphinx"
    sample_rate = 16000
    level_dbfs = -23.0
    noise_dbfs = -60.0
    pad_seconds = 0.3
    settings: dict[str, Any] = {}  # noqa: RUF012  the decoder's keyword arguments, shared on purpose

    def __init__(self) -> None:
        try:
            from pocketsphinx import Config, Decoder
        except ImportError as e:
            raise MostError("judge", self.name, "install the extra: pip install 'most-speech[eval]'") from e
        self._decoder = Decoder(Config(loglevel="FATAL", **self.settings))

    def transcribe(self, wav: np.ndarray, rate: int) -> str:
        wav = at_rate(wav, rate, self.sample_rate)
        frames = wav[: len(wav) // 160 * 160].reshape(-1, 160)
        rms = np.sqrt(np.mean(frames**2, axis=1))
        if not len(rms) or rms.max() < 1e-5:
            return ""
        wav = fill_upper_band(wav) * (10 ** (self.level_dbfs / 20) / np.sqrt(np.mean(rms[rms > 0.1 * rms.max()] ** 2)))
        wav = np.pad(wav, round(self.pad_seconds * self.sample_rate))
        wav = wav + np.random.default_rng(0).normal(0, 10 ** (self.noise_dbfs / 20), len(wav))
        # Forgets the noise and the means that it learned from the last utterance: else the order of items would count.
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw((np.clip(wav, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
        self._decoder.end_utt()
        heard = self._decoder.hyp()
        return heard.hypstr if heard else ""


class PocketSphinxDigits(PocketSphinx):
    """The same acoustic model with a grammar of zero to nine, repeated.

    Settings that differ from its own defaults were tuned on training recordings and clean synthetic voices, never on a
    model's speech; `CALIBRATION.md` in the folder above holds the figures.
    """

    name = "pocketsphinx-digits"
    noise_dbfs = -50.0
    settings: dict[str, Any] = {"lm": None, "lw": 1.0, "silprob": 0.3, "wip": 1e-3}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        for k, phones in enumerate(_NARROW_SIX):
            self._decoder.add_word(f"six({k + 2})", phones, False)
        self._decoder.add_jsgf_string("digits", _DIGIT_GRAMMAR)
        self._decoder.activate_search("digits")

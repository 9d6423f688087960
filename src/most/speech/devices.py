"""Microphone and loudspeaker, through PortAudio (`sounddevice`, the extra `mic`); only a talk at a terminal needs them.

What records and plays is written for a person who is there: both end at once when asked to.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import soxr

from most.errors import MostError
from most.speech.audio import resample

SAMPLE_RATE = 16000
_FRAME_SECONDS = 0.03
_SPEECH_SECONDS = 0.15
"""Of voice, after which a pause means the end."""
_BLOCK_SECONDS = 0.05
_INSTALL = "install the extra: pip install 'most-speech[mic]'"


class EndOfSpeech:
    """Says when somebody has spoken and is silent again, by the voice detector of WebRTC that pocketsphinx brings.

    Args:
        pause_seconds: of silence behind speech that end a turn.
    """

    def __init__(self, pause_seconds: float = 1.0) -> None:
        try:
            from pocketsphinx import Vad
        except ImportError as e:
            raise MostError("pocketsphinx", "not installed", _INSTALL) from e
        self._vad = Vad(Vad.STRICT, SAMPLE_RATE, _FRAME_SECONDS)
        self._pause_frames = round(pause_seconds / self._vad.frame_length)
        self._spoken = self._silent = 0

    @property
    def frame_samples(self) -> int:
        return self._vad.frame_bytes // 2

    def __call__(self, frame: np.ndarray) -> bool:
        """Whether speech has ended with this frame, int16 (frame_samples,) at 16 kHz."""
        if self._vad.is_speech(frame.tobytes()):
            self._spoken, self._silent = self._spoken + 1, 0
        else:
            self._silent += 1
        return self._spoken * self._vad.frame_length >= _SPEECH_SECONDS and self._silent >= self._pause_frames


def record(max_seconds: float, stop: Callable[[], bool], pause_seconds: float = 1.0) -> np.ndarray:
    """Speech from the microphone, float32 (T,) at 16 kHz: until a pause, `stop()` or `max_seconds`.

    Raises:
        MostError: no sounddevice, no PortAudio, no microphone, or one that cannot be opened.
    """
    if not max_seconds > 0:
        raise MostError("seconds", max_seconds, "must be > 0")
    ended = EndOfSpeech(pause_seconds)
    sound = _sounddevice()
    rate = _rate(sound, "input", SAMPLE_RATE)
    frames: list[np.ndarray] = []
    n_frame = round(ended.frame_samples * rate / SAMPLE_RATE)
    with (
        _explained(sound, "microphone"),
        sound.InputStream(samplerate=rate, channels=1, dtype="float32", blocksize=n_frame) as stream,
    ):
        while len(frames) * n_frame < max_seconds * rate:
            frames.append(stream.read(n_frame)[0][:, 0].copy())
            narrow = np.resize(resample(frames[-1], rate, SAMPLE_RATE), ended.frame_samples)
            if ended((narrow.clip(-1, 1) * 32767).astype(np.int16)) or stop():
                break
    return resample(np.concatenate(frames), rate, SAMPLE_RATE)


class Player:
    """Plays what comes while more is made: a context, which ends when all is heard, or at once by an exception.

    Raises:
        MostError: no sounddevice, no PortAudio, no loudspeaker, or one that cannot be opened.
    """

    def __init__(self, sample_rate: int) -> None:
        self._sound = _sounddevice()
        self._rate = _rate(self._sound, "output", sample_rate)
        self._resample = soxr.ResampleStream(sample_rate, self._rate, 1, dtype="float32")
        self._waiting: queue.SimpleQueue[np.ndarray | None] = queue.SimpleQueue()
        self._stopped, self._error = threading.Event(), list[BaseException]()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._n_written = self._n_unheard = 0

    @property
    def heard_seconds(self) -> float:
        """Of all that came, what left the loudspeaker before the context ended."""
        return max(0, self._n_written - self._n_unheard) / self._rate

    def play(self, wav: np.ndarray) -> None:
        """Play (T,) float32 behind what came before; returns at once."""
        self._put(self._resample.resample_chunk(wav.astype(np.float32, copy=False)))

    def __enter__(self) -> Player:
        with _explained(self._sound, "loudspeaker"):
            self._stream = self._sound.OutputStream(samplerate=self._rate, channels=1, dtype="float32")
            self._stream.start()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        whole = False
        try:
            if kind is None:
                self._put(self._resample.resample_chunk(np.zeros(0, np.float32), last=True))
                self._waiting.put(None)
                while self._thread.is_alive():  # waits that a Ctrl-C ends, on every system
                    self._thread.join(_BLOCK_SECONDS)
                self._stream.stop()  # which waits for what is still to be heard
                whole = True
        finally:
            if not whole:
                self._n_unheard = round(self._stream.latency * self._rate)
                self._stopped.set()
                self._waiting.put(None)
                self._thread.join()
                self._stream.abort()
            self._stream.close()
        with _explained(self._sound, "loudspeaker"):
            for error in self._error:
                raise error

    def _put(self, wav: np.ndarray) -> None:
        block = max(1, round(_BLOCK_SECONDS * self._rate))
        for at in range(0, len(wav), block):
            self._waiting.put(wav[at : at + block, None])

    def _run(self) -> None:
        try:
            while (block := self._waiting.get()) is not None and not self._stopped.is_set():
                self._stream.write(block)
                self._n_written += len(block)
        except Exception as e:  # of PortAudio; told where the context ends
            self._error.append(e)


def require_devices(*kinds: str) -> None:
    """Refuse now rather than in the middle of a talk. `kinds`: "input", "output".

    Raises:
        MostError: as `record` and `Player`.
    """
    sound = _sounddevice()
    for kind in kinds:
        _rate(sound, kind, SAMPLE_RATE)


def _sounddevice() -> ModuleType:
    try:
        import sounddevice
    except ImportError as e:
        raise MostError("sounddevice", "not installed", _INSTALL) from e
    except OSError as e:  # its wheels bring PortAudio for macOS and Windows alone
        remedy = "install it: apt install libportaudio2, dnf install portaudio, or brew install portaudio"
        raise MostError("PortAudio", "not found", remedy) from e
    return sounddevice


def _rate(sound: Any, kind: str, wanted: int) -> int:
    """The rate to open the default device at: the wanted one where it takes it, else its own."""
    name = {"input": "microphone", "output": "loudspeaker"}[kind]
    with _explained(sound, name):
        device = sound.query_devices(kind=kind)
    check = sound.check_input_settings if kind == "input" else sound.check_output_settings
    try:
        check(channels=1, dtype="float32", samplerate=wanted)
    except sound.PortAudioError:
        return round(device["default_samplerate"])
    return wanted


@contextmanager
def _explained(sound: Any, name: str) -> Iterator[None]:
    try:
        yield
    except (sound.PortAudioError, ValueError) as e:
        raise MostError(name, str(e), "connect one, or choose the system's default device") from e

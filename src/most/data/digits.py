"""Connected digits spoken by real people, composed from the Free Spoken Digit Dataset (FSDD) in the package's assets.

Makes the demo's corpus: five speakers to learn from, one never heard, and test sets that share neither recordings nor
texts with training. The same arguments give the same bytes. Recordings: CC BY-SA 4.0, see `assets/fsdd/SOURCE.md`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import soxr
from numpy.random import Generator

from most.data.fsdd import ASSETS, LICENCE, SOURCE_RATE, SPEAKERS, SPEECH_LEVEL, TEST_TAKES, Recordings, take_of
from most.data.prompts import DIGIT_WORDS, number_sentence, prompt
from most.errors import MostError, nearest
from most.manifest import AudioRef, Example, Turn, Utterance, write_jsonl

SAMPLE_RATE = 16000
POOL_OF = {"tts": "train", "said": "heard"}
"""Sets that draw from the recordings of another."""
_FLOOR = 10 ** (-65 / 20)


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Light changes to training recordings, each drawn evenly from a range, to prepare for speakers never heard.

    Args:
        share: part of the training utterances that is changed; those serve ASR only, speech is learnt from clean ones.
        speed: factors; pitch and formants move along, as with a tape.
        gain_db: decibels against the clean level.
        snr_db: signal-to-noise ratio of the noise added, whose colour is drawn between white and pink.
    """

    share: float = 0.5
    speed: tuple[float, float] = (0.9, 1.1)
    gain_db: tuple[float, float] = (-6.0, 3.0)
    snr_db: tuple[float, float] = (12.0, 35.0)

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise MostError("augment.share", self.share, "must lie between 0 and 1")
        for name in ("speed", "gain_db", "snr_db"):
            low, high = getattr(self, name)
            if low > high or (name == "speed" and not 0.5 <= low <= high <= 2):
                raise MostError(f"augment.{name}", (low, high), "must be (low, high); speeds lie between 0.5 and 2")


@dataclass(frozen=True, kw_only=True)
class DigitsCorpus:
    """Where `build_digits` put things; every path is a manifest."""

    folder: Path
    utterances: Path
    """Clean training utterances of the learnt speakers: what units and vocoder are trained on."""
    train: Path
    """Training examples, tasks asr, tts and text."""
    test_asr_unheard: Path
    test_asr_heard: Path
    test_tts: Path
    """TTS examples on texts never trained on; the assistant's audio is a person saying it, for reference."""
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Spoken:
    utterance: Utterance
    recordings: tuple[str, ...]
    augmented: bool


def connect(parts: list[np.ndarray], rng: Generator, gap_seconds: tuple[float, float] = (0.05, 0.25)) -> np.ndarray:
    """Join digits `(T,)` at 8 kHz with pauses drawn from `gap_seconds`, 0.1 s of quiet at both ends and a faint noise
    floor at -65 dBFS (no digital silence); levels differ by a decibel or so, as they do in speech. Returns float32."""
    out = [np.zeros(SOURCE_RATE // 10, dtype=np.float32)]
    for k, part in enumerate(parts):
        if k:
            out.append(np.zeros(round(rng.uniform(*gap_seconds) * SOURCE_RATE), dtype=np.float32))
        out.append(part * np.float32(10 ** (rng.normal(0, 1.0) / 20)))
    wav = np.concatenate([*out, out[0]])
    return wav + rng.normal(0, _FLOOR, len(wav)).astype(np.float32)


def augment_wav(wav: np.ndarray, how: Augment, rng: Generator) -> tuple[np.ndarray, float]:
    """Add noise and gain to `(T,)`; returns it with the speed at which it is to be resampled."""
    spectrum = np.fft.rfft(rng.normal(size=len(wav)))
    spectrum /= np.maximum(np.arange(len(spectrum)), 1) ** (rng.uniform(0, 1) / 2)
    noise = np.fft.irfft(spectrum, n=len(wav))
    noise *= SPEECH_LEVEL * 10 ** (-rng.uniform(*how.snr_db) / 20) / np.sqrt(np.mean(noise**2))
    gain = 10 ** (rng.uniform(*how.gain_db) / 20)
    return ((wav + noise) * gain).astype(np.float32), float(rng.uniform(*how.speed))


def _to_output(wav: np.ndarray, speed: float = 1.0) -> np.ndarray:
    out = soxr.resample(wav, SOURCE_RATE * speed, SAMPLE_RATE, quality="HQ")
    return out * min(1.0, 0.95 / max(float(np.abs(out).max()), 1e-6))


def _sequences(n: int, lengths: tuple[int, int], rng: Generator, taken: set[str], unique: bool) -> Iterator[list[int]]:
    """`n` digit sequences with every digit equally often (drawn from bags), none of which is a text in `taken`."""
    bag: list[int] = []
    for _ in range(n):
        length = int(rng.integers(lengths[0], lengths[1] + 1))
        for attempt in range(300):
            if len(bag) < length or attempt == 100:  # what is left may spell only texts that are taken
                bag += list(range(10)) * 10
                rng.shuffle(bag)
            elif attempt:
                rng.shuffle(bag)
            digits = bag[-length:]
            if _text(digits) not in taken:
                break
        else:
            raise MostError(
                "n_test", n, f"there are not enough different texts of {lengths} digits; ask for fewer or longer"
            )
        del bag[-length:]
        if unique:
            taken.add(_text(digits))
        yield digits


def _text(digits: list[int]) -> str:
    return " ".join(DIGIT_WORDS[d] for d in digits)


def _speak(
    name: str, sequences: list[list[int]], pools: dict[tuple[str, int], list[str]], speakers: list[str],
    recordings: Recordings, folder: Path, rng: Generator, augment: Augment | None,
) -> list[_Spoken]:  # fmt: skip
    """Speak each sequence with one speaker in turn; every recording of a pool is used once before any is used again."""
    queues: dict[tuple[str, int], list[str]] = {}
    (folder / "audio" / name).mkdir(parents=True)
    spoken = []
    for k, digits in enumerate(sequences):
        speaker = speakers[k % len(speakers)]
        takes = []
        for digit in digits:
            queue = queues.setdefault((speaker, digit), [])
            if not queue:
                queue += [pools[speaker, digit][i] for i in rng.permutation(len(pools[speaker, digit]))]
            takes.append(queue.pop())
        wav, speed = connect([recordings.wav(t) for t in takes], rng), 1.0
        augmented = augment is not None and bool(rng.random() < augment.share)
        if augmented and augment is not None:
            wav, speed = augment_wav(wav, augment, rng)
        path = folder / "audio" / name / f"{k:05d}-{speaker}.flac"
        sf.write(path, _to_output(wav, speed), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        row = Utterance(id=f"{name}-{k:05d}", audio=AudioRef(path=path), speaker=speaker, text=_text(digits))
        spoken.append(_Spoken(utterance=row, recordings=tuple(takes), augmented=augmented))
    return spoken


def _example(task: str, said: _Spoken, rng: Generator | None) -> Example:
    u = said.utterance
    text = u.text or ""
    meta: dict[str, Any] = {"recordings": list(said.recordings)} | ({"augmented": True} if said.augmented else {})
    if task == "asr":
        ask = Turn(role="user", text=prompt("asr", rng=rng), audio=u.audio, speaker=u.speaker)
        turns, kind = (ask, Turn(role="assistant", text=text)), "asr"
    else:
        ask = Turn(role="user", text=prompt("tts", text, rng))
        turns, kind = (ask, Turn(role="assistant", audio=u.audio, speaker=u.speaker)), "tts"
        meta["text"] = text
    return Example(id=f"{kind}-{u.id}", task=kind, turns=turns, source="fsdd", licence=LICENCE, meta=meta)


def build_digits(
    out_dir: str | os.PathLike[str],
    *,
    n_train: int = 3000,
    n_test: int = 200,
    n_text: int = 1000,
    n_tts: int = 0,
    held_out_speaker: str = "lucas",
    seed: int = 0,
    digits_per_utterance: tuple[int, int] = (3, 6),
    augment: Augment | None = None,
    varied_prompts: bool = True,
    tts_speakers: tuple[str, ...] | None = None,
) -> DigitsCorpus:
    """Compose the corpus into `out_dir`: FLAC files (16 kHz, 16 bit) under `audio/`, manifests beside it.

    Training utterances come from five speakers, a fifth each; digits and recordings are used equally often. Each
    becomes an ASR example, each clean one also the TTS example turned round. Test texts occur nowhere in the training
    speech; test recordings are FSDD's test set (heard speakers) or those of the held-out speaker, of whom training
    holds nothing. A folder that holds the result of these same arguments is left as it is.

    Args:
        n_train: utterances to train on.
        n_test: utterances of each test set: unheard speaker, heard speakers, and what is to be said by `tts_speakers`
            (without them, what the heard speakers say).
        n_text: documents of three plain sentences about numbers.
        n_tts: further clean utterances of `tts_speakers`, for TTS alone: what to say next is learnt from many texts.
        digits_per_utterance: fewest and most digits of an utterance.
        augment: how to vary training recordings; `None` keeps them clean.
        varied_prompts: draw instruction wordings from the whole table in training; tests use the canonical one.
        tts_speakers: learnt speakers whose utterances become TTS examples, tests included; `None` for all five.

    Raises:
        MostError: an unknown speaker, impossible counts, or a folder that holds something else.
    """
    out = Path(out_dir)
    if held_out_speaker not in SPEAKERS:
        raise MostError("held_out_speaker", held_out_speaker, nearest(str(held_out_speaker), SPEAKERS))
    learnt = [s for s in SPEAKERS if s != held_out_speaker]
    for speaker in tts_speakers or ():
        if speaker not in learnt:
            raise MostError(
                "tts_speakers", speaker, f"is not a speaker that is learnt; {nearest(str(speaker), learnt)}"
            )
    for name, count in (("n_train", n_train), ("n_test", n_test), ("n_text", n_text), ("n_tts", n_tts)):
        if count < (0 if name in ("n_text", "n_tts") else 1):
            raise MostError(name, count, "must be positive (n_text and n_tts may be 0)")
    if not 1 <= digits_per_utterance[0] <= digits_per_utterance[1] <= 10:
        raise MostError("digits_per_utterance", digits_per_utterance, "must be (fewest, most) between 1 and 10")
    settings = {
        "format": 3, "n_train": n_train, "n_test": n_test, "n_text": n_text, "n_tts": n_tts,
        "held_out_speaker": held_out_speaker, "seed": seed, "digits_per_utterance": list(digits_per_utterance),
        "augment": json.loads(json.dumps(asdict(augment))) if augment else None,
        "varied_prompts": varied_prompts, "tts_speakers": list(tts_speakers) if tts_speakers else None,
    }  # fmt: skip
    corpus = DigitsCorpus(
        folder=out, utterances=out / "utterances.jsonl", train=out / "train.jsonl",
        test_asr_unheard=out / "test_asr_unheard.jsonl", test_asr_heard=out / "test_asr_heard.jsonl",
        test_tts=out / "test_tts.jsonl",
    )  # fmt: skip
    done = _marker(out)
    if done is not None and done.get("settings") == settings and done.get("counts"):
        corpus.counts.update(done["counts"])
        return corpus
    shutil.rmtree(out / "audio", ignore_errors=True)
    _write_marker(out, {"settings": settings})

    recordings = Recordings()
    pools: dict[str, dict[tuple[str, int], list[str]]] = {"train": {}, "heard": {}, "unheard": {}}
    for digit in range(10):
        pools["unheard"][held_out_speaker, digit] = recordings.ids(held_out_speaker, digit)
        for speaker in learnt:
            ids = recordings.ids(speaker, digit)
            pools["train"][speaker, digit] = [i for i in ids if take_of(i) not in TEST_TAKES]
            pools["heard"][speaker, digit] = [i for i in ids if take_of(i) in TEST_TAKES]

    # A stream of random numbers for each part: asking for more training data leaves the test sets as they are.
    streams = {
        name: np.random.default_rng([seed, k])
        for k, name in enumerate(("unheard", "heard", "train", "text", "tts", "said"))
    }
    taken: set[str] = set()
    spoken: dict[str, list[_Spoken]] = {}
    voices = tts_speakers or tuple(learnt)
    for name, speakers, count in (
        ("unheard", [held_out_speaker], n_test), ("heard", learnt, n_test),
        ("said", list(voices), n_test if tts_speakers else 0),
        ("train", learnt, n_train), ("tts", list(voices), n_tts),
    ):  # fmt: skip
        rng, test = streams[name], name in ("unheard", "heard", "said")
        sequences = list(_sequences(count, digits_per_utterance, rng, taken, unique=test))
        spoken[name] = _speak(
            f"test_{name}" if test else name, sequences, pools[POOL_OF.get(name, name)], speakers, recordings, out,
            rng, augment if name == "train" else None,
        )  # fmt: skip

    rng = streams["text"]
    wording = rng if varied_prompts else None
    examples = [_example("asr", s, wording) for s in spoken["train"]]
    examples += [
        _example("tts", s, wording) for s in spoken["train"] if not s.augmented and s.utterance.speaker in voices
    ]
    examples += [_example("tts", s, wording) for s in spoken["tts"]]
    for k in range(n_text):
        turn = Turn(role="document", text=". ".join(number_sentence(rng) for _ in range(3)) + ".")
        examples.append(Example(id=f"text-{k:05d}", task="text", turns=(turn,), source="numbers", licence="Apache-2.0"))
    clean = [s.utterance for s in spoken["train"] if not s.augmented]
    corpus.counts.update({task: sum(e.task == task for e in examples) for task in ("asr", "tts", "text")})
    corpus.counts["utterances"] = write_jsonl(corpus.utterances, clean)
    corpus.counts["train"] = write_jsonl(corpus.train, examples)
    for path, task, said in (
        (corpus.test_asr_unheard, "asr", spoken["unheard"]),
        (corpus.test_asr_heard, "asr", spoken["heard"]),
        (corpus.test_tts, "tts", spoken["said"] or spoken["heard"]),
    ):
        corpus.counts[path.stem] = write_jsonl(path, [_example(task, s, None) for s in said])
    for name in ("SOURCE.md", "LICENSE"):
        shutil.copyfile(ASSETS / name, out / name)
    _write_marker(out, {"settings": settings, "counts": corpus.counts})
    return corpus


def _marker(out: Path) -> dict | None:
    """What `build.json` says of an earlier build; None in an empty or absent folder."""
    path = out / "build.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise MostError("out_dir", out, "holds files that are not this corpus; give an empty or a new folder")
    return None


def _write_marker(out: Path, content: dict) -> None:
    out.mkdir(parents=True, exist_ok=True)
    part = out / "build.json.part"
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(part, out / "build.json")

"""Instruction wordings, in one table: how a user asks for a transcript or for speech, and plain sentences of numbers.

The first wording of each task is the canonical one: evaluation uses it alone, training may use them all.
"""

from __future__ import annotations

from numpy.random import Generator

from most.errors import MostError, nearest

DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

ASR_PROMPTS = (
    "Transcribe the speech.",
    "What is said here?",
    "Write down what you hear.",
    "Turn this recording into text.",
)
TTS_PROMPTS = (
    "Say: {text}",
    "Read aloud: {text}",
    "Speak these words: {text}",
    "Turn this text into speech: {text}",
)
TTS_AS_PROMPTS = (
    "Say as {voice}: {text}",
    "Read aloud as {voice}: {text}",
)
PROMPTS = {"asr": ASR_PROMPTS, "tts": TTS_PROMPTS}


def prompt(task: str, text: str = "", rng: Generator | None = None, voice: str = "") -> str:
    """The instruction of an `asr` or `tts` example; `text` is what is to be spoken, by a voice where one is named.

    Without `rng` the canonical wording, with it one drawn evenly from the table.

    Raises:
        MostError: a task that has no wordings.
    """
    if task not in PROMPTS:
        raise MostError("task", task, f"has no instruction wordings; {nearest(task, PROMPTS)}")
    wordings = TTS_AS_PROMPTS if task == "tts" and voice else PROMPTS[task]
    wording = wordings[0] if rng is None else wordings[int(rng.integers(len(wordings)))]
    return wording.replace("{voice}", voice).replace("{text}", text)


def number_sentence(rng: Generator) -> str:
    """One true, lower-case sentence about the digits: counting, neighbours, order, sums and differences below ten."""
    w = DIGIT_WORDS
    a, b = sorted(int(d) for d in rng.choice(10, size=2, replace=False))
    sentences = (
        " ".join(w[a : b + 1]),
        " ".join(w[a : b + 1][::-1]),
        f"after {w[a]} comes {w[a + 1]}",
        f"before {w[b]} comes {w[b - 1]}",
        f"{w[a]} is smaller than {w[b]}",
        f"{w[b]} is larger than {w[a]}",
        f"{w[b - a]} and {w[a]} make {w[b]}",
        f"{w[b]} take away {w[a]} leaves {w[b - a]}",
        f"count from {w[a]} to {w[b]}: {' '.join(w[a : b + 1])}",
        f"between {w[a]} and {w[b]} lies {' '.join(w[a + 1 : b]) or 'nothing'}",
    )
    return sentences[int(rng.integers(len(sentences)))]

"""Meeting the shipped model: it transcribes recordings, speaks a sentence and answers spoken questions aloud.

Nothing is trained here. The recordings are by people and voices that its training never heard; `samples.json` beside
them says what is said, who says it and under which licence.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from most.demo.routing import Routing, routing_of
from most.evaluate.wer import word_errors
from most.generate.engine import Engine, Reply, Speech
from most.report.figures import spectrograms
from most.report.page import Clip, Clips, Report, Section, Table, Text, write_report
from most.sequence import Message, Units
from most.speech.audio import read_audio, write_audio

SAMPLES = Path(__file__).resolve().parent.parent / "assets" / "samples"
SENTENCE = "Good morning. I can listen, speak and answer simple questions."


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A recording in the package: what is said in it, by whom, and what it is for."""

    file: Path
    kind: Literal["transcribe", "question"]
    text: str
    who: str
    licence: str


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """What the model wrote, said and answered."""

    transcripts: Sequence[tuple[Sample, str]]
    spoken: Speech
    answers: Sequence[tuple[Sample, Reply]]
    routing: Routing
    seconds: float


def read_samples(folder: Path = SAMPLES) -> list[Sample]:
    """The recordings that `samples.json` names."""
    rows = json.loads((folder / "samples.json").read_text(encoding="utf-8"))
    return [Sample(**{**row, "file": folder / row["file"]}) for row in rows]


def meet(engine: Engine, out: Path, *, samples: Sequence[Sample], echo: Callable[[str], Any] = print) -> Meeting:
    """Let the model show what it can; writes its speech and `meet.html` into `out`."""
    start = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    echo("It listens, to recordings by people that it never heard:")
    heard = [s for s in samples if s.kind == "transcribe"]
    transcripts = list(zip(heard, engine.transcribe([s.file for s in heard]), strict=True))
    for sample, text in transcripts:
        echo(f"  said:   {sample.text}\n  writes: {text}")
    echo("It speaks:")
    (spoken,) = engine.speak([SENTENCE])
    _keep(out / "sentence.wav", spoken)
    echo(f"  {SENTENCE}\n  -> {out / 'sentence.wav'}")
    echo("It answers, asked aloud by voices that it never heard:")
    asked = [s for s in samples if s.kind == "question"]
    replies = engine.reply([[_heard(s)] for s in asked])
    answers = list(zip(asked, replies, strict=True))
    for k, (sample, reply) in enumerate(answers, 1):
        _keep(out / f"answer-{k}.wav", reply.speech)
        echo(f"  asked:   {sample.text}\n  answers: {reply.text}\n  -> {out / f'answer-{k}.wav'}")
    meeting = Meeting(
        transcripts=transcripts, spoken=spoken, answers=answers, routing=_routing(engine, answers),
        seconds=time.perf_counter() - start,
    )  # fmt: skip
    write_report(out / "meet.html", _page(meeting))
    echo(f"All of it to hear and see, and which experts did it: {out / 'meet.html'}  ({meeting.seconds:.0f} s)")
    return meeting


def _heard(sample: Sample) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "audio", "audio": sample.file}]}


def _keep(path: Path, speech: Speech) -> None:
    if len(speech.waveform):
        write_audio(path, speech.waveform, speech.sample_rate)


def _routing(engine: Engine, answers: Sequence[tuple[Sample, Reply]]) -> Routing:
    """Over question, written answer and spoken answer, one dialogue at a time."""
    processor = engine.processor

    def batches() -> Any:
        for sample, reply in answers:
            said = tuple(p for p in (reply.text, _units(reply.speech)) if p)
            if said:
                yield processor.collate(
                    [processor.builder.dialogue([*processor.messages([_heard(sample)]), Message("assistant", said)])]
                )

    return routing_of(engine, batches())


def _units(speech: Speech) -> Units | None:
    return Units(speech.units) if len(speech.units) else None


def _page(meeting: Meeting) -> Report:
    heard = [_clip(s, {"said": s.text, "transcript": t}) for s, t in meeting.transcripts]
    asked, pictures = [], []
    for sample, reply in meeting.answers:
        asked.append(_clip(sample, {"asked": sample.text}))
        if len(reply.speech.waveform):
            asked.append(_own(reply.speech, {"answered": reply.text}))
            pictures = pictures or [
                (f"asked: {sample.text}", read_audio(sample.file), 16000),
                (f"answered: {reply.text}", reply.speech.waveform, reply.speech.sample_rate),
            ]
    rows = [(s.who, _wer(s.text, t), s.text, t) for s, t in meeting.transcripts]
    sections = [
        Section(
            title="It listens",
            pieces=[Clips(clips=heard), Table(columns=["who", "WER", "said", "transcript"], rows=rows)],
        ),
        Section(title="It speaks", pieces=[Clips(clips=[_own(meeting.spoken, {"text": SENTENCE})])]),
        Section(
            title="It answers",
            pieces=[Clips(clips=asked), *([spectrograms(pictures)] if pictures else [])],
        ),
        Section(
            title="Which experts did it",
            pieces=[
                Text(text="Text and audio tokens are routed to experts of their own (arXiv 2601.10272)."),
                meeting.routing.heatmap("Picks of each routed expert over the questions and answers above."),
                meeting.routing.table(),
            ],
        ),
    ]
    return Report(
        title="MoST, the nano model in the package",
        summary="A mixture-of-experts language model that listens and speaks, as it is shipped: nothing was trained to "
        "make this page. What it was trained on, and all its scores, are in its model card.",
        numbers=[("time", f"{meeting.seconds:.0f} s", "to listen, speak and answer")],
        sections=sections,
        footer="Made by `most demo`.",
    )


def _clip(sample: Sample, lines: dict[str, str]) -> Clip:
    return Clip(label=f"{sample.who} ({sample.licence})", wav=read_audio(sample.file), rate=16000, lines=lines)


def _own(speech: Speech, lines: dict[str, str]) -> Clip:
    wav = speech.waveform if len(speech.waveform) else np.zeros(speech.sample_rate // 10, dtype=np.float32)
    return Clip(label="its voice", wav=wav, rate=speech.sample_rate, lines=lines)


def _wer(said: str, got: str) -> str:
    return f"{word_errors([said], [got], normalizer='english', n_bootstrap=1).wer:.0%}"

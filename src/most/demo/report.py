"""The demo's report: what it learned, how it sounds, which experts spoke."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from most.data.dataset import Collator
from most.demo.result import DemoResult, Heard
from most.demo.routing import Routing, routing_of
from most.evaluate.wer import word_errors
from most.generate.engine import Engine
from most.report.figures import loss_curves, spectrograms
from most.report.page import Bullets, Clip, Clips, Details, Facts, Report, Section, Table, Text, WerTable, write_report
from most.settings import to_plain
from most.speech.audio import read_audio
from most.train.recipe import TrainRecipe
from most.train.run import build_dataset
from most.train.trainer import read_history

N_CLIPS = 4
N_ROUTED = 50
"""Training examples whose routing is drawn: whole periods of the mixture."""


def write_demo_report(
    path: Path, engine: Engine, result: DemoResult, recipe: TrainRecipe, held_out: str, aim: float
) -> Path:
    """Write the page. Needs the extra `report`."""
    history = read_history(recipe.output / "history.jsonl")
    routing = _routing(engine, recipe)
    speech, originals = result.spoken.speech, result.spoken.originals
    rows = {f"listening: {held_out}, never heard": result.unheard.errors, "listening: five known": result.heard.errors}
    rows["speaking, by PocketSphinx"] = speech
    if originals is not None:
        rows["people saying the same, by PocketSphinx"] = originals
    aims = f"The aim is {aim:.0%} or less for {held_out} and for its own speech."
    sections = [
        Section(
            title="Does it listen, does it speak?",
            pieces=[
                WerTable(rows=rows, title="Word error rate"),
                Text(text=f"{aims} {_verdict(result, aim)} Every item is logged beside this page as JSON lines."),
            ],
        ),
        Section(title="Listening", pieces=[_heard_clips(result.unheard, held_out), _worst(result.unheard)]),
        Section(title="Speaking", pieces=[_spoken_clips(result), _pictures(result, held_out)]),
        Section(
            title="Routing",
            pieces=[
                routing.heatmap(
                    f"Picks of each routed expert on {N_ROUTED} training examples, by modality of the token. "
                    "No token ever reaches an expert of the other group."
                ),
                routing.table(),
            ],
        ),
        Section(
            title="Training",
            pieces=[
                loss_curves(_curves(history, ("text_loss", "audio_loss")), title="Loss by modality", log_y=True),
                loss_curves(
                    _curves(history, ("balance_loss",)), title="Balance loss", y_label="weighted balance loss",
                    caption="Evenness of expert use within each group, for each sequence; lower is more even.",
                ),
                Facts(items={k: f"{v} s" for k, v in result.seconds.items()}, title="Time"),
                Details(summary="The recipe", text=json.dumps(to_plain(recipe), indent=1)),
            ],
        ),
        Section(
            title="Where things are",
            pieces=[
                Bullets(
                    items=[
                        f"{recipe.output / 'final'}: the model, for `most transcribe` and `most speak --model`",
                        f"{path.parent / 'speech'}: everything it said, as wav",
                        f"{path.parent / 'results.json'}: the figures; *.jsonl: reference and hypothesis of every item",
                        f"{path.parent / 'data'}: recordings (FSDD, CC BY-SA 4.0) and manifests",
                    ]
                )
            ],
        ),
    ]  # fmt: skip
    report = Report(
        title="MoST demo: connected digits",
        summary="A mixture-of-experts language model, trained from random weights on recordings of five people to "
        "transcribe and to speak digits. Text and audio tokens are routed to experts of their own.",
        numbers=[
            ("listening", f"{result.unheard.errors.wer:.1%}", f"WER on {held_out}, never heard"),
            ("speaking", f"{speech.wer:.1%}", f"WER; people: {originals.wer:.1%}" if originals else "WER"),
            ("training", f"{recipe.steps} steps", f"of {recipe.batch_size} examples"),
        ],
        sections=sections,
        footer="Made by `most demo`.",
    )
    return write_report(path, report)


def _verdict(result: DemoResult, aim: float) -> str:
    words = ["met" if e.wer <= aim else "missed" for e in (result.unheard.errors, result.spoken.speech)]
    return f"Listening: {words[0]}. Speaking: {words[1]}."


def _heard_clips(heard: Heard, speaker: str) -> Clips:
    clips = []
    for row, said, got in list(zip(heard.examples, heard.references, heard.hypotheses, strict=True))[:N_CLIPS]:
        if row.turns[0].audio is not None:
            lines = {"said": said, "transcript": got}
            clips.append(Clip(label=speaker, wav=read_audio(row.turns[0].audio), rate=16000, lines=lines))
    return Clips(clips=clips, title="Recordings and their transcripts")


def _spoken_clips(result: DemoResult) -> Clips:
    rows = list(zip(result.texts, result.speech, result.spoken.hypotheses, strict=True))
    clips = [
        Clip(label="its voice", wav=s.waveform, rate=s.sample_rate, lines={"text": t, "PocketSphinx heard": h})
        for t, s, h in rows
        if len(s.waveform)
    ]
    return Clips(clips=clips[:N_CLIPS], title="Its own speech")


def _pictures(result: DemoResult, speaker: str) -> Any:
    sounds = []
    first = result.unheard.examples[0].turns[0].audio
    if first is not None:
        sounds.append((f"{speaker}: {result.unheard.references[0]}", read_audio(first), 16000))
    for text, said in zip(result.texts, result.speech, strict=True):
        if len(said.waveform):
            sounds.append((f"its voice: {text}", said.waveform, said.sample_rate))
            break
    return spectrograms(sounds, caption="A recording it listened to, and speech it made of text.")


def _worst(heard: Heard) -> Table:
    pairs = zip(heard.references, heard.hypotheses, strict=True)
    scored = [(word_errors([said], [got], normalizer="digits", n_bootstrap=1).wer, said, got) for said, got in pairs]
    rows = [(f"{wer:.0%}", said, got) for wer, said, got in sorted(scored, reverse=True)]
    return Table(columns=["WER", "said", "transcript"], rows=rows[:8], title="Worst first")


def _curves(history: Sequence[dict[str, float]], names: Sequence[str]) -> dict[str, list[tuple[float, float]]]:
    return {name.replace("_", " "): [(r["step"], r[name]) for r in history if name in r] for name in names}


def _routing(engine: Engine, recipe: TrainRecipe) -> Routing:
    dataset = build_dataset(recipe, engine.processor)
    collate = Collator(engine.processor.tokenizer.pad_token_id)
    batches = (collate([dataset[i] for i in range(start, start + 10)]) for start in range(0, N_ROUTED, 10))
    return routing_of(engine, ({k: v for k, v in batch.items() if k != "labels"} for batch in batches))

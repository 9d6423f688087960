"""From recorded people to a MoST that transcribes and speaks digits, and a report to look at.

Every step is the project's own verb on files a user can look at; a step whose result lies there already is skipped, so
an interrupted demo goes on where it stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from most.convert.backbone import BackboneRecipe, init_backbone
from most.convert.convert import convert
from most.convert.settings import ConvertSettings
from most.data.digits import Augment, DigitsCorpus, build_digits
from most.data.encode import encode_manifests
from most.demo.report import write_demo_report
from most.demo.result import DemoResult, Heard
from most.evaluate.judges import PocketSphinxDigits, score_speech
from most.evaluate.wer import word_errors
from most.generate.engine import Engine, SpeakSettings
from most.manifest import Example, read_examples
from most.settings import RECIPES, load_recipe
from most.speech.audio import read_audio, write_audio
from most.speech.codec import Codec, default_codec_dir
from most.train.recipe import TrainRecipe
from most.train.run import train

HELD_OUT = "lucas"
VOICE = "theo"
"""Whose recordings it learns to speak from: the one whom the judge understands best (evaluate/CALIBRATION.md)."""
AIM = 0.10
"""Word error rate, for listening and for speaking."""


@dataclass(frozen=True, kw_only=True)
class DemoSizes:
    """How much of everything: utterances to learn listening from, further ones to learn speaking from, text documents,
    and utterances of each test set."""

    train: int = 800
    tts: int = 2000
    text: int = 300
    test: int = 40


def run_demo(
    out: Path,
    *,
    sizes: DemoSizes | None = None,
    settings: Sequence[str] = (),
    recipes: Path = RECIPES / "demo",
    echo: Callable[[str], Any] = print,
) -> DemoResult:
    """Run every step into `out` and write `report.html`.

    Args:
        settings: `key=value` settings of the training recipe that win over its file.

    Returns:
        The figures, which also lie in `results.json`.
    """
    sizes = sizes or DemoSizes()
    clock = _Clock(echo)
    overrides = _places(out)
    echo(f"demo: writes about 400 MB under {out}; on two cores it takes less than 10 minutes")
    with clock("1/7 data: connected digits of six recorded people"):
        corpus = build_digits(
            out / "data",
            n_train=sizes.train,
            n_test=sizes.test,
            n_text=sizes.text,
            n_tts=sizes.tts,
            digits_per_utterance=(2, 4),
            varied_prompts=False,
            held_out_speaker=HELD_OUT,
            augment=Augment(share=0.35),
            tts_speakers=(VOICE,),
        )
        echo("  " + ", ".join(f"{n} {name}" for name, n in corpus.counts.items()))
    with clock("2/7 arrays: encoder frames of what is heard, units of what is said"):
        encode_manifests([corpus.train], out / "arrays", Codec.load(default_codec_dir()), echo=echo)
    with clock("3/7 backbone: a DeepSeek-V2-shaped mixture of experts, random weights"):
        backbone = load_recipe(BackboneRecipe, recipes / "backbone.yaml", overrides["backbone"])
        if not backbone.output.exists():
            init_backbone(backbone, echo=echo)
    with clock("4/7 convert: audio vocabulary, speech encoder, projection, expert partition"):
        if not (out / "most").exists():
            convert(backbone.output, out / "most", settings=ConvertSettings(new_row_noise=1.0), echo=echo)
    with clock("5/7 train: stage 1, ASR 0.4, TTS 0.4, text 0.2"):
        stage1 = load_recipe(TrainRecipe, recipes / "stage1.yaml", [*overrides["stage1"], *settings])
        if not (stage1.output / "final").exists():
            train(stage1, echo=echo)
    with clock("6/7 measure: it listens to a speaker it never heard, and is listened to"):
        engine = Engine.load(stage1.output / "final")
        result = _measure(engine, corpus, out, clock.seconds)
    with clock("7/7 report"):
        write_demo_report(out / "report.html", engine, result, stage1, HELD_OUT, AIM)
    _write_results(out, result)
    _conclude(out, result, echo)
    return result


def _measure(engine: Engine, corpus: DigitsCorpus, out: Path, seconds: dict[str, float]) -> DemoResult:
    unheard, heard = (_transcribe(engine, m, out) for m in (corpus.test_asr_unheard, corpus.test_asr_heard))
    rows = read_examples(corpus.test_tts)
    texts = [str(r.meta["text"]) for r in rows]
    speech = engine.speak(texts, speaker=VOICE, settings=SpeakSettings(max_seconds=8.0))
    (out / "speech").mkdir(exist_ok=True)
    for row, said in zip(rows, speech, strict=True):
        if len(said.waveform):
            write_audio(out / "speech" / f"{row.id}.wav", said.waveform, said.sample_rate)
    originals = [read_audio(r.turns[1].audio) for r in rows if r.turns[1].audio is not None]
    spoken = score_speech(
        PocketSphinxDigits(), [s.waveform for s in speech], texts, originals,
        rate=speech[0].sample_rate, normalizer="digits",
    )  # fmt: skip
    _log(out / "test_tts.jsonl", rows, texts, spoken.hypotheses)
    return DemoResult(unheard=unheard, heard=heard, texts=texts, speech=speech, spoken=spoken, seconds=dict(seconds))


def _transcribe(engine: Engine, manifest: Path, out: Path) -> Heard:
    rows = read_examples(manifest)
    references = [str(r.turns[1].text) for r in rows]
    hypotheses = engine.transcribe([r.turns[0].audio for r in rows if r.turns[0].audio is not None], max_new_tokens=32)
    _log(out / manifest.name, rows, references, hypotheses)
    errors = word_errors(references, hypotheses, normalizer="digits")
    return Heard(examples=rows, references=references, hypotheses=hypotheses, errors=errors)


def _log(path: Path, rows: Sequence[Example], references: Sequence[str], hypotheses: Sequence[str]) -> None:
    """One line an item, so that every figure can be recomputed."""
    lines = [
        json.dumps({"id": row.id, "reference": ref, "hypothesis": hyp})
        for row, ref, hyp in zip(rows, references, hypotheses, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_results(out: Path, result: DemoResult) -> None:
    row = {
        "asr_unheard": asdict(result.unheard.errors),
        "asr_heard": asdict(result.heard.errors),
        "tts": asdict(result.spoken.speech),
        "tts_originals": asdict(result.spoken.originals) if result.spoken.originals else None,
        "judge": result.spoken.judge,
        "truncated": sum(s.truncated for s in result.speech),
        "seconds": result.seconds,
    }
    (out / "results.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")


def _places(out: Path) -> dict[str, list[str]]:
    """The recipes name runs/demo; these overrides put everything under `out`."""
    data = out / "data" / "train.jsonl"
    return {
        "backbone": [f"output={out / 'backbone'}", f"manifests=[{data}]"],
        "stage1": [
            f"model={out / 'most'}",
            f"output={out / 'stage1'}",
            f"data.manifests=[{data}]",
            f"data.arrays={out / 'arrays'}",
        ],
    }


def _conclude(out: Path, result: DemoResult, echo: Callable[[str], Any]) -> None:
    model = out / "stage1" / "final"
    cut = sum(s.truncated for s in result.speech)
    echo("")
    echo(f"It listens. {HELD_OUT}, never heard in training:  WER {result.unheard.errors}")
    echo(f"            new recordings of the other five:   WER {result.heard.errors}")
    echo(f"It speaks.  its speech, heard by PocketSphinx:  WER {result.spoken.speech}; {cut} cut at 8 s")
    echo(f"            people saying the same, likewise:   WER {result.spoken.originals}")
    echo(f"Aims: at most {AIM:.0%} for {HELD_OUT} and for its own speech.")
    echo("")
    echo(f"Look:   {out / 'report.html'}")
    echo(f"Listen: {out / 'speech'}")
    first = min((out / "data" / "audio" / "test_unheard").glob("*.flac"))
    echo(f"Try:    .venv/bin/most transcribe {first} --model {model}")
    echo(f"        .venv/bin/most speak 'seven four one' --model {model} --out seven.wav")


class _Clock:
    """Says what step runs, and keeps how long each took."""

    def __init__(self, echo: Callable[[str], Any]) -> None:
        self.echo, self.seconds, self._name, self._start = echo, {}, "", 0.0

    def __call__(self, name: str) -> _Clock:
        self._name, self._start = name, time.perf_counter()
        self.echo(f"[{name}]")
        return self

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        took = time.perf_counter() - self._start
        self.seconds[self._name] = round(took, 1)
        self.echo(f"  {took:.0f} s")

"""Verbs that use a model: `transcribe` and `speak`."""

from __future__ import annotations

import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from most.errors import MostError

Model = Annotated[Path, typer.Option(help="Folder of a trained MoST.")]
CodecDir = Annotated[Path | None, typer.Option(help="Codec folder; the shipped nano codec when left out.")]


def transcribe(
    files: Annotated[list[Path], typer.Argument(help="Audio files: wav, flac, ogg, mp3, at any rate.")],
    model: Model,
    codec: CodecDir = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line: file, text, seconds or error.")] = False,
    batch_size: Annotated[int, typer.Option(help="Files at once.")] = 8,
) -> None:
    """Transcribe audio files. A bad file is reported and never stops the rest; the exit code is then 1."""
    from most.generate.engine import Engine

    engine = Engine.load(model, codec)
    failed = 0
    for start in range(0, len(files), batch_size):
        rows: list[dict[str, object]] = []
        waves = []
        for file in files[start : start + batch_size]:
            try:
                waves.append(engine.processor.read(file))
                rows.append({"file": str(file), "seconds": round(len(waves[-1]) / engine.processor.sample_rate, 3)})
            except MostError as e:
                rows.append({"file": str(file), "error": str(e)})
        texts = iter(engine.transcribe(waves, batch_size=batch_size) if waves else [])
        for row in rows:
            if "error" in row:
                failed += 1
            else:
                row["text"] = next(texts)
            if json:
                print(jsonlib.dumps(row, ensure_ascii=False), flush=True)
            elif "error" in row:
                print(f"most: error: {row['error']}", file=sys.stderr, flush=True)
            else:
                print(f"{row['file']}\t{row['text']}", flush=True)
    if failed:
        raise typer.Exit(1)


def speak(
    text: Annotated[str, typer.Argument(help="What to say.")],
    model: Model,
    out: Annotated[Path, typer.Option(help="Audio file to write (wav, flac or ogg).")] = Path("speech.wav"),
    codec: CodecDir = None,
    speaker: Annotated[str | None, typer.Option(help="Voice of the codec; its main one when left out.")] = None,
    temperature: Annotated[float, typer.Option(help="0 takes the most likely unit.")] = 0.9,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
) -> None:
    """Say a text and write it to an audio file."""
    from most.generate.engine import Engine, SpeakSettings
    from most.speech.audio import write_audio

    (speech,) = Engine.load(model, codec).speak(
        [text], speaker=speaker, settings=SpeakSettings(temperature=temperature, seed=seed)
    )
    if not len(speech.units):
        raise MostError("text", text, "the model said nothing; it may need more training or another seed")
    write_audio(out, speech.waveform, speech.sample_rate)
    cut = ", cut at the longest allowed length" if speech.truncated else ""
    print(f"{out}: {len(speech.waveform) / speech.sample_rate:.2f} s{cut}")


VERBS = (transcribe, speak)

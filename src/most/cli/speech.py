"""Verbs that use a model on files and texts: `transcribe` and `speak`."""

from __future__ import annotations

import json as jsonlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from most.errors import MostError

if TYPE_CHECKING:
    from most.generate.engine import Engine
    from most.generate.transcribe import Transcript

Model = Annotated[Path | None, typer.Option(help="Folder or hub id of a trained MoST; the shipped one when left out.")]
CodecDir = Annotated[
    Path | None, typer.Option(help="Codec folder; the one in the model's folder, or the shipped one, when left out.")
]
Device = Annotated[str, typer.Option(help="Where the model runs: cpu, cuda, cuda:1.")]
Speaker = Annotated[str | None, typer.Option(help="Voice of the codec; its main one when left out.")]
Temperature = Annotated[float, typer.Option(help="Of speech; 0 takes the most likely unit.")]
Seed = Annotated[int, typer.Option(help="Of speech's draw.")]


def load_engine(model: Path | None, codec: Path | None, device: str = "cpu", bits: int | None = None) -> Engine:
    """The named model and codec, or those that ship.

    Raises:
        MostError: no model is named and none ships, one that cannot be loaded, or a device that is not there.
    """
    import torch

    from most.generate.engine import Engine
    from most.model.load import default_model_dir

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as e:
        raise MostError("device", device, f"cannot be used here ({str(e).splitlines()[0]}); use cpu") from e
    return Engine.load(default_model_dir() if model is None else model, codec, device, bits)


def transcribe(
    files: Annotated[list[Path], typer.Argument(help="Audio files: wav, flac, ogg, mp3, at any rate, of any length.")],
    model: Model = None,
    codec: CodecDir = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line: file, text, seconds or error.")] = False,
    batch_size: Annotated[int, typer.Option(help="Pieces at once.")] = 8,
    beams: Annotated[int | None, typer.Option(help="Hypotheses of a transcript, for models with a CTC term.")] = None,
    max_piece_seconds: Annotated[float, typer.Option(help="What is longer is cut where it is quiet.")] = 8.0,
    device: Device = "cpu",
) -> None:
    """Transcribe audio files. A bad file is reported and never stops the rest; the exit code is then 1."""
    from most.generate.hearing import Hearing
    from most.generate.transcribe import transcribe_files

    failed = 0
    engine = load_engine(model, codec, device)
    if beams is not None:
        engine.hear_by(Hearing(beams=beams))
    for heard in transcribe_files(engine, files, max_piece_seconds=max_piece_seconds, batch_size=batch_size):
        failed += heard.error is not None
        if json:
            print(jsonlib.dumps(_row(heard), ensure_ascii=False), flush=True)
        elif heard.error is not None:
            print(f"most: error: {heard.error}", file=sys.stderr, flush=True)
        else:
            if heard.n_pieces > 1:
                print(_note(heard), file=sys.stderr, flush=True)
            print(f"{heard.file}\t{heard.text}", flush=True)
    if failed:
        raise typer.Exit(1)


def _row(heard: Transcript) -> dict[str, object]:
    if heard.error is not None:
        return {"file": str(heard.file), "error": str(heard.error)}
    row: dict[str, object] = {"file": str(heard.file), "seconds": round(heard.seconds, 3), "text": heard.text}
    if heard.n_pieces > 1:
        row |= {"pieces": heard.n_pieces, "silent_pieces": heard.n_silent, "cut_in_speech": heard.cut_in_speech}
    return row


def _note(heard: Transcript) -> str:
    silent = f", {heard.n_silent} of them silent" if heard.n_silent else ""
    cut = f", {heard.cut_in_speech} cuts found no pause" if heard.cut_in_speech else ""
    return f"most: {heard.file}: {heard.seconds:.1f} s in {heard.n_pieces} pieces{silent}{cut}"


def speak(
    text: Annotated[str, typer.Argument(help="What to say, of any length.")],
    model: Model = None,
    out: Annotated[Path, typer.Option(help="Audio file to write (wav, flac or ogg).")] = Path("speech.wav"),
    codec: CodecDir = None,
    speaker: Speaker = None,
    temperature: Temperature = 0.4,
    seed: Seed = 0,
    best_of: Annotated[int, typer.Option(help="Takes, of which the model keeps the one it understands best.")] = 1,
    max_piece_words: Annotated[int, typer.Option(help="Longer texts are said sentence by sentence.")] = 16,
    device: Device = "cpu",
) -> None:
    """Say a text and write it to an audio file."""
    from most.generate.engine import SpeakSettings
    from most.generate.read_aloud import read_aloud
    from most.speech.audio import write_audio

    said = read_aloud(
        load_engine(model, codec, device), text, speaker=speaker, max_piece_words=max_piece_words,
        settings=SpeakSettings(temperature=temperature, seed=seed, best_of=best_of),
    )  # fmt: skip
    if len(said.silent) == len(said.pieces):
        raise MostError("text", text, "the model said nothing; it may need more training or another seed")
    write_audio(out, said.waveform, said.sample_rate)
    for k in said.silent:
        print(f"most: nothing was said of {said.pieces[k]!r}", file=sys.stderr)
    pieces = f" in {len(said.pieces)} pieces" if len(said.pieces) > 1 else ""
    cut = f", {said.n_truncated} cut at the longest allowed length" if said.n_truncated else ""
    print(f"{out}: {len(said.waveform) / said.sample_rate:.2f} s{pieces}{cut}")


VERBS = (transcribe, speak)

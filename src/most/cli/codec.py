"""`most codec`: train units and vocoders, turn speech into units and back, and measure the loss."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from most.manifest import Utterance

app = typer.Typer(no_args_is_help=True)

Manifests = Annotated[list[Path], typer.Option("--manifest", help="Utterance manifest (JSONL); may be given again.")]
CodecFolder = Annotated[Path | None, typer.Option(help="Codec folder; the shipped nano codec when left out.")]
Out = Annotated[Path, typer.Option(help="Folder to write; an interrupted run goes on in it.")]
Recipe = Annotated[Path, typer.Option(help="YAML recipe with sections units and vocoder.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; fewer than the cores where the machine is shared.")]


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(max(1, threads))


def _utterances(manifests: list[Path]) -> list[Utterance]:
    from most.manifest import read_utterances

    return [row for path in manifests for row in read_utterances(path)]


@app.command("train-units")
def train_units(manifest: Manifests, out: Out, recipe: Recipe, threads: Threads = None) -> None:
    """Train k-means units on an encoder's frames; the folder becomes a codec that can encode."""
    from most.speech.settings import UnitSettings, read_settings
    from most.speech.train_units import train_units as run

    _set_threads(threads)
    codec = run(_utterances(manifest), read_settings(UnitSettings, recipe, "units"), out)
    print(f"{codec.n_units} units at {codec.unit_rate_hz:g} Hz in {out}; next: most codec train-vocoder --codec {out}")


@app.command("train-vocoder")
def train_vocoder(
    manifest: Manifests,
    out: Out,
    recipe: Recipe,
    codec: CodecFolder = None,
    steps: Annotated[int | None, typer.Option(help="Stop there instead of at the recipe's step.")] = None,
    threads: Threads = None,
) -> None:
    """Train a vocoder for a codec's units; interrupted, the same command goes on."""
    from dataclasses import replace

    from most.speech.codec import Codec, default_codec_dir
    from most.speech.settings import VocoderSettings, read_settings
    from most.speech.train_vocoder import train_vocoder as run

    _set_threads(threads)
    settings = read_settings(VocoderSettings, recipe, "vocoder")
    if steps is not None:
        settings = replace(settings, steps=steps)
    run(_utterances(manifest), Codec.load(codec or default_codec_dir()), settings, out)
    print(f"vocoder in {out / 'vocoder'}; next: most codec assemble")


@app.command()
def assemble(
    units: Annotated[Path, typer.Option(help="Codec folder whose encoder and units are taken.")],
    vocoder: Annotated[Path, typer.Option(help="Vocoder folder, such as OUT/vocoder of train-vocoder.")],
    out: Annotated[Path, typer.Option(help="Folder of the whole codec.")],
    speaker: Annotated[str, typer.Option(help="Default voice; the vocoder's first when left out.")] = "",
    full: Annotated[bool, typer.Option(help="Write float32 instead of float16.")] = False,
) -> None:
    """Put units and a vocoder together as one codec folder."""
    from most.speech.codec import assemble as run

    codec = run(units, vocoder, out, speaker=speaker, half=not full)
    print(f"{out}: {codec.n_units} units at {codec.unit_rate_hz:g} Hz, voices {', '.join(codec.speakers)}")


@app.command()
def resynthesize(
    audio: Annotated[Path, typer.Argument(help="A recording.")],
    out: Annotated[Path, typer.Option(help="Where to write the same speech after units (.wav, .flac, .ogg).")],
    codec: CodecFolder = None,
    speaker: Annotated[str | None, typer.Option(help="Voice; the codec's default when left out.")] = None,
) -> None:
    """Speech to units and back: hear what the units keep."""
    from most.speech.audio import read_audio, write_audio
    from most.speech.codec import Codec, default_codec_dir

    loaded = Codec.load(codec or default_codec_dir())
    units = loaded.encode(read_audio(audio, loaded.sample_rate, allow_silence=False))
    wav, rate = loaded.decode(units, speaker)
    write_audio(out, wav, rate)
    print(f"{out}: {len(units)} units, {len(wav) / rate:.2f} s, voice {speaker or loaded.default_speaker}")


@app.command()
def evaluate(
    manifest: Manifests,
    out: Annotated[Path, typer.Option(help="Folder for items.jsonl and summary.json.")],
    codec: CodecFolder = None,
    judge: Annotated[str, typer.Option(help="A judge's name, a Whisper's folder or name, or 'none'.")] = "base.en",
    normalizer: Annotated[str, typer.Option(help="english, or digits for spoken digit strings.")] = "english",
    speaker: Annotated[str | None, typer.Option(help="Voice; the codec's default when left out.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first utterances.")] = None,
    keep_audio: Annotated[bool, typer.Option(help="Write each resynthesis as a wav.")] = False,
    threads: Threads = None,
) -> None:
    """Word error rate, voicing and pitch of speech that went through units, beside the original's."""
    from most.errors import MostError, nearest
    from most.evaluate.judges import DIGIT_CONTEXT, JUDGES, make_judge
    from most.evaluate.text import NORMALIZERS
    from most.speech.codec import Codec, default_codec_dir
    from most.speech.evaluate import evaluate_codec

    _set_threads(threads)
    if normalizer not in NORMALIZERS:
        raise MostError("normalizer", normalizer, nearest(normalizer, NORMALIZERS))
    context = DIGIT_CONTEXT if normalizer == "digits" else None
    settings = {} if judge in JUDGES else {"model": judge, "threads": threads or 2, "context": context}
    made = None if judge == "none" else make_judge(judge if judge in JUDGES else "faster-whisper", **settings)
    summary = evaluate_codec(
        Codec.load(codec or default_codec_dir()), _utterances(manifest)[:limit], out,
        judge=None if made is None else lambda wav: made.transcribe(wav, 16000),
        normalize=NORMALIZERS[normalizer], speaker=speaker, keep_audio=keep_audio,
    )  # fmt: skip
    for name, value in summary.items():
        print(f"{name:18} {value}")

"""`most data`: corpora and the arrays that training reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from most.cli import dialogue, voice

app = typer.Typer(no_args_is_help=True)

# `data.corpora.table` and `release`; retyped, for importing them costs more than showing help. A test compares.
CORPUS_NAMES = (
    "librispeech", "libriheavy", "commonvoice", "voxpopuli", "ljspeech", "generic", "lhotse", "hf", "text", "hf-text",
    "release",
)  # fmt: skip


@app.command()
def digits(
    out: Annotated[Path, typer.Argument(help="Folder to write recordings and manifests to.")],
    train: Annotated[int, typer.Option(help="Training utterances.")] = 1200,
    test: Annotated[int, typer.Option(help="Test utterances of the unheard speaker.")] = 60,
    held_out: Annotated[str, typer.Option(help="The speaker that is never heard in training.")] = "theo",
    seed: Annotated[int, typer.Option(help="Of everything drawn.")] = 0,
) -> None:
    """Connected digits of real people, composed from the recordings that ship with the package."""
    from most.data.digits import build_digits

    build_digits(out, n_train=train, n_test=test, held_out_speaker=held_out, seed=seed)


@app.command()
def encode(
    manifests: Annotated[list[Path], typer.Argument(help="Manifests (JSONL), all in one folder.")],
    out: Annotated[Path, typer.Option(help="Folder for the arrays.")],
    codec: Annotated[Path | None, typer.Option(help="Codec folder; the shipped nano codec when left out.")] = None,
    workers: Annotated[int, typer.Option(help="Processes; 0 does the work in this one.")] = 0,
) -> None:
    """Encoder frames of what is heard and units of what is said, made once; interrupted, it goes on."""
    from most.data.encode import encode_manifests
    from most.speech.codec import Codec, default_codec_dir

    done = encode_manifests(manifests, out, Codec.load(codec or default_codec_dir()), workers=workers)
    print(f"encoded {done['frames']} for hearing, {done['units']} for saying; {done['kept']} were there already")


@app.command()
def align(
    manifests: Annotated[list[Path], typer.Argument(help="Manifests (JSONL), all in one folder.")],
    arrays: Annotated[Path, typer.Option(help="Folder that `encode` wrote for them.")],
    out: Annotated[Path, typer.Option(help="Folder to write words.jsonl to; interrupted, it goes on.")],
    model: Annotated[str, typer.Option(help="A MoST that was trained with a CTC term: folder or hub id.")],
    batch_size: Annotated[int, typer.Option(help="Audios at once.")] = 16,
) -> None:
    """Where each word of what is said begins, for speech that is guided word by word."""
    from most.data.align import align_manifests

    done = align_manifests(manifests, arrays, out, model, batch_size=batch_size)
    print(f"aligned {done['aligned']}, {done['spread']} of them evenly; {done['kept']} were there already")


@app.command()
def units(
    manifests: Annotated[list[Path], typer.Argument(help="Manifests of utterances or examples, all in one folder.")],
    out: Annotated[Path, typer.Option(help="Folder for the units; the same command goes on in it.")],
    codec: Annotated[Path | None, typer.Option(help="Codec folder; the shipped nano codec when left out.")] = None,
    workers: Annotated[int, typer.Option(help="Worker processes; 0 does the work in this one.")] = 1,
    threads: Annotated[int | None, typer.Option(help="Threads of each; the cores divided by the workers.")] = None,
    engine: Annotated[str, typer.Option(help="local, or ray (this machine, or the cluster of RAY_ADDRESS).")] = "local",
    max_rejected: Annotated[float, typer.Option(help="Share of the audio that may be bad.")] = 0.01,
    max_seconds: Annotated[float, typer.Option(help="Reject longer audio.")] = 600.0,
    shard_size: Annotated[int, typer.Option(help="Audios a part; what a dead worker repeats.")] = 128,
) -> None:
    """Unit ids of all the audio that manifests name, by many workers; interrupted, the same command goes on."""
    from most.data.encode import encode_units
    from most.data.units.run import Engine
    from most.speech.codec import Codec, default_codec_dir

    how = Engine(workers=workers, threads=threads, kind=engine, max_rejected=max_rejected)
    loaded = Codec.load(codec or default_codec_dir())
    encode_units(manifests, out, loaded, how, shard_size=shard_size, max_seconds=max_seconds)


@app.command()
def prepare(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(CORPUS_NAMES)}.")],
    source: Annotated[Path, typer.Argument(help="Where it lies: folder, file, or hub name for hf and hf-text.")],
    out: Annotated[Path, typer.Option(help="Folder to write; an interrupted run goes on in it.")],
    split: Annotated[list[str] | None, typer.Option(help="Split to prepare, again for more; all by default.")] = None,
    tasks: Annotated[str, typer.Option(help="Examples to make of speech: asr, tts or both.")] = "asr,tts",
    audio_root: Annotated[Path | None, typer.Option(help="libriheavy, generic, lhotse: folder of the audio.")] = None,
    audio_column: Annotated[str | None, typer.Option(help="generic, hf: column of audio.")] = None,
    text_column: Annotated[str | None, typer.Option(help="Column of text, where there is a choice.")] = None,
    speaker_column: Annotated[str | None, typer.Option(help="generic, hf: column of speakers.")] = None,
    id_column: Annotated[str | None, typer.Option(help="generic, hf: column of ids.")] = None,
    language: Annotated[str | None, typer.Option(help="commonvoice, voxpopuli: `en` by default.")] = None,
    document: Annotated[str | None, typer.Option(help="text: a document is a line, paragraph or file.")] = None,
    config: Annotated[str | None, typer.Option(help="hf, hf-text: configuration of the dataset.")] = None,
    revision: Annotated[str | None, typer.Option(help="hf, hf-text: commit or tag on the hub.")] = None,
    licence: Annotated[str | None, typer.Option(help="For the card, where the corpus does not say it.")] = None,
    url: Annotated[str | None, typer.Option(help="For the card, where the corpus does not say it.")] = None,
    n_units: Annotated[int | None, typer.Option(help="release: units of the quantizer, 500 by default.")] = None,
    min_seconds: Annotated[float, typer.Option(help="Shorter utterances are rejected.")] = 0.2,
    max_seconds: Annotated[float, typer.Option(help="Longer utterances are rejected.")] = 40.0,
    max_chars: Annotated[int, typer.Option(help="Longer documents of text are rejected.")] = 100_000,
    max_rejected: Annotated[float, typer.Option(help="Share of items that may be rejected.")] = 0.02,
    decode: Annotated[
        bool, typer.Option(help="Decode every file whole; finds damage in its middle, and silence.")
    ] = False,
    lower_case: Annotated[bool, typer.Option(help="Turn transcripts to lower case (LibriSpeech is upper).")] = False,
    workers: Annotated[int | None, typer.Option(help="Threads that open files.")] = None,
) -> None:
    """A published corpus, your own recordings, or text as a set that training, datasets and lhotse read."""
    options = {
        "audio_root": audio_root, "audio_column": audio_column, "text_column": text_column,
        "speaker_column": speaker_column, "id_column": id_column, "language": language, "document": document,
        "config": config, "revision": revision, "licence": licence, "url": url, "n_units": n_units,
    }  # fmt: skip
    if name == "release":
        from most.data.corpora.release import prepare_release

        given = {k: v for k, v in options.items() if v is not None}
        if unknown := sorted(set(given) - {"n_units", "licence", "url"}):
            from most.errors import MostError

            raise MostError("--" + unknown[0].replace("_", "-"), given[unknown[0]], "is no option of release")
        prepare_release(source, out, max_rejected=max_rejected, **given)
        return
    from most.data.corpora.check import Limits
    from most.data.corpora.prepare import prepare as run

    limits = Limits(
        min_seconds=min_seconds, max_seconds=max_seconds, max_chars=max_chars, decode=decode, lower_case=lower_case
    )
    run(
        name, source, out, options=options, splits=split, tasks=[t for t in tasks.split(",") if t], limits=limits,
        max_rejected=max_rejected, workers=workers,
    )  # fmt: skip


for verb in voice.VERBS:
    app.command(verb.__name__.replace("_", "-"))(verb)
app.add_typer(dialogue.app, name="dialogues", help="Chats to dialogues for speech.")

"""`most data`: corpora and the arrays that training reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


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
    manifests: Annotated[list[Path], typer.Argument(help="Example manifests (JSONL), all in one folder.")],
    out: Annotated[Path, typer.Option(help="Folder for the arrays.")],
    codec: Annotated[Path | None, typer.Option(help="Codec folder; the shipped nano codec when left out.")] = None,
) -> None:
    """Encoder frames of what is heard and units of what is said, made once; interrupted, it goes on."""
    from most.data.encode import encode_manifests
    from most.speech.codec import Codec, default_codec_dir

    done = encode_manifests(manifests, out, Codec.load(codec or default_codec_dir()))
    print(f"encoded {done['frames']} for hearing, {done['units']} for saying; {done['kept']} were there already")

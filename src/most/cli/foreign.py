"""`most import`: speech parts made elsewhere, read without running code of their files, written as folders of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)

Out = Annotated[Path, typer.Option(help="Folder to write; it must not be there yet.")]


@app.command()
def hubert(file: Annotated[Path, typer.Argument(help="fairseq HuBERT checkpoint (.pt).")], out: Out) -> None:
    """A fairseq HuBERT as an encoder folder, for `most import units` or a codec recipe."""
    from most.speech.foreign.hubert import import_hubert

    print(import_hubert(file, out))


@app.command()
def units(
    file: Annotated[Path, typer.Argument(help="k-means: .npy, joblib or pickle of scikit-learn, .pt, .safetensors.")],
    encoder: Annotated[str, typer.Option(help="Encoder that its frames came from: a folder or hub id.")],
    layer: Annotated[int, typer.Option(help="Layer of that encoder, counted from 1.")],
    out: Out,
) -> None:
    """Foreign k-means and the encoder it was made of as a codec folder that can encode."""
    from most.speech.foreign.kmeans import import_units

    print(import_units(file, encoder, layer, out))
    print(f"next: most codec assemble --units {out}")


@app.command()
def vocoder(
    file: Annotated[Path, typer.Argument(help="Generator checkpoint of speech-resynthesis or textless.")],
    config: Annotated[Path, typer.Option(help="The config.json that came with it.")],
    out: Out,
    speakers: Annotated[Path | None, typer.Option(help="Names of its speakers, one a line.")] = None,
) -> None:
    """A foreign unit HiFi-GAN as a vocoder folder."""
    from most.speech.foreign.hifigan import import_vocoder

    print(import_vocoder(file, config, out, speakers))
    print(f"next: most codec assemble --vocoder {out}")

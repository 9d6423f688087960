"""`most demo`: the shipped model shows what it can, then the whole pipeline runs on recorded digits, in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything it makes.")] = Path("runs/demo"),
    train: Annotated[bool, typer.Option(help="Also train a nano MoST on digits, as the second part.")] = True,
) -> None:
    """The shipped model listens, speaks and answers; then a nano MoST is trained on recorded digits. Two pages."""
    from most.demo.meet import meet, read_samples
    from most.demo.pipeline import run_demo
    from most.generate.engine import Engine
    from most.model.load import default_model_dir

    print(f"demo, first part: the model in the package; writes {out / 'meet'}; less than a minute")
    meet(Engine.load(default_model_dir()), out / "meet", samples=read_samples())
    if train:
        run_demo(out)


VERBS = (demo,)

"""`most demo`: the whole pipeline on recorded digits, in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(out: Annotated[Path, typer.Option(help="Folder for everything it makes.")] = Path("runs/demo")) -> None:
    """Train a nano MoST on digits of recorded people, let it listen and speak, and write report.html."""
    from most.demo.pipeline import run_demo

    run_demo(out)


VERBS = (demo,)

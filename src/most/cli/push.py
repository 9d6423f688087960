"""The verb `push`: a model's folder and card to a hub account."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def push(
    folder: Annotated[Path, typer.Argument(help="Folder of a trained MoST, with its card README.md.")],
    repo: Annotated[str, typer.Argument(help="ACCOUNT/NAME on the hub; made where it is not there yet.")],
    private: Annotated[bool, typer.Option("--private", help="Make it private.")] = False,
    revision: Annotated[str | None, typer.Option(help="Branch; made where it is not there yet.")] = None,
    message: Annotated[str | None, typer.Option(help="Of the commit.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, list files and sizes, send nothing.")] = False,
) -> None:
    """Upload a model to a Hugging Face account. Interrupted, the same command goes on."""
    from most.convert.push import push as run

    run(folder, repo, private=private, revision=revision, message=message, dry_run=dry_run)


VERBS = (push,)

"""The `most` command. Each verb is a plain function that Python can call; this file only names them."""

from __future__ import annotations

import sys

import typer

from most.errors import MostError

HELP = "MoST: turn a pretrained mixture-of-experts language model into one that listens and speaks."


def build_app() -> typer.Typer:
    """All verbs under one command. They are imported here, so that importing this module costs nothing."""
    from most.cli import ablate, chat, codec, data, demo, evaluate, foreign, model, plan, push, serve, speech

    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=HELP)
    app.add_typer(codec.app, name="codec", help="Units and vocoders: train, apply, measure.")
    app.add_typer(foreign.app, name="import", help="Speech parts of other projects: HuBERT, k-means, HiFi-GAN.")
    app.add_typer(data.app, name="data", help="Corpora and training arrays.")
    for module in (model, push, plan, speech, chat, serve, evaluate, ablate, demo):
        for verb in module.VERBS:
            app.command(verb.__name__)(verb)
    return app


def main() -> None:
    """Run the command line; a user's mistake ends with one line on stderr and exit code 2."""
    try:
        build_app()()
    except MostError as e:
        print(f"most: error: {e}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("most: interrupted; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)

"""The verb `serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from most.cli.speech import CodecDir, Device, load_engine
from most.errors import MostError


def serve(
    model: Annotated[Path | None, typer.Argument(help="A model's folder or hub id; default: the shipped one.")] = None,
    codec: CodecDir = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    name: Annotated[str | None, typer.Option(help="Of the model, for clients; default: its folder's.")] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="MOST_API_KEY", help="Clients must send it; also MOST_API_KEY.")
    ] = None,
    bits: Annotated[
        int | None, typer.Option(help="Keep weights in 8 or 4 bits: less memory, more tokens a second.")
    ] = None,
    device: Device = "cpu",
    max_running: Annotated[int, typer.Option(help="Requests computed together.")] = 8,
    max_waiting: Annotated[int, typer.Option(help="Requests that wait; more are refused (429).")] = 64,
    max_megabytes: Annotated[float, typer.Option(help="Of one request (413).")] = 25.0,
    max_seconds: Annotated[float, typer.Option(help="Of one audio file (413).")] = 600.0,
    request_seconds: Annotated[float, typer.Option(help="That one request may take (408).")] = 120.0,
    grace_seconds: Annotated[float, typer.Option(help="For running requests when the server stops.")] = 10.0,
) -> None:
    """Serve speech over OpenAI's endpoints: /v1/audio, /v1/chat/completions, /v1/realtime, and a page to talk on."""
    try:
        from most.serve.app import create_app
        from most.serve.run import make_server
    except ImportError as e:
        remedy = "install the extra: pip install 'most-speech[serve]'"
        raise MostError("serve", e.name or "not installed", remedy) from e
    from most.model.load import default_model_dir
    from most.serve.server import model_name
    from most.serve.settings import ServeSettings

    settings = ServeSettings(
        api_key=api_key, max_running=max_running, max_waiting=max_waiting, max_megabytes=max_megabytes,
        max_seconds=max_seconds, request_seconds=request_seconds, grace_seconds=grace_seconds,
    )  # fmt: skip
    if host not in ("127.0.0.1", "localhost", "::1") and api_key is None:
        warning = f"{host} is reachable by others and no --api-key is set: whoever reaches it may use it"
        typer.echo(f"most: warning: {warning}", err=True)
    folder = model or default_model_dir()
    app = create_app(load_engine(model, codec, device, bits), settings, name=name or model_name(folder))
    make_server(app, host, port).run()


VERBS = (serve,)

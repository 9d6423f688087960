"""What is served, whether it is well, and what it has counted."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from most.model.install import routers
from most.serve.errors import Refused, stopping
from most.serve.server import DEFAULT_VOICE, Server, server_of

router = APIRouter()


@router.get("/v1/models")
async def models(request: Request) -> dict[str, Any]:
    return {"object": "list", "data": [_model(request)]}


@router.get("/v1/models/{name:path}")
async def model(request: Request, name: str) -> dict[str, Any]:
    server_of(request).require_model(name)
    return _model(request)


@router.get("/healthz")
async def health(request: Request) -> dict[str, Any]:
    """200 while requests are taken, 503 once the server stops or no longer computes."""
    worker = server_of(request).worker
    if not worker.accepts:
        raise stopping()
    if not worker.alive:
        raise Refused(503, "a thread of the server has died; see its log", code="dead")
    return {"status": "ok", "places_taken": worker.n_places}


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    return Response(server_of(request).metrics.page(), media_type=CONTENT_TYPE_LATEST)


def _model(request: Request) -> dict[str, Any]:
    server = server_of(request)
    codec = server.engine.codec
    return {
        "id": server.name, "object": "model", "created": server.begun, "owned_by": "most",
        "voices": [DEFAULT_VOICE, *(codec.speakers if codec else ())], "experts": _experts(server),
    }  # fmt: skip


def _experts(server: Server) -> dict[str, Any]:
    """Of each MoE layer the group of each expert: 0 text, 1 audio, 2 both."""
    language_model = server.engine.model.language_model
    installed = routers(language_model)
    groups = [
        [0 if expert in r.partition.groups[0] else 1 for expert in range(r.partition.num_experts)]
        if r.routing else [2] * r.partition.num_experts
        for r in installed
    ]  # fmt: skip
    n_layers = server.engine.model.config.get_text_config().num_hidden_layers
    return {"first_layer": n_layers - len(groups), "groups": groups}

"""The HTTP API: nodes, links, routes, explanations, tokens. I/O by FastAPI; runs on the service's loop.

Everything asks for the admin token as a bearer, or, if it changes nothing, for a session; what Prometheus
reads also for the metrics token (`controller.api.access`); ``/healthz`` and the files of the dashboard are
open. Handlers are coroutines, so each sees the service between two events and never half-way through one.
"""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from controller.api.access import DENIED, Access, add_sessions
from controller.api.asking import (
    MISSING,
    MOST,
    PAGED,
    After,
    ClassName,
    Limit,
    OptionalName,
    find_class,
    find_node,
    page_of,
)
from controller.api.events import add_events
from controller.api.metrics import exposition
from controller.api.models import (
    Health,
    LinkList,
    NewTokenModel,
    NodeList,
    NodeModel,
    Problem,
    RouteList,
    TokenList,
    TokenRequest,
)
from controller.api.past import add_past
from controller.api.pins import add_pins
from controller.api.plan import add_plan
from controller.api.series import add_series
from controller.api.stream import add_stream
from controller.api.targets import add_targets
from controller.api.views import View, node_model, token_models
from controller.dashboard.serving import BUILT, add_dashboard
from controller.enrolment.errors import BadRequest, EnrolmentError, NotAMember, Unavailable
from controller.registry import timestamp
from controller.server import membership
from controller.server.service import Service, now

API_VERSION = "1"
_REASON = "removed through the API"
_WRONG: dict[int | str, dict[str, Any]] = {400: {"model": Problem}}


def create_app(service: Service, built: Path = BUILT) -> FastAPI:
    """Return the application over a running service; ``built`` has the files of the dashboard."""
    access = Access(service)
    app = FastAPI(
        title="overlayd controller",
        version=API_VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        separate_input_output_schemas=False,
    )
    sessions = APIRouter(prefix="/v1")
    router = APIRouter(prefix="/v1", dependencies=[Depends(access.require)], responses=DENIED)
    targets = APIRouter(prefix="/v1", dependencies=[Depends(access.require_targets)], responses=DENIED)
    add_sessions(sessions, service, access)
    _add_nodes(router, service)
    _add_mesh(router, service)
    _add_tokens(router, service)
    add_past(router, service)
    add_plan(router, service)
    add_pins(router, service)
    add_events(router, service)
    add_series(router, service)
    add_stream(router, service, access)
    add_targets(targets, service)

    @app.get("/healthz")
    async def healthz() -> Health:
        """Tell that the process answers."""
        return Health()

    @app.get(
        "/metrics",
        response_class=PlainTextResponse,
        dependencies=[Depends(access.require_metrics)],
        responses=DENIED,
    )
    async def metrics() -> Response:
        """The mesh as Prometheus reads it."""
        return Response(exposition(service), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    app.include_router(sessions)
    app.include_router(router)
    app.include_router(targets)
    add_dashboard(app, built)
    app.add_exception_handler(EnrolmentError, _on_enrolment_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    return app


def _add_nodes(router: APIRouter, service: Service) -> None:
    @router.get("/nodes")
    async def list_nodes() -> NodeList:
        """All members, by id."""
        return NodeList(items=[node_model(service.described(node)) for node in sorted(service.members)])

    @router.get("/nodes/{name}", responses=MISSING)
    async def read_node(name: str) -> NodeModel:
        """One member."""
        return node_model(service.described(find_node(service, name)))

    @router.delete("/nodes/{name}", responses=MISSING)
    async def remove_node(name: str) -> NodeModel:
        """Revoke a member: its certificate opens nothing from now on, its name is free."""
        node = find_node(service, name)
        gone = service.members[node].node
        service.remove(node, _REASON)
        return node_model(gone)


def _add_mesh(router: APIRouter, service: Service) -> None:
    @router.get("/links", responses=PAGED)
    async def list_links(limit: Limit = MOST, after: After = None) -> LinkList:
        """Measured links, each direction apart, with forecast and newest sample, page by page."""
        view = View(service, now())
        page = page_of(service, *view.link_keys(), limit, after)
        return LinkList(items=view.links(page.keys), next=page.next)

    @router.get("/routes", responses=PAGED)
    async def list_routes(
        src: OptionalName = None,
        dst: OptionalName = None,
        class_: ClassName = None,
        limit: Limit = MOST,
        after: After = None,
    ) -> RouteList:
        """Routes in force, page by page."""
        view = View(service, now())
        keys, shape = view.route_keys(
            None if src is None else find_node(service, src),
            None if dst is None else find_node(service, dst),
            None if class_ is None else find_class(service, class_),
        )
        page = page_of(service, keys, shape, limit, after)
        return RouteList(items=view.routes(page.keys), next=page.next)


def _add_tokens(router: APIRouter, service: Service) -> None:
    @router.get("/tokens")
    async def list_tokens() -> TokenList:
        """All tokens, without their secrets, newest first."""
        return TokenList(items=token_models(service))

    @router.post("/tokens", status_code=201, responses=_WRONG)
    async def create_token(wanted: TokenRequest) -> NewTokenModel:
        """Make a token with which one host can join, once."""
        made = membership.create_token(
            service.state,
            wanted.name,
            relay=wanted.relay,
            prefixes=tuple(wanted.prefixes),
            price_per_gb=wanted.price_per_gb,
            ttl_s=wanted.ttl_seconds,
        )
        return NewTokenModel(token=made.text, name=made.grant.name, expires=timestamp(made.grant.expires_at))


async def _on_enrolment_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, EnrolmentError)
    match error:
        case NotAMember():
            status = 404
        case BadRequest():
            status = 400
        case Unavailable():
            status = 503
        case _:
            status = 409
    return JSONResponse({"code": error.code, "problem": str(error)}, status)


async def _on_http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = {401: "denied", 404: "not-found", 410: "gone"}.get(error.status_code, "failed")
    return JSONResponse({"code": code, "problem": error.detail}, error.status_code, error.headers)

"""The API as an ASGI application: who asks, for what, in which form; errors as Kubernetes tells them. I/O.

Reads happen on the event loop, writes in threads: a disk that is slow holds up whoever writes, nobody else.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

import msgspec
import yaml
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from controller.orchestration.objects import wire
from controller.orchestration.objects.app import APP
from controller.orchestration.objects.causes import Cause
from controller.orchestration.objects.kinds import Catalogue
from controller.orchestration.objects.problems import Problem, bad_request, not_found, wrong_option
from controller.orchestration.objects.schema import Object, is_object
from controller.orchestration.objects.selectors import parse
from controller.orchestration.serving import access, asking, discovery, verbs
from controller.orchestration.serving.access import Asker
from controller.orchestration.serving.asking import Form, Target
from controller.orchestration.serving.certified import certificate_of
from controller.orchestration.serving.documents import Documents
from controller.orchestration.serving.forms import listed, one, stream
from controller.orchestration.serving.logs import log_of
from controller.orchestration.serving.nodes import Nodes, nobody
from controller.orchestration.serving.verbs import Verbs, new_write
from controller.orchestration.serving.watching import Hub
from controller.orchestration.store.store import HistoryLost, Key

LOG = logging.getLogger(__name__)

MOST_BODY = 3 * 1024 * 1024
"""Bytes of a request, as with Kubernetes."""
_YAML = ("application/yaml", "application/x-yaml", verbs.APPLY)
_OPEN = ("/healthz", "/livez", "/readyz", "/version")

_Encoded: TypeAlias = Response
Explain: TypeAlias = Callable[[Object], Awaitable[Object]]
"""Tells of an app, which need not be stored, where it would run and why."""


class Api:
    """One catalogue of kinds over one store, for who has the token, and for nodes."""

    def __init__(
        self,
        kinds: Catalogue,
        objects: Verbs,
        hub: Hub,
        token: str,
        version: Object,
        nodes: Nodes | None = None,
    ) -> None:
        """``nodes`` are let in by their certificates; None: there are none."""
        self._kinds = kinds
        self._objects = objects
        self._hub = hub
        self._token = token.encode()
        self._version = version
        self._documents = Documents(kinds, version["gitVersion"])
        self.nodes = nodes or Nodes(nobody)
        self.explain: Explain | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            return await self.nodes.open(scope, receive, send, self._token)
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except Problem as problem:
            response = answer(problem.status(), problem.code)
        except Exception:
            LOG.exception("%s %s failed", request.method, request.url.path)
            response = answer(
                Problem(500, "InternalError", "Internal error occurred: see the log").status(), 500
            )
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        if path in _OPEN:
            return answer(self._version) if path == "/version" else Response("ok", media_type="text/plain")
        who = self._let_in(request)
        if (
            not who.node
            and request.method == "GET"
            and (found := self._told(request, path.rstrip("/"))) is not None
        ):
            return found
        target = asking.target(self._kinds, path)
        if target is None and who.node:
            raise access.denied_path(who, request.method, path)
        if target is None:
            return Response("404 page not found\n", 404, media_type="text/plain")
        verb = _verb(request, target)
        access.check(who, verb, target, request.query_params.get("fieldSelector", ""))
        if target.subresource and not asking.has(target.kind, target.subresource):
            raise not_found(target.kind, target.name)
        return await self._do(request, target, verb, who)

    def _let_in(self, request: Request) -> Asker:
        said, leaf = request.headers.get("authorization", ""), certificate_of(request.scope)
        return access.asker(said, self._token, leaf, self.nodes.named)

    def _told(self, request: Request, path: str) -> Response | None:
        """Answer what tells what there is; None: it asks for something else."""
        accept = request.headers.get("accept", "")
        whole = next((v for v in ("v2", "v2beta1") if f"g=apidiscovery.k8s.io;v={v}" in accept), None)
        match path.split("/")[1:]:
            case ["api" | "apis" as root] if whole is not None:
                made = discovery.aggregated(self._kinds, core=root == "api", version=whole)
                media = f"application/json;g=apidiscovery.k8s.io;v={whole};as=APIGroupDiscoveryList"
                return Response(msgspec.json.encode(made), media_type=media)
            case ["api"]:
                return answer(discovery.core_versions(request.headers.get("host", "")))
            case ["apis"]:
                return answer(discovery.groups(self._kinds))
            case ["api", version]:
                return _if_any(discovery.resources(self._kinds, "", version))
            case ["apis", group]:
                return _if_any(discovery.group(self._kinds, group))
            case ["apis", group, version]:
                return _if_any(discovery.resources(self._kinds, group, version))
            case ["openapi", *rest]:
                return self._documents.answer(rest, accept)
            case _:
                return None

    async def _do(self, request: Request, target: Target, verb: str, who: Asker) -> Response:
        if verb not in target.kind.verbs or (target.subresource == "log" and verb != "get"):
            raise Problem(
                405,
                "MethodNotAllowed",
                "the server does not allow this method on the requested resource",
                {},
            )
        query = request.query_params
        if target.subresource == "log":
            return await log_of(self._objects.read(target), query, self.nodes.presence)
        form = asking.form(request.headers.get("accept", ""), query)
        match verb:
            case "get":
                found = self._objects.read(target)
                access.check_read(who, target, found)
                return answer(one(target.kind, found, form, time.time()))
            case "list":
                return self._list(request, target, form)
            case "watch":
                return self._watch(request, target, form, who)
            case _:
                return await self._write(request, target, verb, form, who)

    def _list(self, request: Request, target: Target, form: Form) -> Response:
        query = request.query_params
        selector = parse(target.kind, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        asking.version_of(query)
        found = self._objects.store.select(target.kind.resource, target.namespace)
        return Response(listed(target.kind, found, selector, form, time.time()), media_type=asking.JSON)

    def _watch(self, request: Request, target: Target, form: Form, who: Asker) -> Response:
        query = request.query_params
        kind = target.kind
        fields = query.get("fieldSelector", "")
        if target.name:
            fields = ",".join(filter(None, (fields, f"metadata.name={target.name}")))
        selector = parse(kind, query.get("labelSelector", ""), fields)
        since = asking.version_of(query)
        initial = asking.truth(query, "sendInitialEvents")
        store = self._objects.store
        first = None
        if since is None or initial:
            first = store.select(kind.resource, target.namespace)
            since = first.version
        try:
            if since > store.version():
                raise HistoryLost(
                    store.version()
                )  # of another life of this database: what is known is worth nothing
            watcher = self._hub.watch(kind.resource, target.namespace, selector, since)
        except HistoryLost as lost:
            expired = Problem(410, "Expired", f"too old resource version: {since} ({lost.oldest})").status()
            line = msgspec.json.encode({"type": "ERROR", "object": expired}) + b"\n"
            return Response(line, media_type=asking.JSON)
        events = stream(
            self._hub,
            watcher,
            kind,
            form,
            first,
            bookmarks=asking.truth(query, "allowWatchBookmarks"),
            initial=initial,
            seconds=float(query.get("timeoutSeconds") or 0) or None,
        )
        return StreamingResponse(self._while_let_in(request, who, events), media_type=asking.JSON)

    async def _while_let_in(
        self, request: Request, who: Asker, events: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        """Hand on events until a node is no member any more; a client that goes away ends the stream, too."""
        async for event in events:
            if who.node and not self._is_still(request, who):
                return
            yield event

    def _is_still(self, request: Request, who: Asker) -> bool:
        try:
            return self._let_in(request) == who
        except Problem:
            return False

    async def _write(self, request: Request, target: Target, verb: str, form: Form, who: Asker) -> Response:
        query = request.query_params
        media = request.headers.get("content-type", asking.JSON).split(";")[0].strip()
        body = _decoded(await _body(request), media)
        _check_options(query, verb, media)
        dry = asking.dry_run(query, body if verb.startswith("delete") else None)
        manager = query.get("fieldManager") or request.headers.get("user-agent", "unknown").split("/")[0]
        write = new_write(
            who.user if who.node else manager,
            query.get("fieldValidation") or "Warn",
            force=asking.truth(query, "force"),
            subresource=target.subresource,
        )
        options = asking.deletion(query, body)
        objects, code = self._objects, 200
        match verb:
            case "create":
                if who.node:
                    self._check_event(who, target, body)
                made = await asyncio.to_thread(objects.create, target, body, write, dry_run=dry)
                code = 201
            case "update":
                made = await asyncio.to_thread(objects.update, target, body, write, dry_run=dry)
            case "patch":
                allowed = partial(access.check_patch, who, target)
                made = await asyncio.to_thread(
                    objects.patch, target, media, body, write, dry_run=dry, allowed=allowed
                )
                code = 201 if _is_new(made, write.uid) else 200
            case "delete":
                made = await asyncio.to_thread(objects.delete, target, options, write, dry_run=dry)
            case _:
                selector = parse(target.kind, query.get("labelSelector", ""), query.get("fieldSelector", ""))
                gone = await asyncio.to_thread(
                    objects.delete_all, target, selector, options, write, dry_run=dry
                )
                made = {
                    "kind": target.kind.list_name,
                    "apiVersion": target.kind.api_version,
                    "metadata": {"continue": "", "resourceVersion": str(objects.store.version())},
                    "items": gone,
                }
        if dry and verb in ("create", "update", "patch") and target.kind is APP and not target.subresource:
            made = await self._explained(request, made)
        response = answer(one(target.kind, made, form, time.time()), code)
        for warning in write.warnings:
            response.headers.append("Warning", f'299 - "{_quoted(warning)}"')
        return response

    async def _explained(self, request: Request, made: Object) -> Object:
        """Return an app of a dry run with where it would run, and why: not for `kubectl diff`, which would
        tell that as a change.
        """
        if self.explain is None or request.headers.get("kubectl-command", "").endswith("diff"):
            return made
        try:
            told = await self.explain(made)
        except Exception:
            LOG.exception("applications: %s could not be explained", made["metadata"]["name"])
            return made
        return {**made, "status": {**made.get("status", {}), "placement": told}}

    def _check_event(self, who: Asker, target: Target, sent: Any) -> None:
        if not is_object(sent):
            raise bad_request("the object provided is unrecognized (must be of type Event)")
        about = sent.get("involvedObject")
        name = about.get("name") if is_object(about) else None
        pod = self._objects.store.read(Key(access.PODS, target.namespace or "", str(name)))
        access.check_event(who, target, sent, None if pod is None else msgspec.json.decode(pod))


def answer(value: Any, code: int = 200) -> Response:
    """Return a JSON response."""
    return Response(msgspec.json.encode(value), code, media_type=asking.JSON)


def _if_any(value: Object | None) -> Response | None:
    return None if value is None else answer(value)


def _verb(request: Request, target: Target) -> str:
    match request.method:
        case "GET" | "HEAD":
            if asking.truth(request.query_params, "watch"):
                return "watch"
            return "get" if target.name else "list"
        case "POST" if not target.name:
            return "create"
        case "PUT" if target.name:
            return "update"
        case "PATCH" if target.name:
            return "patch"
        case "DELETE":
            return "delete" if target.name else "deletecollection"
        case _:
            return ""


async def _body(request: Request) -> bytes:
    """Return what was sent, as long as it is not too much."""
    taken = bytearray()
    async for part in request.stream():
        taken += part
        if len(taken) > MOST_BODY:
            said = f"Request entity too large: limit is {MOST_BODY}"
            raise Problem(413, "RequestEntityTooLarge", said, {})
    return bytes(taken)


def _decoded(body: bytes, media: str) -> Any:
    if not body:
        return None
    if media == wire.MEDIA:
        return wire.decode(body)
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        if media not in _YAML:
            raise bad_request(f"error decoding JSON: {error}") from error
    try:
        return yaml.load(body, Loader=_Plain)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"error decoding YAML: {error}") from error


class _Plain(yaml.SafeLoader):
    """Plain values: without aliases, by which a small text becomes a large object, and without dates."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not taken")
        return super().compose_node(parent, index)


_Plain.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in listed if tag != "tag:yaml.org,2002:timestamp"]
    for first, listed in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _check_options(query: QueryParams, verb: str, media: str) -> None:
    forced = "force" in query
    if verb == "patch" and media == verbs.APPLY and not query.get("fieldManager"):
        said = "Required value: is required for apply patch"
        raise wrong_option("Patch", Cause("FieldValueRequired", "fieldManager", said))
    if verb == "patch" and media != verbs.APPLY and forced:
        said = "Forbidden: may not be specified for non-apply patch"
        raise wrong_option("Patch", Cause("FieldValueForbidden", "force", said))
    if (dry := query.get("dryRun")) and dry != "All":
        said = f'Unsupported value: ["{dry}"]: supported values: "All"'
        option = "Delete" if verb.startswith("delete") else verb.title()
        raise wrong_option(option, Cause("FieldValueNotSupported", "dryRun", said))


def _is_new(value: Object, uid: str) -> bool:
    return value["metadata"].get("uid") == uid


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')

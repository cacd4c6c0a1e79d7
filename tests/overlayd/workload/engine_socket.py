"""A Docker Engine of a test's own: as much of its API as pods need, with containers that do nothing.

What it answers has the form that Docker 20.10 gave to the same questions.
"""

import asyncio
import datetime
import itertools
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web


class FakeEngine:
    """``images`` that are there; ``registry``: those that can be pulled. ``refuses`` [image]: why it does not
    start.
    """

    def __init__(self) -> None:
        self.images: set[str] = {"here:1"}
        self.registry: set[str] = set()
        self.refuses: dict[str, str] = {}
        self.containers: dict[str, dict[str, Any]] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.pulls: list[str] = []
        self.loaded = 0
        self.stops: list[tuple[str, str]] = []
        self._ids = itertools.count()
        self._listeners: list[asyncio.Queue[dict[str, Any] | None]] = []

    @asynccontextmanager
    async def serving(self, socket: Path) -> AsyncGenerator[None]:
        """Answer at ``socket``; at the end all connections close, and containers stay."""
        app = web.Application()
        routes = {
            ("GET", "/version"): self._version,
            ("GET", "/events"): self._events,
            ("GET", "/containers/json"): self._list,
            ("POST", "/containers/create"): self._create,
            ("GET", "/containers/{name}/json"): self._show,
            ("POST", "/containers/{name}/start"): self._start,
            ("POST", "/containers/{name}/stop"): self._stop,
            ("POST", "/containers/{name}/kill"): self._stop,
            ("DELETE", "/containers/{name}"): self._delete,
            ("GET", "/containers/{name}/logs"): self._logs,
            ("GET", "/images/{name:.+}/json"): self._image,
            ("POST", "/images/create"): self._pull,
            ("POST", "/images/load"): self._load,
            ("DELETE", "/images/{name:.+}"): self._delete_image,
        }
        for (method, path), handler in routes.items():
            app.router.add_route(method, path, handler)
            app.router.add_route(method, "/v{version}" + path, handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        socket.unlink(missing_ok=True)
        await web.UnixSite(runner, str(socket)).start()
        try:
            yield
        finally:
            for listener in self._listeners:
                listener.put_nowait(None)
            self._listeners.clear()
            await runner.cleanup()
            socket.unlink(missing_ok=True)

    def named(self, name: str) -> dict[str, Any]:
        """The container of a name or id."""
        return next(one for one in self.containers.values() if name in (one["Name"][1:], one["Id"]))

    def ends(self, name: str, code: int, *, oom: bool = False) -> None:
        """A container's process ends by itself."""
        one = self.named(name)
        one["State"] |= {
            "Status": "exited", "Running": False, "Pid": 0, "ExitCode": code, "OOMKilled": oom,
            "FinishedAt": _now(),
        }  # fmt: skip
        told = {
            "Type": "container",
            "Action": "die",
            "Actor": {"ID": one["Id"], "Attributes": one["Config"]["Labels"]},
        }
        for listener in self._listeners:
            listener.put_nowait(told)

    # Answers

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12"})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._listeners.append(queue)
        while (event := await queue.get()) is not None:
            await answer.write(json.dumps(event).encode() + b"\n")
        return answer

    async def _list(self, request: web.Request) -> web.Response:
        wanted = json.loads(request.query.get("filters", "{}")).get("label", [])
        found = [
            {
                "Id": one["Id"], "Names": [one["Name"]], "Image": one["Config"]["Image"],
                "ImageID": one["Image"], "Labels": one["Config"]["Labels"], "State": one["State"]["Status"],
            }
            for one in self.containers.values()
            if all(_has(one["Config"]["Labels"], label) for label in wanted)
        ]  # fmt: skip
        return web.json_response(found)

    async def _create(self, request: web.Request) -> web.Response:
        name, config = request.query["name"], await request.json()
        if any(one["Name"] == f"/{name}" for one in self.containers.values()):
            return _problem(409, f'Conflict. The container name "/{name}" is already in use')
        if config["Image"] not in self.images:
            return _problem(404, f"No such image: {config['Image']}")
        id = f"{next(self._ids):064x}"
        self.configs[name] = config
        self.containers[id] = {
            "Id": id, "Name": f"/{name}", "Image": f"sha256:{config['Image']}",
            "Config": {"Tty": False, **config},
            "HostConfig": config["HostConfig"], "NetworkSettings": {"IPAddress": "", "Networks": {}},
            "State": {
                "Status": "created", "Running": False, "Pid": 0, "ExitCode": 0, "Error": "",
                "OOMKilled": False, "StartedAt": "0001-01-01T00:00:00Z", "FinishedAt": "0001-01-01T00:00:00Z",
            },
        }  # fmt: skip
        return web.json_response({"Id": id, "Warnings": []}, status=201)

    async def _show(self, request: web.Request) -> web.Response:
        return self._of(request, web.json_response)

    async def _start(self, request: web.Request) -> web.Response:
        def start(one: dict[str, Any]) -> web.Response:
            if (problem := self.refuses.get(one["Config"]["Image"])) is not None:
                return _problem(500, problem)
            one["State"] |= {"Status": "running", "Running": True, "Pid": 4242, "StartedAt": _now()}
            if one["HostConfig"]["NetworkMode"] == "bridge":
                one["NetworkSettings"]["IPAddress"] = "172.17.0.2"
            return web.Response(status=204)

        return self._of(request, start)

    async def _stop(self, request: web.Request) -> web.Response:
        gently = request.path.endswith("/stop")

        def stop(one: dict[str, Any]) -> web.Response:
            if not one["State"]["Running"]:
                return web.Response(status=304) if gently else _problem(409, "is not running")
            self.stops.append((one["Name"][1:], request.query.get("t", "kill")))
            self.ends(one["Id"], 143 if gently else 137)
            return web.Response(status=204)

        return self._of(request, stop)

    async def _delete(self, request: web.Request) -> web.Response:
        def delete(one: dict[str, Any]) -> web.Response:
            assert request.query["force"].lower() in ("1", "true")
            del self.containers[one["Id"]]
            return web.Response(status=204)

        return self._of(request, delete)

    async def _logs(self, request: web.Request) -> web.Response:
        def logs(one: dict[str, Any]) -> web.Response:
            said = f"{one['Name'][1:]} {sorted(request.query.items())}\n".encode()
            return web.Response(body=b"\x01\0\0\0" + len(said).to_bytes(4, "big") + said)

        return self._of(request, logs)

    async def _image(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name in self.images:
            return web.json_response({"Id": f"sha256:{name}"})
        return _problem(404, f"No such image: {name}")

    async def _pull(self, request: web.Request) -> web.Response:
        name = request.query["fromImage"]
        self.pulls.append(name)
        if name not in self.registry:
            return _problem(404, f"pull access denied for {name}")
        self.images.add(name)
        return web.json_response({"status": "Download complete"})

    async def _load(self, request: web.Request) -> web.Response:
        assert b"manifest.json" in await request.read()
        self.loaded += 1
        self.images.add("overlayd-pod:1")
        return web.json_response({"stream": "Loaded image: overlayd-pod:1"})

    async def _delete_image(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if any(one["Config"]["Image"] == name for one in self.containers.values()):
            return _problem(409, "image is being used")
        self.images.discard(name)
        return web.json_response([{"Untagged": name}])

    def _of(self, request: web.Request, answer: Any) -> web.Response:
        name = request.match_info["name"]
        try:
            return answer(self.named(name))
        except StopIteration:
            return _problem(404, f"No such container: {name}")


def _has(labels: dict[str, str], label: str) -> bool:
    name, equals, value = label.partition("=")
    return labels.get(name) == value if equals else name in labels


def _problem(status: int, message: str) -> web.Response:
    # Without a charset, as Docker does; else its client would not look into it.
    headers = {"Content-Type": "application/json"}
    return web.Response(body=json.dumps({"message": message}), status=status, headers=headers)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")

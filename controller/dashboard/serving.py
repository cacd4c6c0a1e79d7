"""Gives the dashboard's built files to browsers. I/O: reads them once, when the application is made.

They hold no secret and are open to who reaches the API; what they show comes from ``/v1``, with a session.
Not here: the sources (``web``), and building them (``make dashboard``). Called by `controller.api.app`.
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response

BUILT: Final = Path(__file__).parent / "built"
NOT_BUILT: Final = """\
This controller was installed without its dashboard. `make dashboard` builds it; packages made by
`make wheel` and `make deb` bring it along. The API is there all the same (docs/openapi.json).
"""

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
GUARDS: Final = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_ENTRY: Final = "index.html"
_HASHED: Final = "assets/"
"""Names below it change with what is in the files."""


@dataclass(frozen=True, slots=True)
class File:
    """``packed`` is ``body`` by gzip."""

    body: bytes
    packed: bytes
    kind: str
    tag: str


def read_built(folder: Path) -> dict[str, File]:
    """Return all files that browsers may ask for, by path; none where nothing was built."""
    if not (folder / _ENTRY).is_file():
        return {}
    return {
        path.relative_to(folder).as_posix(): _file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in _TYPES
    }


def add_dashboard(app: FastAPI, folder: Path) -> None:
    """Serve what is built in ``folder`` at ``/``."""
    files = read_built(folder)

    def serve(path: str, file: File | None, name: str) -> None:
        async def endpoint(request: Request) -> Response:
            return PlainTextResponse(NOT_BUILT, 404, GUARDS) if file is None else _answer(file, name, request)

        app.add_api_route(path, endpoint, methods=["GET", "HEAD"], include_in_schema=False)

    serve("/", files.get(_ENTRY), _ENTRY)
    for name, file in files.items():
        serve(f"/{name}", file, name)


def _answer(file: File, name: str, request: Request) -> Response:
    headers = {
        **GUARDS,
        "cache-control": "public, max-age=31536000, immutable" if name.startswith(_HASHED) else "no-cache",
        "etag": file.tag,
        "vary": "accept-encoding",
    }
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.packed, 200, {**headers, "content-encoding": "gzip"}, file.kind)
    return Response(file.body, 200, headers, file.kind)


def _file(path: Path) -> File:
    body = path.read_bytes()
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    return File(body, gzip.compress(body, 9, mtime=0), _TYPES[path.suffix], tag)

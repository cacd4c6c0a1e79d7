"""Who may ask: the admin token as a bearer opens everything, a session's cookie opens what changes nothing,
the metrics token what Prometheus reads.

A session is for browsers: whoever shows the token once gets a cookie that no script can read and that is
sent to this API alone. It carries its end and a seal made with the token, so nothing is kept here: a restart
does not end it, a new admin token does. Pure but for the clock that FastAPI's dependencies read.
"""

import hashlib
import hmac
import time
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from controller.api.models import Problem, SessionModel
from controller.registry import timestamp
from controller.server.service import Service
from overlayd._engine import version

COOKIE: Final = "overlayd_session"
SESSION_S: Final = 12 * 3600
DENIED: dict[int | str, dict[str, Any]] = {401: {"model": Problem}}
_SAFE: Final = ("GET", "HEAD")
_PURPOSE: Final = b"overlayd session until "
_BEARER = HTTPBearer(auto_error=False, description="The admin token; for metrics the metrics token does.")
_SESSION = APIKeyCookie(name=COOKIE, auto_error=False, description="A session of a browser: opens GET alone.")

Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
Cookie = Annotated[str | None, Depends(_SESSION)]


def seal(admin_token: str, ends_at: int) -> str:
    """Return the cookie of a session that ends at ``ends_at`` (Unix seconds)."""
    mac = hmac.new(admin_token.encode(), _PURPOSE + str(ends_at).encode(), hashlib.sha256)
    return f"{ends_at}.{mac.hexdigest()}"


def end_of(admin_token: str, cookie: str, unix_s: float) -> int | None:
    """Return when the session of this cookie ends; None if it is over, or none of ours."""
    text, _, _ = cookie.partition(".")
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        return None
    ends_at = int(text)
    genuine = hmac.compare_digest(cookie.encode(), seal(admin_token, ends_at).encode())
    return ends_at if genuine and ends_at > unix_s else None


class Access:
    """The dependencies of a service's endpoints."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def require_admin(self, given: Bearer) -> None:
        """Let nobody in but who has the admin token. Raises 401."""
        expected = self._service.state.admin_token.encode()
        if given is None or not hmac.compare_digest(given.credentials.encode(), expected):
            raise HTTPException(401, "the admin token is needed", {"WWW-Authenticate": "Bearer"})

    def require(self, request: Request, given: Bearer, cookie: Cookie) -> None:
        """Let in who has the admin token, and to what changes nothing who has a session. Raises 401."""
        if given is not None or request.method not in _SAFE or self.session_end(cookie) is None:
            self.require_admin(given)

    def require_metrics(self, given: Bearer) -> None:
        """Let in who has the metrics token or the admin token. Raises 401."""
        if not self._watches(given):
            self.require_admin(given)

    def require_targets(self, request: Request, given: Bearer, cookie: Cookie) -> None:
        """As :meth:`require`, and let in who has the metrics token. Raises 401."""
        if not self._watches(given):
            self.require(request, given, cookie)

    def _watches(self, given: HTTPAuthorizationCredentials | None) -> bool:
        expected = self._service.state.metrics_token.encode()
        return given is not None and hmac.compare_digest(given.credentials.encode(), expected)

    def session_end(self, cookie: str | None) -> int | None:
        """Return when the session of a request ends (Unix seconds); None: it has none."""
        return None if cookie is None else end_of(self._service.state.admin_token, cookie, time.time())


def add_sessions(router: APIRouter, service: Service, access: Access) -> None:
    """Add the endpoints to ``router``, which asks for nothing itself."""

    @router.post("/session", dependencies=[Depends(access.require_admin)], responses=DENIED)
    async def log_in(request: Request, response: Response) -> SessionModel:
        """Begin a session of a browser; the admin token is not needed again until it ends."""
        ends_at = int(time.time()) + SESSION_S
        response.set_cookie(
            COOKIE,
            seal(service.state.admin_token, ends_at),
            max_age=SESSION_S,
            path="/v1",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return _model(service, ends_at)

    @router.get("/session", dependencies=[Depends(access.require)], responses=DENIED)
    async def read_session(cookie: Cookie) -> SessionModel:
        """What a page needs to know before it asks for anything else."""
        return _model(service, access.session_end(cookie))

    @router.delete("/session", status_code=204, responses=DENIED)
    async def log_out(response: Response, given: Bearer, cookie: Cookie) -> None:
        """End the session of this browser."""
        if access.session_end(cookie) is None:
            access.require_admin(given)
        response.delete_cookie(COOKIE, path="/v1", httponly=True, samesite="strict")


def _model(service: Service, ends_at: int | None) -> SessionModel:
    return SessionModel(
        network=service.network_name,
        version=version(),
        ends=None if ends_at is None else timestamp(ends_at),
        classes=[one.name for one in service.core.services],
        interval_seconds=service.state.config.decisions.telemetry_interval,
    )

"""What ``overlayctl`` asks the controller's API of applications: HTTPS, with the admin token. I/O.

Who is asked is said by a kubeconfig, or by address, token and authority; the latter need the standard library
alone. What is told is Kubernetes' (`controller.orchestration.serving`).
"""

import argparse
import base64
import http.client
import json
import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from overlayd.cli.ctl_apps_arguments import DEFAULT_SERVER
from overlayd.cli.ctl_apps_yaml import read_documents
from overlayd.cli.ctl_client import Document
from overlayd.cli.ctl_failure import CONFLICT, DENIED, FAILED, NOT_FOUND, TIMEOUT, UNREACHABLE, USAGE, Failure

TIMEOUT_S = 30.0
STATE = Path("/var/lib/overlayd-controller")
AGENT_CA = Path("/var/lib/overlayd/agent/ca.pem")
_ENVIRONMENT = {
    "server": "OVERLAYD_SERVER",
    "token_file": "OVERLAYD_ADMIN_TOKEN_FILE",
    "ca_file": "OVERLAYD_CA_FILE",
}
_EXIT_CODES = {
    400: USAGE,
    401: DENIED,
    403: DENIED,
    404: NOT_FOUND,
    409: CONFLICT,
    422: USAGE,
    503: UNREACHABLE,
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the API is, who we are, and by whose word it is it. ``namespace``: where none is named."""

    server: str
    token: str
    authority: str
    namespace: str = "default"


class Api:
    """The API, asked as admin."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._place = _place(arguments)
        self.namespace: str = arguments.namespace or self._place.namespace
        self._tls = _trusting(self._place.authority)

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        media: str = "application/json",
        accept: str = "application/json",
    ) -> tuple[Document, list[str]]:
        """Return the answer and its warnings. Raises :class:`Failure`."""
        connection, answer = self._open(method, path, query, body, media, accept)
        try:
            document: Any = json.loads(answer.read())
        except TimeoutError as error:
            raise Failure(TIMEOUT, f"{self._place.server} did not answer within {TIMEOUT_S:g} s") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Failure(FAILED, f"{self._place.server} is no controller's API: {error}") from error
        finally:
            connection.close()
        warnings = [_unquoted(said) for said in answer.headers.get_all("Warning", [])]
        return document, warnings

    def lines(self, path: str, query: Mapping[str, str]) -> Iterator[bytes]:
        """Yield lines as they come, without their ends, until the other side has no more. Raises
        :class:`Failure`.
        """
        connection, answer = self._open("GET", path, query, None, "application/json", "*/*", timeout_s=None)
        try:
            waiting = b""
            while part := answer.read1(65536):
                *lines, waiting = (waiting + part).split(b"\n")
                yield from lines
            if waiting:
                yield waiting
        except (OSError, http.client.HTTPException) as error:
            raise Failure(UNREACHABLE, f"{self._place.server}: it broke off: {error}") from error
        finally:
            connection.close()

    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Any,
        media: str,
        accept: str,
        timeout_s: float | None = TIMEOUT_S,
    ) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
        url = urlsplit(self._place.server)
        if url.scheme != "https" or not url.hostname:
            raise Failure(USAGE, f"{self._place.server!r} is not of the form https://HOST:PORT")
        connection = http.client.HTTPSConnection(
            url.hostname, url.port or 443, timeout=TIMEOUT_S, context=self._tls
        )
        headers = {
            "Accept": accept,
            "Authorization": f"Bearer {self._place.token}",
            "Content-Type": media,
            "User-Agent": "overlayctl",
        }
        target = path + (f"?{urlencode(query)}" if query else "")
        try:
            connection.request(method, target, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            if connection.sock is not None:
                connection.sock.settimeout(timeout_s)
            if answer.status >= 400:
                raise _refusal(answer)
        except ssl.SSLCertVerificationError as error:
            connection.close()
            why = (
                f"{self._place.server} does not show a certificate of this network's: {error.verify_message}"
            )
            raise Failure(DENIED, why) from error
        except TimeoutError as error:
            connection.close()
            raise Failure(TIMEOUT, f"{self._place.server} did not answer within {TIMEOUT_S:g} s") from error
        except OSError as error:
            connection.close()
            raise Failure(UNREACHABLE, f"{self._place.server}: {error.strerror or error}") from error
        except http.client.HTTPException as error:
            connection.close()
            raise Failure(FAILED, f"{self._place.server} is no controller's API: {error}") from error
        except Failure:
            connection.close()
            raise
        return connection, answer


def _refusal(answer: http.client.HTTPResponse) -> Failure:
    body = answer.read()
    try:
        said = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        said = body[:200].decode(errors="replace").strip() or answer.reason
    if answer.status == 401:
        said = "the admin token is not this controller's; name a file with it with --token-file"
    return Failure(_EXIT_CODES.get(answer.status, FAILED), said)


def _place(arguments: argparse.Namespace) -> Place:
    """What is said on the command line goes before the environment, there the kubeconfig before the rest."""
    said = arguments.server or arguments.token_file or arguments.ca_file
    kubeconfig = arguments.kubeconfig or ("" if said else os.environ.get("KUBECONFIG", ""))
    if kubeconfig:
        return _of_kubeconfig(kubeconfig.partition(":")[0])
    given = {key: getattr(arguments, key) or os.environ.get(name) for key, name in _ENVIRONMENT.items()}
    token_file = Path(given["token_file"] or STATE / "admin.token")
    token = _read(token_file, "the admin token", "--token-file").strip()
    beside = token_file.parent / "ca" / "root.pem"
    authority = Path(given["ca_file"] or (beside if _is_file(beside) else AGENT_CA))
    server = (given["server"] or DEFAULT_SERVER).rstrip("/")
    return Place(server, token, _read(authority, "the network's authority", "--ca-file"))


def _of_kubeconfig(file: str) -> Place:
    (config,) = read_documents(file, _read(Path(file), "the kubeconfig", "--kubeconfig")) or [{}]
    try:
        context = _named(config, "contexts", config["current-context"])["context"]
        cluster = _named(config, "clusters", context["cluster"])["cluster"]
        user = _named(config, "users", context["user"])["user"]
        if "certificate-authority-data" in cluster:
            authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        else:
            authority = Path(cluster["certificate-authority"]).read_text()
        token: str = user["token"] if "token" in user else Path(user["tokenFile"]).read_text().strip()
        return Place(cluster["server"].rstrip("/"), token, authority, context.get("namespace", "default"))
    except (KeyError, TypeError, ValueError, OSError) as error:
        said = "it needs a current context with server, authority and token"
        raise Failure(USAGE, f"{file} does not say how to reach a controller ({error}); {said}") from error


def _named(config: Document, key: str, name: str) -> Document:
    return next(one for one in config[key] if one["name"] == name)


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:
        return False


def _read(file: Path, what: str, option: str) -> str:
    try:
        return file.read_text("utf-8")
    except PermissionError as error:
        raise Failure(DENIED, f"{file}: only the controller's user may read {what}") from error
    except OSError as error:
        raise Failure(USAGE, f"{file}: {error.strerror}; name {what} with {option}") from error
    except UnicodeDecodeError as error:
        raise Failure(USAGE, f"{file} is not {what}") from error


def _trusting(authority: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=authority)
    except ssl.SSLError as error:
        raise Failure(USAGE, f"the network's authority cannot be read: {error.reason}") from error


def _unquoted(warning: str) -> str:
    """Return the text of ``299 - "text"``."""
    text = warning.partition('"')[2].rpartition('"')[0]
    return text.replace('\\"', '"').replace("\\\\", "\\")

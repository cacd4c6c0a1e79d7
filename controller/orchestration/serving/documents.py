"""The OpenAPI documents as they are served: made once, named by a hash of what stands in them. Pure."""

import hashlib

import msgspec
from starlette.responses import Response

from controller.orchestration.objects import gnostic, openapi
from controller.orchestration.objects.kinds import Catalogue
from controller.orchestration.objects.schema import Object

PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
JSON = "application/json"


class Documents:
    """The documents of one catalogue."""

    def __init__(self, kinds: Catalogue, version: str) -> None:
        second = openapi.version_2(kinds, version)
        self._second = msgspec.json.encode(second)
        self._gnostic = gnostic.encode(second)
        self._third: dict[str, bytes] = {}
        for (group, of), found in kinds.groups().items():
            path = f"apis/{group}/{of}" if group else f"api/{of}"
            self._third[path] = msgspec.json.encode(openapi.version_3(found, version))

    def answer(self, path: list[str], accept: str) -> Response | None:
        """Return what ``/openapi/...`` answers; None: there is no such document."""
        match path:
            case ["v2"] if "protobuf" in accept:
                return Response(self._gnostic, media_type=PROTOBUF)
            case ["v2"]:
                return Response(self._second, media_type=JSON)
            case ["v3"]:
                return Response(msgspec.json.encode(self._index()), media_type=JSON)
            case ["v3", *rest]:
                found = self._third.get("/".join(rest))
                return None if found is None else Response(found, media_type=JSON)
            case _:
                return None

    def _index(self) -> Object:
        return {
            "paths": {
                path: {
                    "serverRelativeURL": f"/openapi/v3/{path}?hash={hashlib.sha256(body).hexdigest().upper()}"
                }
                for path, body in self._third.items()
            }
        }

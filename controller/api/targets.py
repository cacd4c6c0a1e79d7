"""``/v1/prometheus/targets``: the members as Prometheus discovers them by HTTP. Reads the service.

Called by `controller.api.app`.
"""

import ipaddress
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from controller.server.service import Service

METRICS_PORT = 9460


class TargetGroup(BaseModel):
    """Prometheus's own format, so without our ``schema``: where one host tells of itself, and its name."""

    targets: list[str]
    labels: dict[str, str]


def add_targets(router: APIRouter, service: Service) -> None:
    """Add the endpoint to ``router``."""

    @router.get("/prometheus/targets")
    async def list_targets(
        port: Annotated[int, Query(ge=1, le=65535)] = METRICS_PORT,
    ) -> list[TargetGroup]:
        """The overlay address of each member, for `http_sd_configs`; `instance` is the node's name."""
        nodes = (member.node for _, member in sorted(service.members.items()))
        return [
            TargetGroup(
                targets=[_endpoint(node.spec.addresses[0], port)], labels={"instance": node.metadata.name}
            )
            for node in nodes
        ]


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ipaddress.ip_address(address).version == 6 else f"{address}:{port}"

"""What is steered is written in the API's names, defaults left out, and read back the same."""

import msgspec

from overlayd.protocol.steering import (
    SteeredRoute,
    Steering,
    SteeringMetadata,
    SteeringSpec,
    Target,
    UserPrefixes,
)


def test_steering_survives_the_api() -> None:
    route = SteeredRoute(
        name="shop/qc", host="qc.shop.mesh", address="100.127.0.9", port=80, timeout_seconds=5.0,
        targets=(
            Target(name="qc-1-a", address="100.64.0.2", port=20001, weight=100),
            Target(name="b", address="x", port=1, backup=True),
        ),
    )  # fmt: skip
    groups = (UserPrefixes(name="shop/qingdao", prefixes=("10.1.0.0/16",)),)
    sent = Steering(
        metadata=SteeringMetadata(name="paris"), spec=SteeringSpec(routes=(route,), groups=groups)
    )
    document = msgspec.json.encode(sent)
    assert msgspec.json.decode(document, type=Steering) == sent
    assert msgspec.to_builtins(route) == {
        "name": "shop/qc", "host": "qc.shop.mesh", "address": "100.127.0.9", "port": 80,
        "timeoutSeconds": 5.0, "targets": (
            {"name": "qc-1-a", "address": "100.64.0.2", "port": 20001, "weight": 100},
            {"name": "b", "address": "x", "port": 1, "backup": True},
        ),
    }  # fmt: skip

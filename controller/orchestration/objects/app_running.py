"""What of an ``App`` says what runs: containers or processes, ports, environment, files, health, resources.
Pure: declarations.
"""

from controller.orchestration.objects.formats import name, path, port, port_or_name, quantity, span
from controller.orchestration.objects.schema import (
    Rule,
    Schema,
    flag,
    mapping,
    number,
    record,
    series,
    text,
    whole,
)

ENV = series(
    "Variables of the environment. PORT tells the number of the first port, PORT_NAME that of the port NAME: "
    "it is chosen on the node, so a process listens there. OVERLAYD_APP, OVERLAYD_POD, OVERLAYD_NODE and "
    "OVERLAYD_ADDRESS tell who and where an instance is.",
    record(
        "A variable.",
        {
            "name": text(
                "Its name: letters, digits and '_', not beginning with a digit.",
                max_length=256,
                rules=(
                    Rule(
                        "self.matches('^[A-Za-z_][A-Za-z0-9_]*$')",
                        "must be letters, digits and '_', not beginning with a digit",
                    ),
                ),
            ),
            "value": text("Its value, as it is: nothing is expanded.", max_length=32768, default=""),
        },
        "name",
    ),
    "name",
    max_items=128,
)

PORTS = series(
    "Ports that an instance serves at. They are reached at the node's overlay address.",
    record(
        "A port.",
        {
            "name": name("By which routes and checks may call it. Default: main.", default="main"),
            "port": port(
                "Where the container listens. A process of the host listens at $PORT instead, which is "
                "`hostPort` where that is given."
            ),
            "protocol": text("TCP (HTTP, too) or UDP. Default: TCP.", enum=("TCP", "UDP"), default="TCP"),
            "hostPort": port(
                "The node's port that leads there. Left out: a free one from 20000 to 29999. Given: an "
                "instance runs only where it is free, so there is at most one on a node."
            ),
        },
        "port",
    ),
    "name",
    max_items=32,
)

SECRETS = series(
    "Files of the node that only root reads there, shown to the instance. They are not kept in the API and "
    "never leave the node: put them there yourself. An instance waits while a file is missing, and says so.",
    record(
        "A secret.",
        {
            "name": name("Its name."),
            "file": path("Where it is on the node, such as /etc/overlayd/secrets/db."),
            "mountPath": path("Where the instance finds it. Left out: /run/secrets/NAME."),
        },
        "name",
        "file",
    ),
    "name",
    max_items=32,
)

VOLUMES = series(
    "Folders that an instance writes to. Without `hostPath` it is a folder of the instance's own, empty at "
    "first, which outlives restarts of its containers and goes with the instance.",
    record(
        "A volume.",
        {
            "name": name("Its name."),
            "mountPath": path("Where every container of the instance finds it."),
            "hostPath": path(
                "A folder of the node: it stays when the instance goes, and does not move with it."
            ),
            "readOnly": flag("Whether nothing may be written. Default: false.", default=False),
            "sizeLimit": quantity("The most that may be in it; more ends the instance.", "500Mi or 1Gi"),
        },
        "name",
        "mountPath",
        rules=(
            Rule(
                "!(has(self.hostPath) && has(self.sizeLimit))",
                "cannot be held for a folder of the node",
                ".sizeLimit",
            ),
        ),
    ),
    "name",
    max_items=32,
)


def _number_of(description: str, most: int, default: int) -> Schema:
    return whole(description, format="int32", minimum=1, maximum=most, default=default)


_CHECKED_PORT = "Number or name of the port. Left out: the first."

HEALTH = record(
    "How it is told whether an instance is well: by exactly one of `http`, `tcp` and `exec`. One that is not "
    "yet well gets no requests; one that no longer is gets none and, after `failures` checks in a row, is "
    "started again. Without it an instance is well while it runs.",
    {
        "http": record(
            "A GET that has to be answered with a status from 200 to 399.",
            {
                "path": path("What is asked for. Default: /.", default="/"),
                "port": port_or_name(_CHECKED_PORT),
            },
        ),
        "tcp": record("A connection that has to be accepted.", {"port": port_or_name(_CHECKED_PORT)}),
        "exec": record(
            "A command inside the instance that has to end with 0.",
            {
                "command": series(
                    "The program and its arguments.", text(max_length=4096), min_items=1, max_items=64
                )
            },
            "command",
        ),
        "intervalSeconds": _number_of("From one check to the next. Default: 10.", 3600, 10),
        "timeoutSeconds": _number_of("A check that takes longer has failed. Default: 2.", 600, 2),
        "failures": _number_of("So many failed checks in a row make an instance unwell. Default: 3.", 100, 3),
        "startSeconds": _number_of(
            "So long an instance may take to become well after its start; it is not started again before. "
            "Default: 60.",
            3600,
            60,
        ),
    },
    rules=(
        Rule(
            "(has(self.http) ? 1 : 0) + (has(self.tcp) ? 1 : 0) + (has(self.exec) ? 1 : 0) == 1",
            "needs exactly one of http, tcp and exec",
        ),
    ),
)


def _amounts(description: str) -> Schema:
    return record(
        description,
        {
            "cpu": quantity("Processors: 2, or 500m for half of one.", "2 or 500m"),
            "memory": quantity("Bytes of memory: 256Mi, 1Gi.", "256Mi or 1Gi"),
            "disk": quantity("Bytes for what an instance writes: 500Mi, 1Gi.", "500Mi or 1Gi"),
            "mbps": number("Mbit/s of the node's uplink.", minimum=0, maximum=1000000),
            "devices": mapping(
                "Devices by the names that nodes give them in overlayd.toml, and how many: {gpu: 1}.",
                whole("How many.", format="int32", minimum=0, maximum=1024),
                max_properties=16,
            ),
        },
    )


def _order(field: str) -> Rule:
    asked, most = f"self.requests.{field}", f"self.limits.{field}"
    both = f"has(self.requests) && has(self.limits) && has({asked}) && has({most})"
    known = f"isQuantity(string({asked})) && isQuantity(string({most}))"
    less = f"quantity(string({most})).isLessThan(quantity(string({asked})))"
    said = "must not be less than what is requested"
    return Rule(f"!({both}) || !({known}) || !{less}", said, f".limits.{field}")


RESOURCES = record(
    "What each instance takes of its node.",
    {
        "requests": _amounts(
            "What is set aside for an instance: it runs only where so much is free. Default: nothing."
        ),
        "limits": _amounts(
            "The most that an instance may take. More memory ends it, more processor makes it wait. Default: "
            "no limit. Where there is a limit and no request, as much is requested."
        ),
    },
    rules=(_order("cpu"), _order("memory"), _order("disk")),
)

_RUN = {
    "image": text(
        "Image of a container, as docker pulls it: qc:v3, or ghcr.io/you/qc@sha256:…",
        min_length=1,
        max_length=512,
    ),
    "command": series(
        "Program and first arguments; of a container instead of the image's.",
        text(max_length=4096),
        max_items=64,
    ),
    "args": series(
        "Further arguments; of a container instead of the image's.", text(max_length=4096), max_items=256
    ),
    "workingDir": path("The folder to start in."),
}
_WHAT = Rule(
    "has(self.image) || (has(self.command) && size(self.command) > 0)",
    "needs an image, or a command to run as a process of the host",
)

SOURCE = record(
    "What one container or process runs: the short form of `containers` with a single one. With an `image` "
    "it is a container of Docker; without one `command` is a process of the host, in a unit of its own.",
    _RUN,
    rules=(_WHAT,),
)

CONTAINERS = series(
    "Several containers or processes that run together on one node, share localhost, and come and go "
    "together. Instead of `source`.",
    record(
        "A container or process.",
        {
            "name": name("Its name among the containers."),
            **_RUN,
            "env": ENV,
            "ports": PORTS,
            "health": HEALTH,
            "resources": RESOURCES,
        },
        "name",
        rules=(_WHAT,),
    ),
    "name",
    min_items=1,
    max_items=8,
)

STOP = span(
    "So long an instance may take to end after it was asked to (SIGTERM); then it is killed. While it ends "
    "it gets no new requests. Default: 30s.",
    "0s",
    "1h",
    "30s",
)

"""What a ``Pod`` is made of: containers, probes, volumes, and how they are. Pure: declarations.

Named and described after Kubernetes' ``core/v1``.
"""

from controller.orchestration.objects.formats import path, port, port_or_name, quantity
from controller.orchestration.objects.schema import Schema, flag, mapping, record, series, text, whole

_CORE = "io.k8s.api.core.v1"
_TIME = {"format": "date-time"}
_PORT = "Number or name of the port."


def _count(description: str, least: int, default: int | None = None) -> Schema:
    return whole(description, format="int32", minimum=least, default=default)


def _probe(description: str) -> Schema:
    return record(
        description,
        {
            "httpGet": record(
                "HTTPGet specifies a GET request to perform.",
                {
                    "path": text("Path to access on the server.", default="/"),
                    "port": port_or_name(_PORT),
                    "scheme": text("HTTP or HTTPS.", enum=("HTTP", "HTTPS"), default="HTTP"),
                },
                "port",
            ),
            "tcpSocket": record(
                "TCPSocket specifies a connection to a port.", {"port": port_or_name(_PORT)}, "port"
            ),
            "exec": record(
                "Exec specifies a command to execute in the container.",
                {"command": series("The command line; it is not run in a shell.", text())},
            ),
            "initialDelaySeconds": _count("Seconds after the container has started before probes begin.", 0),
            "periodSeconds": _count("How often (in seconds) to perform the probe. Default: 10.", 1, 10),
            "timeoutSeconds": _count("Seconds after which the probe times out. Default: 1.", 1, 1),
            "successThreshold": _count("Successes in a row after having failed. Default: 1.", 1, 1),
            "failureThreshold": _count("Failures in a row after having succeeded. Default: 3.", 1, 3),
        },
    )


_NAMES = "Names: cpu, memory, ephemeral-storage, overlayd.io/mbps, devices.overlayd.io/NAME."
_AMOUNT = quantity("How much.", "2, 500m or 256Mi")
_RESOURCES = record(
    "Compute Resources required by this container.",
    {
        "limits": mapping(f"The most that the container may take. {_NAMES}", _AMOUNT),
        "requests": mapping(f"What is set aside for it. {_NAMES}", _AMOUNT),
    },
    name=f"{_CORE}.ResourceRequirements",
)

_ENV = record(
    "A variable.", {"name": text("Its name."), "value": text("Its value.")}, "name", name=f"{_CORE}.EnvVar"
)

_CONTAINER_PORT = record(
    "ContainerPort represents a network port in a single container.",
    {
        "name": text("A name, unique within the pod."),
        "containerPort": port("Number of port to expose."),
        "hostPort": port("The node's port that leads there."),
        "protocol": text("TCP or UDP.", enum=("TCP", "UDP"), default="TCP"),
    },
    "containerPort",
    name=f"{_CORE}.ContainerPort",
)

_MOUNT = record(
    "A volume where the container finds it.",
    {
        "name": text("This must match the Name of a Volume."),
        "mountPath": path("Path within the container at which the volume is mounted."),
        "readOnly": flag("Mounted read-only if true."),
        "subPath": text("Path within the volume. Default: its root."),
    },
    "name",
    "mountPath",
    name=f"{_CORE}.VolumeMount",
)

CONTAINER = record(
    "A single application container, or a process, that runs within the pod.",
    {
        "name": text("Name of the container.", min_length=1, max_length=63),
        "image": text("Container image name; without one `command` is a process of the host."),
        "command": series("Entrypoint array. Not executed within a shell.", text()),
        "args": series("Arguments to the entrypoint.", text()),
        "workingDir": text("Container's working directory."),
        "env": series("Environment variables to set in the container.", _ENV, "name"),
        "ports": series("Ports to expose from the container.", _CONTAINER_PORT, "containerPort", "protocol"),
        "resources": _RESOURCES,
        "volumeMounts": series("Pod volumes to mount into the container's filesystem.", _MOUNT, "mountPath"),
        "livenessProbe": _probe("Periodic probe of container liveness. It is restarted if the probe fails."),
        "readinessProbe": _probe(
            "Periodic probe of readiness. The pod gets no traffic while the probe fails."
        ),
        "startupProbe": _probe("Until this probe succeeds no other is performed."),
    },
    "name",
    name=f"{_CORE}.Container",
)

VOLUME = record(
    "A named volume that containers of the pod may access.",
    {
        "name": text("Name of the volume.", min_length=1, max_length=63),
        "emptyDir": record(
            "A folder that lives as long as the pod.",
            {
                "medium": text("Memory, or nothing for the node's disk.", enum=("", "Memory")),
                "sizeLimit": quantity("The most that may be in it.", "1Gi"),
            },
        ),
        "hostPath": record(
            "A file or folder of the node.",
            {
                "path": path("Where it is."),
                "type": text(
                    "What has to be there, or is made.",
                    enum=("", "DirectoryOrCreate", "Directory", "FileOrCreate", "File"),
                ),
            },
            "path",
        ),
        "secretFile": record(
            "A file of the node that only root reads; shown to the pod read-only.",
            {"path": path("Where it is.")},
            "path",
        ),
    },
    "name",
    name=f"{_CORE}.Volume",
)

_STATE = {
    "waiting": record(
        "Details about a waiting container.",
        {
            "reason": text("Why it is not yet running, in one word."),
            "message": text("Why it is not yet running, in a sentence."),
        },
    ),
    "running": record(
        "Details about a running container.", {"startedAt": text("When it was started.", **_TIME)}
    ),
    "terminated": record(
        "Details about a terminated container.",
        {
            "exitCode": whole("Exit status.", format="int32"),
            "signal": whole("Signal that ended it.", format="int32"),
            "reason": text("Why it ended, in one word."),
            "message": text("Why it ended, in a sentence."),
            "startedAt": text("When it was started.", **_TIME),
            "finishedAt": text("When it ended.", **_TIME),
            "containerID": text("Which container it was."),
        },
        "exitCode",
    ),
}

CONTAINER_STATUS = record(
    "One container as it is.",
    {
        "name": text("Name of the container."),
        "ready": flag("Whether it passes its readiness probe."),
        "started": flag("Whether it has passed its startup probe."),
        "restartCount": whole("How often it was started again.", format="int32"),
        "image": text("The image it runs."),
        "imageID": text("The image's digest."),
        "containerID": text("Which container it is, as docker://ID or systemd://UNIT."),
        "state": record("What it does.", _STATE),
        "lastState": record("How it ended last.", _STATE),
    },
    "name",
    name=f"{_CORE}.ContainerStatus",
)

POD_CONDITION = record(
    "One aspect of the pod's state.",
    {
        "type": text("The aspect."),
        "status": text("True, False, or Unknown.", enum=("True", "False", "Unknown")),
        "lastProbeTime": text("When it was looked at last.", **_TIME),
        "lastTransitionTime": text("When `status` changed last.", **_TIME),
        "reason": text("Why, in one word."),
        "message": text("Why, in a sentence."),
    },
    "type",
    "status",
    name=f"{_CORE}.PodCondition",
)

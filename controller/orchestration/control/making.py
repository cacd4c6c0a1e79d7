"""The pod that an app makes on a node. Pure."""

import math
from collections.abc import Mapping

import msgspec

from controller.orchestration.control.apps import App, as_json
from controller.orchestration.control.instances import GENERATION, LEASE, REPLACE_AFTER
from controller.orchestration.control.ports import HostPorts, choose_ports
from controller.orchestration.control.replacing import Slot
from controller.orchestration.objects.reading import AppSpec, Health, Running
from controller.orchestration.objects.schema import Object
from overlayd.model.quantity import CPU, DEVICES, DISK, MBPS, MEMORY, Amounts, Quantity
from overlayd.protocol import pod

STARTING_S = 2
"""From one check to the next while an instance is starting: it gets users as soon as it is well."""


def pod_of(app: App, spec: AppSpec, slot: Slot, taken: Mapping[int, str]) -> Object:
    """Return a new pod of an app. ``spec`` has the template of the slot's revision, ``taken`` are ports of
    the node and who has them. Raises `ports.PortTaken`.
    """
    meta = app.metadata
    wanted = pod_spec(spec, slot.node, choose_ports(spec, slot.node, taken))
    notes = {
        pod.DIGEST: pod.digest_of(wanted),
        GENERATION: str(meta.generation),
        REPLACE_AFTER: f"{app.spec.autonomy.replace_after_s:g}",
    }
    if app.lease_s is not None:
        notes[LEASE] = str(app.lease_s)
    return {
        "metadata": {
            "generateName": f"{meta.name}-{slot.revision}-",
            "namespace": meta.namespace,
            "labels": {pod.APP: meta.name, pod.REVISION: slot.revision},
            "annotations": notes,
            "finalizers": [pod.FINALIZER],
            "ownerReferences": [owner_of(app)],
        },
        "spec": as_json(wanted),
    }


def owner_of(app: App) -> Object:
    """Return the reference by which a pod is an app's."""
    meta = app.metadata
    owner = {"apiVersion": "overlayd.io/v1", "kind": "App", "name": meta.name, "uid": meta.uid}
    return {**owner, "controller": True, "blockOwnerDeletion": True}


def pod_spec(spec: AppSpec, node: str, host_ports: HostPorts) -> pod.PodSpec:
    """Return what ``node`` is to run."""
    volumes = [
        pod.Volume(name=one.name, host_path=pod.HostPath(path=one.host_path, type="DirectoryOrCreate"))
        if one.host_path
        else pod.Volume(name=one.name, empty_dir=pod.EmptyDir(size_limit=one.size_bytes or None))
        for one in spec.volumes
    ]
    secrets = [
        pod.Volume(name=f"secret-{one.name}", secret_file=pod.SecretFile(path=one.file))
        for one in spec.secrets
    ]
    return pod.PodSpec(
        node_name=node,
        containers=tuple(_container(spec, one, host_ports) for one in spec.containers),
        volumes=(*volumes, *secrets),
        termination_grace_period_seconds=math.ceil(spec.stop_s),
    )


def _container(spec: AppSpec, one: Running, host_ports: HostPorts) -> pod.Container:
    volumes = [
        pod.VolumeMount(name=volume.name, mount_path=volume.mount_path, read_only=volume.read_only)
        for volume in spec.volumes
    ]
    secrets = [
        pod.VolumeMount(name=f"secret-{secret.name}", mount_path=secret.mount_path, read_only=True)
        for secret in spec.secrets
    ]
    probe = None if one.health is None else _probe(one, one.health)
    return pod.Container(
        name=one.name,
        image=one.image,
        command=one.command,
        args=one.args,
        working_dir=one.working_dir,
        env=tuple(pod.Env(name=name, value=value) for name, value in one.env),
        ports=tuple(
            pod.ContainerPort(
                container_port=port.port,
                name=port.name,
                host_port=host_ports[one.name, port.name],
                protocol=port.protocol,
            )
            for port in one.ports
        ),
        resources=pod.Resources(requests=_resources(one.requests), limits=_resources(one.limits)),
        volume_mounts=(*volumes, *secrets),
        readiness_probe=probe,
        liveness_probe=probe,
        startup_probe=None if probe is None or one.health is None else _starting(probe, one.health),
    )


def _probe(one: Running, health: Health) -> pod.Probe:
    port = health.port or (one.ports[0].name if one.ports else 0)
    return pod.Probe(
        http_get=pod.HttpGet(port=port, path=health.path) if health.kind == "http" else None,
        tcp_socket=pod.TcpSocket(port=port) if health.kind == "tcp" else None,
        exec=pod.Exec(command=health.command) if health.kind == "exec" else None,
        period_seconds=health.interval_s,
        timeout_seconds=health.timeout_s,
        failure_threshold=health.failures,
    )


def _starting(probe: pod.Probe, health: Health) -> pod.Probe:
    every_s = min(health.interval_s, STARTING_S)
    tries = math.ceil(health.start_s / every_s)
    return msgspec.structs.replace(probe, period_seconds=every_s, failure_threshold=tries)


def _resources(amounts: Amounts) -> dict[str, Quantity]:
    said: dict[str, Quantity] = {
        CPU: f"{amounts.cpu_milli}m" if amounts.cpu_milli else 0,
        MEMORY: amounts.memory_bytes,
        DISK: amounts.disk_bytes,
        MBPS: f"{amounts.mbps:g}" if amounts.mbps else 0,
        **{DEVICES + name: count for name, count in sorted(amounts.devices.items())},
    }
    return {name: value for name, value in said.items() if value}

"""Pods of a folder: one manifest a file, as the kubelet has them. I/O: files.

Such a pod needs no controller and is told to none. Its uid is made of its name, so that a manifest that
changes changes its pod. Files whose name begins with a dot are passed over. JSON, or YAML where PyYAML is
there.
"""

import contextlib
import hashlib
import importlib
import logging
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from overlayd.daemon.log import fields
from overlayd.protocol.pod import Pod

LOG = logging.getLogger(__name__)
SUFFIXES = (".json", ".yaml", ".yml")
LONGEST = 1024 * 1024


_UID = "static-"


def is_static(pod: Pod) -> bool:
    """Tell whether a pod comes from a manifest of this host."""
    return pod.metadata.uid.startswith(_UID)


class Manifests:
    """A folder that is read anew when it has changed; a file that is faulty keeps what it last said."""

    def __init__(self, folder: Path, node_name: str) -> None:
        self._folder = folder
        self._node_name = node_name
        self._read: dict[Path, tuple[tuple[int, int, int], Pod | None]] = {}

    def pods(self) -> tuple[Pod, ...]:
        """Return the pods that the folder asks for."""
        there = {
            file: _stamp(file)
            for file in sorted(self._folder.glob("*"))
            if file.suffix in SUFFIXES and not file.name.startswith(".") and file.is_file()
        }
        for file in self._read.keys() - there.keys():
            del self._read[file]
        for file, stamp in there.items():
            known, pod = self._read.get(file, (None, None))
            if known != stamp:
                with contextlib.suppress(FileNotFoundError):
                    self._read[file] = (stamp, self._load(file) or pod)
        found: dict[str, Pod] = {}
        for _, pod in self._read.values():
            if pod is not None:
                found.setdefault(pod.metadata.uid, pod)
        return tuple(found.values())

    def _load(self, file: Path) -> Pod | None:
        try:
            data = file.read_bytes()
            if len(data) > LONGEST:
                raise ValueError(f"it has {len(data)} bytes; at most {LONGEST} are read")
            pod = msgspec.json.decode(data, type=Pod) if file.suffix == ".json" else _from_yaml(data)
            if pod.kind != "Pod":
                raise ValueError(f"it is a {pod.kind}, not a Pod")
            if not pod.spec.containers:
                raise ValueError("it has no containers")
        except OSError as error:
            LOG.error("manifest not read", extra=fields(file=file, problem=error.strerror))
            return None
        except (msgspec.DecodeError, ValueError) as error:
            LOG.error("manifest not taken", extra=fields(file=file, problem=error))
            return None
        name = f"{pod.metadata.namespace}/{pod.metadata.name}"
        uid = f"{_UID}{hashlib.sha256(name.encode()).hexdigest()[:12]}"
        return replace(
            pod,
            metadata=replace(pod.metadata, uid=uid, deletion_timestamp=None),
            spec=replace(pod.spec, node_name=self._node_name),
        )


def _from_yaml(data: bytes) -> Pod:
    try:
        yaml: Any = importlib.import_module("yaml")
    except ImportError:
        raise ValueError("YAML needs PyYAML (python3-yaml); JSON is always read") from None
    try:
        read: Any = yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise ValueError(f"it is not YAML: {' '.join(str(error).split())}") from error
    return msgspec.convert(read, Pod)


def _stamp(file: Path) -> tuple[int, int, int]:
    with contextlib.suppress(FileNotFoundError):
        status = file.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
    return 0, 0, 0

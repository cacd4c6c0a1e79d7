"""What runs here, in a file for people and programs of this host: ``pods.json`` beside the sockets. I/O:
one file.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from overlayd.daemon.log import fields
from overlayd.protocol.pod import Pod, PodStatus

LOG = logging.getLogger(__name__)


class _Entry(msgspec.Struct):
    namespace: str
    name: str
    uid: str
    status: PodStatus


class Shown:
    """A file that is renewed when it would be another."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._last = b""

    def show(self, pods: Sequence[tuple[Pod, PodStatus]]) -> None:
        """Write the pods and what was last said of them, by name."""
        entries = [
            _Entry(pod.metadata.namespace, pod.metadata.name, pod.metadata.uid, status)
            for pod, status in pods
        ]
        body = msgspec.json.encode(sorted(entries, key=lambda one: (one.namespace, one.name)))
        if body == self._last:
            return
        aside = self._file.with_name(f".{self._file.name}.new")
        try:
            aside.write_bytes(body)
            os.replace(aside, self._file)
        except OSError as error:
            LOG.error("pods not shown", extra=fields(file=self._file, problem=error.strerror))
            return
        self._last = body

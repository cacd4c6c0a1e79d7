"""The places of a pod's volumes on the host. I/O: folders.

``emptyDir`` is a folder of the pod's own, made with it and removed with it; ``hostPath`` and ``secretFile``
are there already, and stay.
"""

import shutil
import stat
from pathlib import Path

from overlayd.protocol.pod import HostPath, Pod, Volume
from overlayd.workload.messages import PodUid


class VolumeProblem(Exception):
    """A volume cannot be had as it was asked for."""


class Volumes:
    """``folder`` is on disk, ``memory`` in memory; each has a folder for each pod."""

    def __init__(self, folder: Path, memory: Path) -> None:
        self._folder = folder
        self._memory = memory

    def prepare(self, pod: Pod) -> dict[str, str]:
        """Return where each volume is, by name. Raises :class:`VolumeProblem`."""
        return {one.name: str(self._place(PodUid(pod.metadata.uid), one)) for one in pod.spec.volumes}

    def remove(self, uid: PodUid) -> None:
        """Remove what was made for a pod. Raises :class:`OSError`."""
        for folder in (self._folder / uid, self._memory / uid):
            if folder.exists():
                shutil.rmtree(folder)

    def _place(self, uid: PodUid, volume: Volume) -> Path:
        try:
            if volume.host_path is not None:
                return _host_path(volume.name, volume.host_path)
            if volume.secret_file is not None:
                return _secret(volume.name, Path(volume.secret_file.path))
            memory = volume.empty_dir is not None and volume.empty_dir.medium == "Memory"
            place = (self._memory if memory else self._folder) / uid / volume.name
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o777)  # whoever the container runs as; the folder above lets in root alone
            return place
        except OSError as error:
            raise VolumeProblem(f"volume {volume.name}: {error.filename}: {error.strerror}") from error


def _host_path(name: str, wanted: HostPath) -> Path:
    place = Path(wanted.path)
    if not place.is_absolute():
        raise VolumeProblem(f"volume {name}: {wanted.path!r} is not an absolute path")
    match wanted.type:
        case "DirectoryOrCreate":
            place.mkdir(parents=True, exist_ok=True)
        case "FileOrCreate":
            place.touch(exist_ok=True)
        case "Directory" if not place.is_dir():
            raise VolumeProblem(f"volume {name}: there is no folder {place}")
        case "File" if not place.is_file():
            raise VolumeProblem(f"volume {name}: there is no file {place}")
        case _:
            if not place.exists():
                raise VolumeProblem(f"volume {name}: there is no {place}")
    return place


def _secret(name: str, place: Path) -> Path:
    if not place.is_absolute() or not place.is_file():
        raise VolumeProblem(f"volume {name}: there is no file {place} on this node")
    if place.stat().st_mode & stat.S_IROTH:
        raise VolumeProblem(f"volume {name}: {place} can be read by everybody; chmod 600 it")
    return place

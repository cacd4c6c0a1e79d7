"""The places of a pod's volumes on the host. I/O: folders, commands.

``emptyDir`` is a folder of the pod's own, made with it and removed with it; ``hostPath`` and ``secretFile``
are there already, and stay. This process sees little of the host and may write to less of it, so commands
look for those, where pods' commands run.
"""

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

from overlayd.protocol.pod import HostPath, Pod, Volume
from overlayd.workload.environment import PATH
from overlayd.workload.messages import PodUid

Execute: TypeAlias = Callable[[tuple[str, ...], dict[str, str], float], Awaitable[tuple[int, str]]]
"""As :meth:`overlayd.workload.launching.Launcher.execute`."""
LOOK_S = 10.0
"""For one look at the host, say at a network file system."""
_TESTS = {
    "Directory": ("-d", "folder "),
    "DirectoryOrCreate": ("-d", "folder "),
    "File": ("-f", "file "),
    "FileOrCreate": ("-f", "file "),
}
_MAKERS = {"DirectoryOrCreate": ("mkdir", "-p", "--"), "FileOrCreate": ("touch", "--")}
_OTHERS_READ = 7
"""Where ``ls -l`` has it: ``-rw-r--r--``."""


class VolumeProblem(Exception):
    """A volume cannot be had as it was asked for."""


class Volumes:
    """``folder`` is on disk, ``memory`` in memory; each has a folder for each pod. ``execute`` runs commands
    that see all of the host.
    """

    def __init__(self, folder: Path, memory: Path, execute: Execute) -> None:
        self._folder = folder
        self._memory = memory
        self._execute = execute

    async def prepare(self, pod: Pod) -> dict[str, str]:
        """Return where each volume is, by name. Raises :class:`VolumeProblem`."""
        uid = PodUid(pod.metadata.uid)
        return {one.name: str(await self._place(uid, one)) for one in pod.spec.volumes}

    def remove(self, uid: PodUid) -> None:
        """Remove what was made for a pod. Raises :class:`OSError`."""
        for folder in (self._folder / uid, self._memory / uid):
            if folder.exists():
                shutil.rmtree(folder)

    async def _place(self, uid: PodUid, volume: Volume) -> Path:
        if volume.host_path is not None:
            return await self._host_path(volume.name, volume.host_path)
        if volume.secret_file is not None:
            return await self._secret(volume.name, Path(volume.secret_file.path))
        try:
            memory = volume.empty_dir is not None and volume.empty_dir.medium == "Memory"
            place = (self._memory if memory else self._folder) / uid / volume.name
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o777)  # whoever the container runs as; the folder above lets in root alone
            return place
        except OSError as error:
            raise VolumeProblem(f"volume {volume.name}: {error.filename}: {error.strerror}") from error

    async def _host_path(self, name: str, wanted: HostPath) -> Path:
        place = Path(wanted.path)
        if not place.is_absolute():
            raise VolumeProblem(f"volume {name}: {wanted.path!r} is not an absolute path")
        if (maker := _MAKERS.get(wanted.type)) is not None:
            code, said = await self._run(name, *maker, str(place))
            if code != 0:
                raise VolumeProblem(f"volume {name}: {said.strip()}")
        test, kind = _TESTS.get(wanted.type, ("-e", ""))
        code, _ = await self._run(name, "test", test, str(place))
        if code != 0:
            raise VolumeProblem(f"volume {name}: there is no {kind}{place}")
        return place

    async def _secret(self, name: str, place: Path) -> Path:
        mode = ""
        if place.is_absolute():
            code, said = await self._run(name, "stat", "--dereference", "--format=%A", "--", str(place))
            mode = said.strip() if code == 0 else ""
        if not mode.startswith("-"):
            raise VolumeProblem(f"volume {name}: there is no file {place} on this node")
        if mode[_OTHERS_READ] == "r":
            raise VolumeProblem(f"volume {name}: {place} can be read by everybody; chmod 600 it")
        return place

    async def _run(self, name: str, *command: str) -> tuple[int, str]:
        try:
            return await self._execute(command, {"PATH": PATH, "LANG": "C.UTF-8"}, LOOK_S)
        except TimeoutError:
            raise VolumeProblem(f"volume {name}: {command[-1]}: no answer within {LOOK_S:.0f} s") from None

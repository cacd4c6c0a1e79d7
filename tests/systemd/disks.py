"""A /var of its own for a host: ext4 that can be filled, and that can fail.

Called by `tests.systemd.failures`. I/O: loop devices of this machine.
"""

import contextlib
from collections.abc import Generator
from pathlib import Path

from tests.systemd.machines import FOLDER, Machine, run

SIZE = "128M"
SERVICES = "overlayd-agent overlayd-engine overlayd-controller"


class Disk:
    """What /var of ``machine`` is on."""

    def __init__(self, machine: Machine, device: str) -> None:
        self._machine = machine
        self._device = device

    def fill(self) -> None:
        """Leave no byte, not even to root."""
        self._machine.shell(
            "dd if=/dev/zero of=/var/fill bs=1M; dd if=/dev/zero of=/var/fill.2 bs=1", check=False
        )

    def make_room(self) -> None:
        self._machine.shell("rm -f /var/fill /var/fill.2")

    def fail(self) -> None:
        """Have the file system find an error: from now on it is read-only, for whoever has files open too."""
        Path(f"/sys/fs/ext4/{Path(self._device).name}/trigger_fs_error").write_text("1")

    def repair(self) -> None:
        """What an administrator does: check it, mount it anew."""
        self._machine.shell(f"systemctl stop {SERVICES}; umount --lazy /var")
        run("e2fsck", "-p", self._device, quiet=True)
        self._machine.mounting("mount", "-o", "errors=remount-ro", self._device, "/var")
        start(self._machine)


@contextlib.contextmanager
def own_var(machine: Machine) -> Generator[Disk]:
    """Move /var to a file system of its own, and back."""
    image = FOLDER / f"{machine.name}.ext4"
    image.unlink(missing_ok=True)
    run("truncate", "--size", SIZE, str(image))
    run("mkfs.ext4", "-q", str(image))
    device = run("losetup", "--find", "--show", str(image)).strip()
    major, minor = 7, device.removeprefix("/dev/loop")
    machine.mounting("sh", "-c", f"test -b {device} || mknod {device} b {major} {minor}")
    machine.shell(f"systemctl stop {SERVICES}", check=False)  # two of the three have no controller
    machine.mounting("mount", "-o", "errors=remount-ro", device, "/mnt")
    machine.shell("cp -a /var/. /mnt/ && umount /mnt", check=True)
    machine.mounting("mount", "-o", "errors=remount-ro", device, "/var")
    start(machine)
    try:
        yield Disk(machine, device)
    finally:
        machine.shell(f"systemctl stop {SERVICES}", check=False)
        machine.shell("mkdir /run/var && cp -a /var/lib/overlayd* /run/var/ && umount --lazy /var")
        machine.shell("cp -a /run/var/. /var/lib/ && rm -r /run/var")
        run("losetup", "--detach", device)
        image.unlink()
        start(machine)


def start(machine: Machine) -> None:
    """Start what the host has, and wait until it is whole."""
    machine.shell(f"systemctl start {SERVICES}", check=False)
    machine.shell("overlayctl wait --for whole")

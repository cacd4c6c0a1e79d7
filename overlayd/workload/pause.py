"""The image of what holds a pod's network: one program of some 150 bytes that waits for ever. Pure.

Containers of a pod that share localhost join the network of a container that outlives each of them. It is
made here and handed to Docker, so that no registry is needed for it. By hand: an ELF header, one segment,
and the system call ``pause`` in a loop (``ppoll`` on arm64, which has no ``pause``).
"""

import hashlib
import io
import json
import platform
import struct
import tarfile

NAME = "overlayd-pod:1"
_PROGRAM = "pause"
_BASE = 0x400000
_HEADERS = 64 + 56
_MACHINES: dict[str, tuple[str, int, bytes]] = {
    # mov eax, 34; syscall; jmp to the begin
    "x86_64": ("amd64", 62, bytes.fromhex("b8220000000f05ebf7")),
    # mov x8, 73; mov x0..x3, 0; svc 0; b to the begin
    "aarch64": ("arm64", 183, bytes.fromhex("280980d2000080d2010080d2020080d2030080d2010000d4faffff17")),
}


def image(machine: str | None = None) -> bytes:
    """Return the image as `docker load` takes it. Raises :class:`ValueError` for a processor that is not
    known.
    """
    known = _MACHINES.get(machine or platform.machine())
    if known is None:
        raise ValueError(f"pods of several containers are not possible on {machine or platform.machine()}")
    architecture, elf_machine, code = known
    layer = _tar({_PROGRAM: (_program(elf_machine, code), 0o755)})
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": [f"/{_PROGRAM}"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]).encode()
    return _tar(
        {"config.json": (config, 0o644), "layer.tar": (layer, 0o644), "manifest.json": (manifest, 0o644)}
    )


def _program(machine: int, code: bytes) -> bytes:
    entry, length = _BASE + _HEADERS, _HEADERS + len(code)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = struct.pack("<16sHHIQQQIHHHHHH", ident, 2, machine, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, length, length, 0x10000)
    return head + segment + code


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, (data, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
    return made.getvalue()

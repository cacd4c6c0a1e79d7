"""Later versions of a package, made of the package itself. I/O: `dpkg-deb`."""

from pathlib import Path

from tests.systemd.machines import run


def repack(
    packages: Path, number: int, engine: str | None, package: str = "overlayd", *, unit: bool = False
) -> Path:
    """``package`` as a later version; with ``engine``, the host's as one whose engine is another, with
    ``unit``, in a unit of other settings.
    """
    (source,) = packages.glob(f"{package}_*.deb")
    folder = packages / "upgrade"
    run("rm", "-rf", str(folder))
    run("dpkg-deb", "--raw-extract", str(source), str(folder))
    control = folder / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text(
        "\n".join(line + f"+n{number}" if line.startswith("Version: ") else line for line in lines) + "\n"
    )
    if engine is not None and package == "overlayd":
        (folder / "usr/lib/overlayd/engine.id").write_text(engine + "\n")
    if unit:
        with (folder / "lib/systemd/system/overlayd-engine.service").open("a") as settings:
            settings.write(f"# {number}\n")
    made = packages / f"{package}-upgrade-{number}.deb"
    run("dpkg-deb", "-Zgzip", "-z1", "--root-owner-group", "--build", str(folder), str(made))
    run("rm", "-rf", str(folder))
    return made

"""What the labs need beyond namespaces: containerlab itself, a Docker daemon, and an image of a node.

Called by `tests.labs`. I/O, needs root: Go, Docker, debootstrap.
"""

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import yaml

from sim.lab.process import Tell
from tests.labs.trial import LABS
from tests.systemd import machines

ROOT = Path(__file__).parents[2]
MODULE = "github.com/srl-labs/containerlab"
PROGRAM = ROOT / "containerlab" / "program"
BUILD = ROOT / "build" / "containerlab"
IMAGE = "overlayd/edge:local"
FOLDER = Path("/var/tmp/overlayd-labs")
_BUILD_S = 1800.0
# Runs on Debian's own Python, which has the package. The schema names its dialect by an address that is not
# the registered one, so the dialect is given.
_VALIDATE = """
import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft7Validator.check_schema(schema)
for name, document in json.load(sys.stdin).items():
    for error in jsonschema.Draft7Validator(schema).iter_errors(document):
        print(f"{name}: {'.'.join(map(str, error.absolute_path))}: {error.message}")
"""


@contextlib.contextmanager
def scratch() -> Generator[Path]:
    """A folder for what is known of running labs; short, as paths of sockets have to be."""
    with tempfile.TemporaryDirectory(prefix="labs-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def ready(packages: Path, tell: Tell) -> Generator[None]:
    """Everything that the runner ``clab`` needs; a Docker daemon of ours only for as long as this lasts."""
    tell("containerlab, of its Go module")
    os.environ["OVERLAYD_CONTAINERLAB"] = shlex.join(build())
    with machines.daemon(FOLDER):
        tell("a node's image: a minimal Debian with the packages")
        make_image(packages)
        yield


def build() -> list[str]:
    """Build containerlab, unless it is there; answers the words that it is called by."""
    program = BUILD / "containerlab"
    if not program.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        for file in PROGRAM.iterdir():
            shutil.copy(file, BUILD)
        _go("build", "-mod=mod", "-o", str(program), MODULE)
    # It reads /proc/modules, and not every kernel has that.
    return [*([] if Path("/proc/modules").exists() else [str(PROGRAM / "with-module-list")]), str(program)]


def faults() -> list[str]:
    """What containerlab's own JSON schema says against the project's topology files."""
    source = _go("list", "-mod=mod", "-m", "-f", "{{.Dir}}", MODULE).strip()
    documents = {file.parent.name: yaml.safe_load(file.read_text("utf-8")) for file in topologies()}
    done = subprocess.run(
        ["/usr/bin/python3", "-c", _VALIDATE, f"{source}/schemas/clab.schema.json"],
        input=json.dumps(documents),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def topologies() -> Iterator[Path]:
    """The topology files of all labs."""
    return iter(sorted(LABS.glob("*/topo.clab.yml")))


def make_image(packages: Path) -> None:
    """Build the image of a node from the packages in a folder. It stays: it is what users' labs run."""
    machines.make_image(FOLDER)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / "containerlab" / "image" / "Dockerfile", folder)
        for package in packages.glob("*.deb"):
            shutil.copy(package, folder)
        words = ("--quiet", "--network", "none", "--build-arg", f"BASE={machines.IMAGE}", "--tag", IMAGE)
        machines.run("docker", "build", *words, folder, timeout_s=_BUILD_S)


def _go(*words: str) -> str:
    done = subprocess.run(
        ["go", *words],
        cwd=BUILD,
        capture_output=True,
        text=True,
        timeout=_BUILD_S,
        env={**os.environ, "CGO_ENABLED": "0"},
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"go {shlex.join(words)}: {done.stderr.strip()}")
    return done.stdout

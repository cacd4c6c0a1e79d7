"""``record``: ask a real API server the table of calls, write its answers down. ``compare``: have kubectl do
the same on it and on our API, and print where it answers otherwise; exits 1 if that is not explained.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx

from tests.kubernetes import oracle
from tests.kubernetes.asking import RECORDED, ask, calls
from tests.kubernetes.compare import ours, report, told

DEBIAN = "kubernetes-client"


def main() -> int:
    """Run one of both."""
    parser = argparse.ArgumentParser(prog="python -m tests.kubernetes", description=__doc__)
    parser.add_argument("what", choices=("record", "compare"))
    parser.add_argument("--etcd", default="etcd", help="the program; Debian's etcd-server has it")
    arguments = parser.parse_args()
    programs = oracle.build()
    with tempfile.TemporaryDirectory(prefix="overlayd-oracle-") as folder:
        if arguments.what == "record":
            return _record(programs, arguments.etcd, Path(folder))
        return _compare(programs, arguments.etcd, Path(folder))


def _record(programs: Path, etcd: str, folder: Path) -> int:
    with oracle.running(programs, etcd, folder) as (address, token):
        answers = asyncio.run(_asked(address, token))
    RECORDED.write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(answers)} answers of kube-apiserver {oracle.VERSION} are in {RECORDED}")
    return 0


def _compare(programs: Path, etcd: str, folder: Path) -> int:
    unexplained = 0
    for name, kubectl in (("debian", debian(folder / "program")), ("current", programs / "kubectl")):
        with oracle.running(programs, etcd, folder / name / "real") as (address, token):
            real = told(kubectl, address, token, folder / name / "home-real")
        with ours(folder / name) as (address, token):
            own = told(kubectl, address, token, folder / name / "home-ours")
        unexplained += report(name, real, own)
    return 1 if unexplained else 0


def debian(folder: Path) -> Path:
    """Fetch Debian's own kubectl, without installing it."""
    folder.mkdir()
    subprocess.run(["apt-get", "download", "--quiet", DEBIAN], cwd=folder, check=True, capture_output=True)
    (package,) = folder.glob("*.deb")
    subprocess.run(["dpkg-deb", "--extract", str(package), str(folder)], check=True)
    return shutil.copy(folder / "usr/bin/kubectl", folder / "kubectl")


async def _asked(address: str, token: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=address, headers=headers, verify=False, timeout=30) as client:
        return await ask(client, calls())


if __name__ == "__main__":
    sys.exit(main())

"""The guide to an app near its users, word by word, in its lab. I/O, needs root.

Run by `make test-applications`: it takes kubectl, which `make test` does without.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sim.lab import runner
from sim.lab.state import folder
from tests.systemd.quickstart import ROOT, blocks

GUIDE = ROOT / "docs" / "guides" / "app-near-users.md"
LAB = "applications"
PATIENCE_S = 180


def main() -> int:
    if os.geteuid() != 0:
        sys.exit("makes network namespaces: run as root")
    text = GUIDE.read_text("utf-8")
    lines = [line for block in blocks(text) for line in block.lines]
    assert len(lines) >= 15, f"{GUIDE} has {len(lines)} commands: are they found?"
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "containerlab").symlink_to(ROOT / "containerlab")
        (manifest,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        (Path(home) / "app.yaml").write_text(manifest)
        began = time.monotonic()
        try:
            done = _follow(lines, home)
        finally:
            if folder(LAB).path.exists():
                runner.down(LAB)
    print(f"{len(lines)} commands, exit code {done}, {time.monotonic() - began:.0f} s")
    return done


def _follow(lines: list[str], home: str) -> int:
    """Give the commands to one shell, as a reader would; the exit code of the first that fails."""
    environment = {**os.environ, "HOME": home, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = "\n".join(["set -eu", *(f"echo {_quoted('$ ' + line)}\n{line}" for line in lines)])
    return subprocess.run(
        ["bash", "-c", script], cwd=home, env=environment, timeout=PATIENCE_S, check=False
    ).returncode


def _quoted(line: str) -> str:
    return "'" + line.replace("'", "'\\''") + "'"


if __name__ == "__main__":
    sys.exit(main())

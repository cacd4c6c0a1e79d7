"""The command ``overlayd``: what it refuses, and what it does not import."""

import subprocess
import sys
from pathlib import Path

import pytest

from overlayd._engine import version
from overlayd.cli.daemon import main


def test_a_bad_configuration_ends_with_2_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "overlayd.toml"
    file.write_text("[engine]\nmtuu = 1300\n")
    for role in ("engine", "agent", "run"):
        assert main([role, "--config", str(file)]) == 2
        said = capsys.readouterr().err
        assert said == f"overlayd {role}: {file}: engine.mtuu: unknown key; did you mean 'mtu'?\n"


@pytest.mark.parametrize("words", [[], ["engin"], ["engine", "--confg", "x"]])
def test_what_is_no_command_ends_with_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2


def test_the_version_is_that_of_the_engine(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"overlayd {version()}\n"


def test_no_role_pays_for_another() -> None:
    probe = (
        "import sys; import overlayd.cli.daemon, overlayd.daemon.engine; "
        "assert not {'uvloop', 'websockets', 'overlayd.agent'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", probe], check=True, timeout=60)

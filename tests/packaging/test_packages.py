"""What the Debian packages bring: made from the programs themselves, and fit for the quick start."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from overlayd.cli.ctl import parser as ctl_parser
from overlayd.daemon.config import Configuration, load
from tests.systemd.quickstart import of_readme, tokens
from tools import completions, manuals
from tools.commands import Command, read

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    manuals.main(folder)
    completions.main(folder)
    return folder


@pytest.fixture(scope="module")
def command() -> Command:
    return read(ctl_parser())


def test_the_configuration_that_comes_along_is_one() -> None:
    (uplink,) = load(ROOT / "packaging/etc/overlayd.toml", {}).uplink
    assert (uplink.address, uplink.endpoint) == ("0.0.0.0", "auto")


def test_the_quick_start_takes_three_commands_a_host_at_most() -> None:
    told = of_readme()
    assert set(told) == {"paris", "rome", "oslo"}
    assert all(lines[-1] == "overlayctl join TOKEN" and len(lines) <= 3 for lines in told.values())


def test_the_tokens_that_init_prints_are_found() -> None:
    printed = "on paris, within 15 minutes:\n  overlayctl join ovl1_abc\n\non rome, within 15 minutes:\n"
    assert tokens(printed + "  overlayctl join ovl1_def\n") == {"paris": "ovl1_abc", "rome": "ovl1_def"}


def test_man_pages_tell_every_command_with_its_options_and_every_key(
    generated: Path, command: Command
) -> None:
    page = (generated / "overlayd/man/overlayctl.1").read_text("utf-8").replace("\\-", "-")
    for leaf in command.leaves():
        assert f'.SS "{" ".join(leaf.path[1:])}"' in page
        assert all(option.flags[-1] in page for option in leaf.options if option.flags)
    keys = (generated / "overlayd/man/overlayd.toml.5").read_text("utf-8")
    for section in msgspec.structs.fields(Configuration):
        assert (f"[{section.name}]" in keys) == (section.name != "fault")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("overlayctl no", {"node"}),
        ("overlayctl link ", {"list", "matrix", "-h", "--help"}),
        ("overlayctl link matrix --metric ", {"rtt", "loss", "residual"}),
        ("overlayctl wait --for w", {"whole"}),
        ("overlayd-controller init --su", {"--suite"}),
    ],
)
def test_bash_completes_what_may_come_next(generated: Path, line: str, offered: set[str]) -> None:
    words = line.split(" ")
    package = "overlayd-controller" if words[0] == "overlayd-controller" else "overlayd"
    file = generated / package / "usr/share/bash-completion/completions" / words[0]
    script = f"""source {file}
        COMP_WORDS=({" ".join(word or "''" for word in words)}); COMP_CWORD={len(words) - 1}
        _{words[0].replace("-", "_")}; printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True, timeout=60)
    assert set(done.stdout.split()) == offered


def test_zsh_and_fish_know_every_verb(generated: Path, command: Command) -> None:
    share = generated / "overlayd/usr/share"
    zsh = (share / "zsh/vendor-completions/_overlayctl").read_text("utf-8")
    fish = (share / "fish/vendor_completions.d/overlayctl.fish").read_text("utf-8")
    for leaf in command.leaves():
        assert "_".join(word.replace("-", "_") for word in leaf.path) + "()" in zsh
        assert f"-a {leaf.path[-1]} " in fish
    for shell, file in (
        ("zsh", "zsh/vendor-completions/_overlayctl"),
        ("fish", "fish/vendor_completions.d/overlayctl.fish"),
    ):
        subprocess.run([shell, "-n", share / file], check=True, timeout=60)


def test_a_change_of_the_agent_alone_leaves_the_engine_running() -> None:
    command = [sys.executable, "-m", "tools.engine_sources"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    sources = {Path(file).relative_to(ROOT).as_posix() for file in told.split()}
    assert {"overlayd/daemon/engine.py", "overlayd/daemon/host.py", "overlayd/protocol/engine.py"} <= sources
    assert not [file for file in sources if file.startswith("overlayd/agent/") or "agent" in Path(file).name]

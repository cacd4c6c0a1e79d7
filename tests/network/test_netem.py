"""Impairments by the kernel's netem: what is asked of it, and that `tc` understands it. Needs root."""

import subprocess

import pytest

from sim.lab.errors import LabError
from sim.lab.impair import Bursts, Settings
from sim.lab.netem import serves, words

MS = 1_000_000
LINE = Settings(delay_ns=13 * MS, jitter_ns=MS // 2, rate_bps=100_000_000, queue_bytes=512_000)
UNKNOWN = "qdisc kind is unknown"
"""What a kernel without netem answers to words that `tc` has understood."""


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # 512,000 bytes wait and 162,500 are under way: 445 frames.
        (LINE, "netem limit 445 delay 13000.000us 500.000us rate 100000000bit"),
        (Settings(loss_ratio=0.03), "netem limit 100000 loss 3.000000%"),
        (Settings(blackhole=True), "netem limit 100000 loss 100.000000%"),
        (
            Settings(delay_ns=MS, jitter_ns=MS, duplicate_ratio=0.01, corrupt_ratio=0.02, reorder=True),
            "netem limit 100000 delay 1000.000us 1000.000us duplicate 1.000000% corrupt 2.000000%",
        ),
        # Jitter keeps the order only where there is a rate.
        (
            Settings(delay_ns=MS, jitter_ns=MS),
            "netem limit 100000 delay 1000.000us 1000.000us rate 100000000000bit",
        ),
    ],
)
def test_settings_are_said_in_words_that_tc_understands(settings: Settings, expected: str) -> None:
    assert " ".join(words(settings)) == expected
    command = ["unshare", "--net", "tc", "qdisc", "replace", "dev", "lo", "root", *words(settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or UNKNOWN in done.stderr, done


def test_a_word_that_tc_does_not_know_is_told_apart_from_a_kernel_without_netem() -> None:
    command = ["unshare", "--net", "tc", "qdisc", "replace", "dev", "lo", "root", "netem", "delays", "1ms"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert UNKNOWN not in done.stderr


@pytest.mark.parametrize("settings", [Settings(mtu=1280), Settings(bursts=Bursts(9 * MS, MS))])
def test_what_netem_cannot_do_is_left_to_the_emulator(settings: Settings) -> None:
    with pytest.raises(LabError, match="takes the link emulator"):
        words(settings)
    assert not serves([LINE, settings])

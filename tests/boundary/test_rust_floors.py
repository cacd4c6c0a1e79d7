"""The floors of the Rust workspace: which crate may depend on which, read from the manifests."""

import tomllib
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[2] / "engine"
FLOOR_OF_CRATE = {
    "wire": 0,
    "fec": 0,
    "netem": 0,
    "paths": 0,
    "node": 1,
    "io": 2,
    "world": 2,
    "adversary": 2,
    "python": 3,
}
PURE_CRATES = ("wire", "fec", "netem", "paths", "node", "world", "adversary")
SYSTEM_CRATES = {"libc", "nix", "rustix", "mio", "tokio", "socket2", "rand", "getrandom"}


def dependencies(crate: str) -> set[str]:
    """The names of what `crate` depends on, for its tests too; crates of ours without their prefix."""
    manifest = tomllib.loads((ENGINE / crate / "Cargo.toml").read_text("utf-8"))
    sections = ("dependencies", "dev-dependencies", "build-dependencies")
    return {name.removeprefix("overlayd-") for section in sections for name in manifest.get(section, {})}


def test_every_crate_has_a_floor() -> None:
    members = tomllib.loads((ENGINE / "Cargo.toml").read_text("utf-8"))["workspace"]["members"]
    assert set(members) == set(FLOOR_OF_CRATE)


@pytest.mark.parametrize("crate", FLOOR_OF_CRATE)
def test_crates_depend_on_floors_below_their_own_only(crate: str) -> None:
    ours = dependencies(crate) & FLOOR_OF_CRATE.keys()
    assert {name for name in ours if FLOOR_OF_CRATE[name] >= FLOOR_OF_CRATE[crate]} == set()


@pytest.mark.parametrize("crate", PURE_CRATES)
def test_pure_crates_depend_on_nothing_that_reaches_the_system(crate: str) -> None:
    assert dependencies(crate) & SYSTEM_CRATES == set()

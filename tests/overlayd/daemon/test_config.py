"""Reading configuration: defaults, overrides, and errors that say what would be right."""

from pathlib import Path

import pytest

from overlayd.daemon.config import ClassifySection, Configuration, load, parse_rate
from overlayd.daemon.errors import ConfigurationError

UPLINK = '[[uplink]]\nname = "isp1"\naddress = "198.51.100.7"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "overlayd.toml"


def read(file: Path, text: str) -> Configuration:
    file.write_text(text)
    return load(file)


def refused(file: Path, text: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        read(file, text)
    assert caught.value.source == str(file)
    assert caught.value.exit_code == 2
    return caught.value


def test_one_uplink_is_a_whole_configuration(file: Path) -> None:
    configuration = read(file, UPLINK)
    assert configuration.engine.interface == "overlay0"
    assert configuration.engine.mtu == 1380
    assert configuration.uplink[0].port == 51900
    assert configuration.uplink[0].public_endpoint == "198.51.100.7:51900"
    assert configuration.node.name
    assert configuration.engine_dir == Path("/var/lib/overlayd/engine")
    assert configuration.engine_socket == Path("/run/overlayd/engine.sock")


def test_the_documented_example_is_read(file: Path) -> None:
    document = (Path(__file__).parents[3] / "docs" / "architecture.md").read_text()
    example = document.split("```toml\n")[1].split("```")[0]
    configuration = read(file, example)
    assert configuration.node.name == "paris"
    assert configuration.uplink[0].rate_bps == 100_000_000
    assert configuration.agent.announce == ("192.168.7.0/24",)


def test_rules_say_which_class_packets_have(file: Path) -> None:
    text = '[[classify]]\nclass = "realtime"\nprotocol = "udp"\ndestination_port = 5060\n'
    assert read(file, UPLINK + text).classify == (
        ClassifySection(class_="realtime", protocol="udp", destination_port=5060),
    )


@pytest.mark.parametrize(
    ("rule", "key", "hint"),
    [
        ("dscp = 46\n", "classify[0]", "class"),
        ('class = "bulk"\ndscp = 64\n', "classify[0].dscp", "64 is out of range"),
        ('class = "bulk"\nprefix = "10.0.0.1/8"\n', "classify[0].prefix", "'10.0.0.0/8'"),
        ('class = "bulk"\nmark = 7\n', "classify[0].mark", "unknown key"),
        ('class = "bulk"\nprotocol = "sctp"\n', "classify[0].protocol", "sctp"),
    ],
)
def test_a_rule_that_is_wrong_is_named(file: Path, rule: str, key: str, hint: str) -> None:
    error = refused(file, UPLINK + "[[classify]]\n" + rule)
    assert error.key == key
    assert hint in error.problem


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("[engin]\n" + UPLINK, "engin", "'engine'"),
        ("[engine]\nmtuu = 1300\n" + UPLINK, "engine.mtuu", "'mtu'"),
        (UPLINK + "adress = 1\n", "uplink[0].adress", "'address'"),
        (UPLINK + "zzz = 1\n", "uplink[0].zzz", "known keys: name, address"),
        ("[workload]\nmanifest = 1\n" + UPLINK, "workload.manifest", "'manifests'"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(
    file: Path, text: str, key: str, hint: str
) -> None:
    error = refused(file, text)
    assert error.key == key
    assert hint in error.problem


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("", "", "uplink"),
        ("uplink = []", "uplink", "at least one"),
        ('[[uplink]]\nname = "a"\n', "uplink[0]", "`address`"),
        ('[[uplink]]\nname = "a"\naddress = "paris"\n', "uplink[0].address", "198.51.100.7"),
        ('[workload]\nmanifests = "pods"\n' + UPLINK, "workload.manifests", "absolute path"),
        ('[workload]\nserver = "paris"\n' + UPLINK, "workload.server", "198.51.100.7:7481"),
        ('[workload]\nmemory = "much"\n' + UPLINK, "workload.memory", "256Mi"),
        ('[workload]\ndevices = ["gpu"]\n' + UPLINK, "workload.devices", "gpu=1"),
        ('[workload]\nlabels = ["ssd"]\n' + UPLINK, "workload.labels", "disk=ssd"),
        ('[workload]\ntaints = ["edge:Never"]\n' + UPLINK, "workload.taints", "edge=true:NoSchedule"),
        ("[workload]\nkeep_images = 10000\n" + UPLINK, "workload.keep_images", "at most 8760"),
        (UPLINK + "port = 70000\n", "uplink[0].port", "70000 is out of range: at least 1, at most 65535"),
        ("[agent]\nreconnect_spread = 0\n" + UPLINK, "agent.reconnect_spread", "0 is out of range: above 0"),
        (UPLINK + 'port = "51900"\n', "uplink[0].port", "int"),
        (UPLINK + 'rate = "100mb"\n', "uplink[0].rate", "100mbit"),
        (UPLINK + 'endpoint = "paris:51900"\n', "uplink[0].endpoint", "198.51.100.7:51900"),
        (UPLINK + 'endpoint = "2001:db8::7:51900"\n', "uplink[0].endpoint", "[2001:db8::7]:51900"),
        (UPLINK + UPLINK, "uplink[1].name", "taken"),
        (UPLINK + UPLINK.replace("isp1", "isp2"), "uplink[1].port", "taken"),
        ("[engine]\nmtu = 1200\n" + UPLINK, "engine.mtu", "1200 is out of range: at least 1280, at"),
        ("[engine]\nmtu = 1300.5\n" + UPLINK, "engine.mtu", "Expected `int`"),
        ('[engine]\ninterface = "a/b"\n' + UPLINK, "engine.interface", "1 to 15"),
        ('[node]\nstate_dir = "var"\n' + UPLINK, "node.state_dir", "absolute"),
        ('[agent]\nannounce = ["10.0.0.1/8"]\n' + UPLINK, "agent.announce", "'10.0.0.0/8'"),
        ('[agent]\nannounce = ["lan"]\n' + UPLINK, "agent.announce", "192.168.7.0/24"),
        ('[log]\nlevel = "loud"\n' + UPLINK, "log.level", "loud"),
    ],
)
def test_a_bad_value_is_named_with_what_would_be_right(file: Path, text: str, key: str, hint: str) -> None:
    error = refused(file, text)
    assert error.key == key
    assert hint in error.problem


@pytest.mark.parametrize("text", ["x = [", 'x = "\n"', "\x00"])
def test_what_is_no_toml_is_said_to_be_none(file: Path, text: str) -> None:
    assert "is not TOML" in refused(file, text).problem


def test_a_missing_file_is_named(file: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file; name one with --config"):
        load(file)


def test_a_flag_goes_before_the_environment_and_that_before_the_file(file: Path) -> None:
    file.write_text("[engine]\nmtu = 1300\ninterface = 'file0'\nkey_log = false\n" + UPLINK)
    environment = {"OVERLAYD_ENGINE_MTU": "1310", "OVERLAYD_ENGINE_KEY_LOG": "true", "OVERLAYD_DATA": "/data"}
    configuration = load(
        file, environment, ["engine.mtu=1320", "node.name=1234", "agent.announce=10.0.0.0/8"]
    )
    assert configuration.engine.mtu == 1320
    assert configuration.engine.key_log is True
    assert configuration.engine.interface == "file0"
    assert configuration.node.name == "1234"
    assert configuration.agent.announce == ("10.0.0.0/8",)


@pytest.mark.parametrize(
    ("environment", "flags", "source"),
    [
        ({"OVERLAYD_ENGINE_MTUU": "1300"}, [], "environment variable OVERLAYD_ENGINE_MTUU"),
        ({"OVERLAYD_ENGINE_MTU": "large"}, [], "environment variable OVERLAYD_ENGINE_MTU"),
        ({}, ["engine.mtu=large"], "--set engine.mtu"),
        ({}, ["engine.mtuu=1300"], "--set engine.mtuu"),
        ({}, ["mtu=1300"], "--set"),
        ({}, ["engine.mtu"], "--set"),
    ],
)
def test_a_bad_override_names_its_source(
    file: Path, environment: dict[str, str], flags: list[str], source: str
) -> None:
    file.write_text(UPLINK)
    with pytest.raises(ConfigurationError) as caught:
        load(file, environment, flags)
    assert caught.value.source == source


@pytest.mark.parametrize(
    ("text", "bps"), [("100mbit", 100_000_000), ("1.5Gbit", 1_500_000_000), ("64 kbit", 64_000), ("9bit", 9)]
)
def test_rates_are_decimal(text: str, bps: int) -> None:
    assert parse_rate(text) == bps


@pytest.mark.parametrize("text", ["", "0mbit", "100", "100mbps", "-1mbit", "mbit", "1e3mbit"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="100mbit"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("more", "endpoint"),
    [
        ('address = "2001:db8::7"', "[2001:db8::7]:51900"),
        ('address = "0.0.0.0"', None),
        ('address = "::"', None),
        ('address = "10.0.0.7"\nendpoint = ""', None),
        ('address = "10.0.0.7"\nendpoint = "198.51.100.7:4"', "198.51.100.7:4"),
    ],
)
def test_peers_call_an_uplink_where_it_says(file: Path, more: str, endpoint: str | None) -> None:
    assert read(file, f'[[uplink]]\nname = "a"\n{more}\n').uplink[0].public_endpoint == endpoint


def test_a_section_that_may_be_left_out_is_there_once_a_key_of_it_is(file: Path) -> None:
    file.write_text(UPLINK)
    assert load(file, {}).workload is None
    found = load(file, {"OVERLAYD_WORKLOAD_LABELS": "disk=ssd,gpu=no"}, ["workload.manifests=/pods"]).workload
    assert found is not None and (found.labels, found.manifests) == (("disk=ssd", "gpu=no"), "/pods")

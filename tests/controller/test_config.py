"""What ``controller.toml`` may say of classes and nodes, and what is said of mistakes."""

from pathlib import Path

import pytest

from controller.config import Config, ConfigError, load_config, render_config
from controller.configured import classes_of, place_of, policies_of, probing_of
from controller.planner.probing import Probing
from controller.policy.rules import ANYWHERE, Place, Policy
from overlayd.model.service import DEFAULT_CLASSES, Objective, Rule

BASE = 'listen = "127.0.0.1:7443"\nadvertise = ["wss://127.0.0.1:7443"]\n'
CHOICES = """
[classes.interactive]
policy = "frugal"
max_rtt_ms = 150
max_loss = 0.02
max_price_per_gb = 0.1
max_relays = 1
avoid_regions = ["far"]

[classes.bulk]
policy = "throughput"

[policies.frugal]
latency = 1
cost = 200

[nodes.paris]
region = "far"
relay = false
capacity_mbit = 500
"""


def load(folder: Path, text: str) -> Config:
    file = folder / "controller.toml"
    file.write_text(BASE + text)
    return load_config(file)


def test_without_sections_all_is_as_it_was(tmp_path: Path) -> None:
    config = load(tmp_path, "")
    assert classes_of(config) == DEFAULT_CLASSES
    assert policies_of(config) == (Policy(),) * len(DEFAULT_CLASSES)
    assert place_of(config, "paris") == ANYWHERE


def test_how_many_probe_each_other_may_be_said(tmp_path: Path) -> None:
    assert probing_of(load(tmp_path, "")) == Probing(1000, 48)
    assert probing_of(load(tmp_path, "[probing]\nfull_mesh = 300\nrelays = 32\n")) == Probing(300, 32)
    with pytest.raises(ConfigError, match=r"probing\.relays"):
        load(tmp_path, "[probing]\nrelays = 65\n")


def test_a_class_gets_policy_bounds_and_regions(tmp_path: Path) -> None:
    config = load(tmp_path, CHOICES)
    interactive, realtime, bulk, reliable = classes_of(config)
    assert interactive.objective is Objective.WEIGHTED and interactive.bound.rtt_ms == 150
    assert bulk.objective is Objective.THROUGHPUT
    assert (realtime, reliable) == (DEFAULT_CLASSES[1], DEFAULT_CLASSES[3])
    weights = ((Objective.LATENCY, 1.0), (Objective.COST, 200.0))
    assert policies_of(config)[0] == Policy(weights, 0.02, 0.1, 1, (), ("far",))
    assert place_of(config, "paris") == Place("far", False, 500e6)


def test_a_class_gets_a_name_a_share_and_packets(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        '[classes.realtime]\nname = "voice"\nweight = 10\npriority_ratio = 0.5\ndscp = [46]\n'
        '[[classes.realtime.rules]]\nprotocol = "udp"\nport = 5060\n[classes.interactive]\ndscp = []\n',
    )
    interactive, voice, bulk, reliable = classes_of(config)
    assert (voice.name, voice.weight, voice.priority_ratio, voice.dscp) == ("voice", 10, 0.5, (46,))
    assert voice.rules == (Rule(protocol="udp", port=5060),)
    assert voice.repair == DEFAULT_CLASSES[1].repair
    assert interactive.dscp == () and (bulk, reliable) == DEFAULT_CLASSES[2:]


def test_a_new_file_is_read_again(tmp_path: Path) -> None:
    config = Config(listen="127.0.0.1:7443", advertise=("wss://127.0.0.1:7443",))
    file = tmp_path / "controller.toml"
    file.write_text(render_config(config))
    assert load_config(file) == config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[classes.bulkk]\n", "classes.bulkk: there is no such class; did you mean 'bulk'?"),
        (
            '[classes.bulk]\npolicy = "througput"\n',
            "classes.bulk.policy: there is no policy 'througput'; did you mean 'throughput'?",
        ),
        ("[classes.bulk]\nmax_rtt = 9\n", "classes.bulk.max_rtt: unknown key; did you mean 'max_rtt_ms'?"),
        (
            "[classes.bulk]\nmax_relays = 3\n",
            "classes.bulk.max_relays: 3 is out of range: at least 0, at most 2",
        ),
        ("[classes.bulk]\nmax_loss = 2\n", "classes.bulk.max_loss: 2 is out of range: above 0"),
        (
            '[classes.bulk]\navoid_regions = ["ue"]\n[nodes.a]\nregion = "eu"\n',
            "classes.bulk.avoid_regions: no node is in 'ue'; did you mean 'eu'?",
        ),
        (
            '[classes.bulk]\nregions = ["eu"]\n',
            "classes.bulk.regions: no node is in 'eu'; [nodes.NAME] region sets them",
        ),
        ("[classes.bulk]\nweight = 0\n", "classes.bulk.weight: 0 is out of range: at least 1, at most 1000"),
        (
            "[classes.bulk]\npriority_ratio = 0.7\n",
            "classes.bulk.priority_ratio: with those before it 1, more than 0.9: the others would starve",
        ),
        ("[classes.bulk]\ndscp = [46]\n", "classes.bulk.dscp: 46 selects classes.realtime already"),
        (
            '[classes.bulk]\nname = "realtime"\n',
            "classes.bulk.name: 'realtime' is the name of classes.realtime",
        ),
        ('[classes.bulk]\nname = "two words"\n', "classes.bulk.name: 'two words' is not a name of a class"),
        (
            '[[classes.bulk.rules]]\nprefix = "10.0.0.1/8"\n',
            "classes.bulk.rules[0]: prefix: '10.0.0.1/8' has to be written '10.0.0.0/8'",
        ),
        ("[policies.own]\nlatenzy = 1\n", "policies.own.latenzy: unknown key; did you mean 'latency'?"),
        ("[policies.own]\n", "policies.own: at least one weight has to be above 0"),
        ("[policies.cost]\nlatency = 1\n", "policies.cost: that is the name of an objective"),
        ('[nodes.paris]\nregoin = "eu"\n', "nodes.paris.regoin: unknown key; did you mean 'region'?"),
        ('[nodes.paris]\nrelay = "no"\n', "nodes.paris.relay: Expected `bool`, got `str`"),
        ("[node.paris]\n", "node: unknown key; did you mean 'nodes'?"),
    ],
)
def test_a_mistake_is_named_by_its_key_with_what_would_be_right(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)

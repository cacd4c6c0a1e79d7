"""``python -m sim``: one simulated run of a random mesh, from its seed; the report as JSON on stdout."""

import argparse
import sys

import msgspec

from sim.scenario import Plan, run


def main() -> int:
    """Parse arguments, run, print; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m sim",
        description="Simulate a mesh in virtual time.",
        epilog="example: python -m sim --nodes 50 --minutes 10 --seed 7",
    )
    parser.add_argument("--seed", type=int, default=1)
    usual = Plan()
    parser.add_argument("--nodes", type=int, default=usual.nodes)
    parser.add_argument("--minutes", type=float, default=usual.seconds / 60)
    parser.add_argument("--streams", type=int, default=usual.streams)
    arguments = parser.parse_args()
    if arguments.nodes < 2:
        parser.error(f"--nodes {arguments.nodes}: a mesh has at least 2 nodes")
    plan = Plan(nodes=arguments.nodes, seconds=arguments.minutes * 60, streams=arguments.streams)
    report = run(arguments.seed, plan)
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

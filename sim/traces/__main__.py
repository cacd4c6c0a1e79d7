"""`python -m sim.traces --seed 1 FILE.npz` writes a generated trace, of measured data where there is any."""

import argparse
from dataclasses import fields, replace

from sim.traces.parameters import Parameters
from sim.traces.sources import find
from sim.traces.world import World


def main(arguments: list[str] | None = None) -> int:
    """Write one trace."""
    parser = argparse.ArgumentParser(prog="python -m sim.traces", description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1.0, help="of all that happens at random")
    for field in fields(Parameters):
        if isinstance(field.default, (int, float)):
            option = "--" + field.name.replace("_", "-")
            parser.add_argument(option, type=type(field.default), default=field.default)
    own = vars(parser.parse_args(arguments))
    names = {field.name for field in fields(Parameters)} & own.keys()
    parameters = replace(Parameters(), **{name: own[name] for name in names}).at_rate(own["rate"])
    World.draw(parameters, find(), own["seed"]).write(own["file"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Writes the vector files beside this module: `python -m fec.vectors`."""

import json
from pathlib import Path

from fec import vectors


def main() -> None:
    """Writes every file, one top-level step or row per line where there are many."""
    for compute in (vectors.field, vectors.matrix, vectors.block, vectors.sliding):
        path = Path(__file__).with_name(f"{compute.__name__}.json")
        path.write_text(json.dumps(compute(), separators=(",", ":")).replace('},{"', '},\n{"') + "\n")


if __name__ == "__main__":
    main()

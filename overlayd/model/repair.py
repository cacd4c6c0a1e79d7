"""Repair tables of the default classes: `repair.json` beside this file, solved by `fec.tables`."""

from pathlib import Path
from typing import Final, TypeAlias

import msgspec

Row: TypeAlias = tuple[int, int, float, float, tuple[float, ...]]
"""As `fec.tables.Row`."""

_SOLVED: Final = msgspec.json.decode(
    Path(__file__).with_suffix(".json").read_bytes(), type=dict[str, tuple[Row, ...]]
)
MODERATE: Final = _SOLVED["moderate"]
THIN: Final = _SOLVED["thin"]
STRONG: Final = _SOLVED["strong"]

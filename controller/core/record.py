"""A decision's inputs as bytes: kept, they can be decided again at any time, with the same outcome. Pure.

`Decision.run` depends on nothing else, so a decision of yesterday is explained by making it again.
Matrices are kept exactly. A record of a version whose inputs were others cannot be read.
"""

import zlib
from typing import Any, cast, get_origin

import msgspec
import numpy as np
from numpy.typing import NDArray

from controller.core.decision import Decision

_LEVEL = 1


class BadRecord(ValueError):
    """The bytes hold no decision that this version could make again."""


class _Matrix(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    kind: str
    shape: tuple[int, ...]
    data: bytes


def pack_decision(decision: Decision) -> bytes:
    """Return all that ``decision`` is made from."""
    return zlib.compress(msgspec.msgpack.encode(decision, enc_hook=_to_matrix), _LEVEL)


def unpack_decision(blob: bytes) -> Decision:
    """Return the decision in ``blob``. Raises :class:`BadRecord`."""
    try:
        return msgspec.msgpack.decode(zlib.decompress(blob), type=Decision, dec_hook=_from_matrix)
    except (zlib.error, msgspec.MsgspecError, ValueError, TypeError) as error:
        raise BadRecord(f"not a decision of this version: {error}") from error


def _to_matrix(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        matrix = cast("NDArray[Any]", value)
        return _Matrix(matrix.dtype.str, matrix.shape, matrix.tobytes())
    raise TypeError(f"{type(value).__name__} in a decision")


def _from_matrix(kind: type, value: Any) -> Any:
    if get_origin(kind) is np.ndarray or kind is np.ndarray:
        matrix = msgspec.convert(value, _Matrix)
        return np.frombuffer(matrix.data, matrix.kind).reshape(matrix.shape).copy()
    raise TypeError(f"{kind} in a decision")

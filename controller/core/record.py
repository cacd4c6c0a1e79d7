"""A decision's inputs as bytes: kept, they can be decided again at any time, with the same outcome. Pure.

`Decision.run` depends on nothing else, so a decision of yesterday is explained by making it again.
Matrices are kept exactly. A record is whole, or the difference to a whole one: what has not changed since
is zero in it, and zeros take no room. A record of a version whose inputs were others cannot be read.
"""

import zlib
from collections.abc import Callable
from typing import Any, TypeAlias, cast, get_origin

import msgspec
import numpy as np
from numpy.typing import NDArray

from controller.core.decision import Decision

_LEVEL = 1


class BadRecord(ValueError):
    """The bytes hold no decision that this version could make again."""


class _Matrix(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """``folded``: it is the same when its last two axes are exchanged, and what is below the diagonal is left
    out.
    """

    kind: str
    shape: tuple[int, ...]
    folded: bool
    data: bytes


_Record: TypeAlias = tuple[_Matrix, ...]
"""The first one is the decision as bytes, in which each matrix is the number of its place here."""


def pack_decision(decision: Decision) -> bytes:
    """Return all that ``decision`` is made from."""
    return _encoded([_packed(matrix, _bits(matrix)) for matrix in _parts(decision)])


def pack_difference(decision: Decision, whole: bytes) -> bytes | None:
    """Return in what ``decision`` differs from the one that ``pack_decision`` made ``whole`` of; None where
    they are too unlike: another number of nodes, say.
    """
    parts, under = _parts(decision), _decoded(whole)
    if [(one.kind, one.shape) for one in under] != [(part.dtype.str, part.shape) for part in parts]:
        return None
    laid = zip(parts, under, strict=True)
    return _encoded([_packed(part, _bits(part) ^ _unpacked(below)) for part, below in laid])


def unpack_decision(blob: bytes, whole: bytes | None = None) -> Decision:
    """Return the decision in ``blob``, which is a difference to ``whole`` where that is given. Raises
    :class:`BadRecord`.
    """
    try:
        record = _decoded(blob)
        bits = [_unpacked(matrix) for matrix in record]
        if whole is not None:
            bits = [one ^ _unpacked(below) for one, below in zip(bits, _decoded(whole), strict=True)]
        parts = [one.view(matrix.kind) for one, matrix in zip(bits, record, strict=True)]
        return msgspec.msgpack.decode(parts[0].tobytes(), type=Decision, dec_hook=_from(parts))
    except (zlib.error, msgspec.MsgspecError, ValueError, TypeError, IndexError) as error:
        raise BadRecord(f"not a decision of this version: {error}") from error


def _parts(decision: Decision) -> list[NDArray[Any]]:
    matrices: list[NDArray[Any]] = []

    def to_place(value: Any) -> int:
        if isinstance(value, np.ndarray):
            matrices.append(cast("NDArray[Any]", value))
            return len(matrices)
        raise TypeError(f"{type(value).__name__} in a decision")

    body = msgspec.msgpack.encode(decision, enc_hook=to_place)
    return [np.frombuffer(body, np.uint8), *matrices]


def _from(parts: list[NDArray[Any]]) -> Callable[[type, Any], NDArray[Any]]:
    def to_matrix(kind: type, value: Any) -> NDArray[Any]:
        if get_origin(kind) is np.ndarray or kind is np.ndarray:
            return parts[int(value)]
        raise TypeError(f"{kind} in a decision")

    return to_matrix


def _encoded(matrices: list[_Matrix]) -> bytes:
    return msgspec.msgpack.encode(matrices)


def _decoded(blob: bytes) -> _Record:
    return msgspec.msgpack.decode(blob, type=_Record)


def _bits(matrix: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(matrix).view(f"u{matrix.itemsize}")


def _packed(matrix: NDArray[Any], bits: NDArray[Any]) -> _Matrix:
    """A round trip is the same from both ends: such matrices are kept by half."""
    square = bits.ndim > 1 and bits.shape[-1] == bits.shape[-2]
    folded = square and bool((bits == bits.swapaxes(-1, -2)).all())
    data = zlib.compress((np.triu(bits) if folded else bits).tobytes(), _LEVEL)
    return _Matrix(matrix.dtype.str, matrix.shape, folded, data)


def _unpacked(matrix: _Matrix) -> NDArray[Any]:
    size = np.dtype(matrix.kind).itemsize
    bits = np.frombuffer(bytearray(zlib.decompress(matrix.data)), f"u{size}").reshape(matrix.shape)
    return bits | bits.swapaxes(-1, -2) if matrix.folded else bits

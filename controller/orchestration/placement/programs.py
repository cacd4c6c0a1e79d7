"""Integer programs by HiGHS, sparse matrices, the normal distribution: all that is asked of scipy. Pure.

scipy has no types of its own; none of its matrices leaves this package.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import optimize as _optimize  # pyright: ignore[reportMissingTypeStubs]
from scipy import sparse as _sparse  # pyright: ignore[reportMissingTypeStubs]
from scipy import special as _special  # pyright: ignore[reportMissingTypeStubs]

from controller.orchestration.placement.problem import F64

_highs: Any = _optimize
_made: Any = _sparse
_functions: Any = _special

Matrix: TypeAlias = Any
"""A sparse matrix of scipy."""
GAP = 1e-3
"""An integer program ends this near to its best."""


def matrix(values: F64, rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, int]) -> Matrix:
    """Return the sparse matrix of these values at these places."""
    return _made.csr_matrix((values, (rows, columns)), shape=shape)


def minimise(
    cost: F64, whole: int, equal: Sequence[tuple[Matrix, float]], most: tuple[Matrix, F64], cases: int | None
) -> F64 | None:
    """Return the variables, 0..1, the first ``whole`` of them integers, of least ``cost``, where each of
    ``equal`` (rows, value) holds and ``most`` (rows, values) is not exceeded. A matrix may be of fewer
    variables than there are. ``cases``: give up the search for the best after so many. None: nothing found.
    """
    constraints = [_highs.LinearConstraint(_wide(rows, len(cost)), value, value) for rows, value in equal]
    rows, values = most
    constraints.append(_highs.LinearConstraint(_wide(rows, len(cost)), -np.inf, values))
    found = _highs.milp(
        cost,
        integrality=np.repeat((1, 0), (whole, len(cost) - whole)),
        bounds=_highs.Bounds(0.0, 1.0),
        constraints=constraints,
        options={"mip_rel_gap": GAP} | ({} if cases is None else {"node_limit": cases}),
    )
    return found.x


def relaxed(cost: F64, ones: Matrix, takes: Matrix, capacity: F64) -> tuple[float, F64]:
    """Return what the best mixture of columns costs, one of each app in all, within ``capacity``, and what a
    unit of that is worth, in its shape.
    """
    found = _highs.linprog(
        cost,
        A_ub=takes,
        b_ub=capacity.ravel(),
        A_eq=ones,
        b_eq=np.ones(ones.shape[0]),
        bounds=(0.0, None),
        method="highs",
    )
    return float(found.fun), np.maximum(0.0, -found.ineqlin.marginals).reshape(capacity.shape)


def below(bound: F64) -> F64:
    """Return how likely a normal variable is below ``bound``, in standard deviations from its mean."""
    return _functions.ndtr(bound)


def _wide(rows: Matrix, width: int) -> Matrix:
    missing = width - rows.shape[1]
    return _made.hstack((rows, _made.csr_matrix((rows.shape[0], missing)))) if missing else rows

"""How the store's loops over columns are compiled.

What they have in common:

- Code is kept on disk beside the file it was compiled from. numba does not see a change in
  another file's function that a loop calls: delete ``__pycache__/*.nb?`` after one (the tests
  keep their own, by content).
- Indexes are not checked: callers check lengths and ranges before the loop. Where a loop is hot,
  indexes are unsigned: a signed one may count from the end, and keeps loops from being vectorised.
- References to arrays are not counted (``_nrt``), since that is two atomic instructions for every
  array of every call, more than the work itself. So a loop makes no array, and the caller holds
  every array until it returns.
- A division by zero gives what NumPy gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Loop = TypeVar("Loop", bound=Callable[..., object])

__all__ = ["compiled", "dot", "part"]

_OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "_nrt": False,
}


def compiled(function: Loop) -> Loop:
    """Compile for the types of each first call, and run without the GIL."""
    return cast("Loop", numba.njit(**_OPTIONS)(function))


def part(function: Loop) -> Loop:
    """As `compiled`, for what only compiled functions call: Python calling it would crash.

    Without the wrapper that Python would call, compiling takes a fraction of the time.
    """
    options = {**_OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast("Loop", numba.njit(**options)(function))


@numba.njit(
    **{**_OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True},
    # sums in any order, so that they are made several at a time
    fastmath={"reassoc", "contract", "nsz"},
)  # type: ignore[untyped-decorator]
def dot(one: NDArray[np.float32], other: NDArray[np.float32]) -> np.float32:
    """Inner product, for what only compiled functions call."""
    total = one[0] * other[0]
    for j in range(1, one.shape[0]):
        total += one[j] * other[j]
    return total

"""How the store's loops over columns are compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

    Loop = TypeVar("Loop", bound=Callable[..., object])

__all__ = ["compiled"]


def compiled(function: Loop) -> Loop:
    """Compile for the types of each first call, keep the code on disk, run without the GIL.

    The code on disk is found by the file of ``function``: after a change in a compiled function of
    another file that it calls, delete ``__pycache__/*.nb*`` (the tests keep caches by content).
    Indexes are not checked: callers check lengths and ranges before the loop.
    """
    # error_model: a division by zero gives what NumPy gives, and no branch that raises
    return cast("Loop", numba.njit(cache=True, nogil=True, error_model="numpy")(function))

"""How many threads NumPy's products take."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from threadpoolctl import ThreadpoolController

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["one_blas_thread"]


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # looks through the process's libraries


def one_blas_thread() -> AbstractContextManager[Any]:
    """Within, NumPy's products take one thread.

    Those of BLAS wait for each other: within several of ours that costs two thirds of the speed,
    and beside another process that is busy far more.
    """
    limit: AbstractContextManager[Any] = _libraries().limit(limits=1, user_api="blas")
    return limit

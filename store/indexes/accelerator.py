"""What finds the likely best rows of many without looking at all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from store.indexes.rows import Best

__all__ = ["Accelerator", "Rows"]


class Rows(Protocol):
    """Rows that may be read, in any thread, while their owner goes on writing.

    A row that is written meanwhile may be read half old and half new.
    """

    @property
    def dim(self) -> int: ...  # noqa: D102 # length of the vectors
    @property
    def count(self) -> int: ...  # noqa: D102 # rows 0 … count-1 may be read

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """``(n, dim) float32``."""
        ...


class Accelerator(Protocol):
    """Built from rows in one thread, then kept up to date and searched by their owner.

    Attributes:
        kind: for operators.
        effort: what a search spends: more finds more. Between ``least_effort`` and ``most_effort``.
    """

    kind: str
    effort: int

    @property
    def least_effort(self) -> int: ...  # noqa: D102
    @property
    def most_effort(self) -> int: ...  # noqa: D102

    @property
    def worn(self) -> bool:
        """Whether it should be built anew."""
        ...

    def catch_up(self, rows: Rows, changed: NDArray[np.int64]) -> None:
        """While it is built: these rows were written since."""
        ...

    def on_written(self, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """These rows are new, or have other vectors."""
        ...

    def on_moved(self, source: int, target: int) -> None:
        """The last row took the place of another, or left from its own."""
        ...

    def maintain(self, vectors: Callable[[NDArray[np.int64]], NDArray[np.float32]]) -> bool:
        """Do some of the work put off, for about a millisecond; whether there is more."""
        ...

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        mask: NDArray[np.bool_] | None,
        score: Callable[[NDArray[np.float32], int, NDArray[np.int64]], Best],
        share: Callable[[int, Callable[[int, int], None]], None],
    ) -> Best:
        """The likely k best rows for each query, of those in the mask; fewer where few are near.

        ``score`` gives the k best among some rows for one query, ``(1, dim)``; ``share`` has
        threads do work on ranges, from and to, of so many rows.
        """
        ...

"""Writes vectors on disk beside all else: nobody waits for it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from encoders.disk_cache import DiskCache

__all__ = ["UNWRITTEN", "DiskWriter"]

logger = logging.getLogger(__name__)

#: Batches of vectors that may be on their way to the disk; more are not written.
UNWRITTEN = 64
#: How long the end waits for what is not written yet.
_CLOSE_SECONDS = 1.0


class DiskWriter:
    """A thread that writes, and closes the cache at its end.

    A write waits for the disk, and for the machine's other workers, one of which may stand still
    in the middle of its own: LMDB's lock knows no time limit. So the thread is one that the process
    does not wait for when it ends.

    Args:
        disk: what is not written is among its failures.
    """

    def __init__(self, disk: DiskCache) -> None:
        self._disk = disk
        self._waiting: deque[tuple[list[str], NDArray[np.float32]]] = deque()
        self._changed = threading.Condition()
        self._writing = self._closing = False
        self._thread = threading.Thread(target=self._run, name="encoder-disk", daemon=True)
        self._thread.start()

    def offer(self, texts: list[str], vectors: NDArray[np.float32]) -> None:
        """Have n vectors, ``(n, dim) float32``, written, unless too many wait already."""
        with self._changed:
            if self._closing or len(self._waiting) + self._writing >= UNWRITTEN:
                self._disk.failures += 1
                return
            self._waiting.append((texts, vectors))
            self._changed.notify()

    def close(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Write what waits, for so long, and end. May be called again."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)
        with self._changed:
            left = len(self._waiting) + self._writing
            self._waiting.clear()
        if left:
            self._disk.failures += left
            logger.warning(
                "%d batches of vectors could not be written on disk within %g s: the disk is slow, "
                "or another process stands still in the middle of writing", left, seconds,
            )  # fmt: skip

    def _run(self) -> None:
        try:
            while (batch := self._next()) is not None:
                try:
                    self._disk.put_many(*batch)
                except Exception:  # a defect: the cache takes its own errors
                    self._disk.failures += 1
                    logger.exception("vectors could not be written on disk")
        finally:
            self._disk.close()

    def _next(self) -> tuple[list[str], NDArray[np.float32]] | None:
        """The next batch; None at the end."""
        with self._changed:
            self._writing = False
            self._changed.wait_for(lambda: self._waiting or self._closing)
            self._writing = bool(self._waiting)
            return self._waiting.popleft() if self._waiting else None

"""Threads that run batches on a device, with a bounded queue before them."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Lanes"]

T = TypeVar("T")

#: Batches that wait for each lane: one, so that it has its next when it is done with the last.
_WAITING = 1


class Lanes:
    """Several batches at a time, each by one thread.

    On a CPU a lane computes with one thread of its own: a matrix product by several threads ends
    with its slowest, which is one that another process has put off. Two threads of one product
    fall to a fifth of their rate when the cores are shared, two lanes to a half. On CUDA a second
    lane, with a stream of its own, keeps the device busy while the first takes its vectors home.

    Args:
        count: how many.
        threads: of torch, in each.
        device: where they run.
    """

    def __init__(self, count: int, threads: int, device: torch.device) -> None:
        self.count = count
        self._local = threading.local()
        self._room = threading.BoundedSemaphore(count * (1 + _WAITING))
        self._executor = ThreadPoolExecutor(
            max_workers=count,
            thread_name_prefix="encoder-lane",
            # Not a method: its threads would keep what is not used any more.
            initializer=_enter,
            initargs=(self._local, threads, device),
        )

    def submit(self, work: Callable[..., T], *args: Any) -> Future[T]:
        """Have a lane do it; blocks while the queue is full."""
        self._room.acquire()  # and released when it is done, in another thread
        try:
            future = self._executor.submit(self._run, work, *args)
        except BaseException:
            self._room.release()
            raise
        future.add_done_callback(lambda _: self._room.release())
        return future

    def _run(self, work: Callable[..., T], *args: Any) -> T:
        stream = self._local.stream
        with nullcontext() if stream is None else torch.cuda.stream(stream):
            return work(*args)


def _enter(local: threading.local, threads: int, device: torch.device) -> None:
    # In OpenMP and MKL this is each thread's own number.
    torch.set_num_threads(threads)
    local.stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

"""The one thread that what retrieval holds belongs to: writes first, then searches together."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from store.batch_search import search_each

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.indexes.protocol import Hits
    from store.question import Question, Search

__all__ = ["IndexOwner"]

Answer = TypeVar("Answer")

#: Searches that are answered together. More would be quicker in all, and have writes wait longer.
_TOGETHER = 16


class _Job(NamedTuple):
    work: Callable[[], Any]
    done: Future[Any]


class IndexOwner(Executor):
    """What is submitted is a write: all that wait are done before the next searches.

    What is submitted to `questions` is asked: it may return its answer, or a `Question`. Those that
    wait are asked together, and their searches of one index are one search. So a write waits for
    one batch of searches at most, and a search for the writes that are there: neither starves.

    Args:
        on_search: told the index's name and the seconds of each search.
    """

    def __init__(self, on_search: Callable[[str, float], None] = lambda *_: None) -> None:
        self._on_search = on_search
        self._writes: deque[_Job] = deque()
        self._asked: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.questions: Executor = _Questions(self)
        self._thread = threading.Thread(target=self._run, name="index-owner", daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[..., Answer], /, *args: Any, **kwargs: Any) -> Future[Answer]:
        """Have a write done. Raises `RuntimeError` after `shutdown`."""
        return self._put(self._writes, fn, args, kwargs)

    def ask(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a question answered. Raises `RuntimeError` after `shutdown`."""
        return self._put(self._asked, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Do what was submitted, unless it is to be cancelled, and end. May be called again."""
        with self._changed:
            self._closed = True
            if cancel_futures:
                for job in (*self._writes, *self._asked):
                    job.done.cancel()
            self._changed.notify()
        if wait:
            self._thread.join()

    def _put(
        self,
        jobs: deque[_Job],
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Future[Any]:
        done: Future[Any] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("the index's owner has ended: nothing is taken")
            jobs.append(_Job(lambda: fn(*args, **kwargs), done))
            self._changed.notify()
        return done

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._writes or self._asked or self._closed):
                    self._changed.wait()
                if not (self._writes or self._asked):
                    return
                # Emptied, not replaced: who submits now has it in hand already.
                writes = list(self._writes)
                self._writes.clear()
                asked = [self._asked.popleft() for _ in range(min(len(self._asked), _TOGETHER))]
            for job in writes:
                if job.done.set_running_or_notify_cancel():
                    _finish(job.done, job.work)
            _answer(asked, self._on_search)
            del writes, asked  # and what they refer to


class _Questions(Executor):
    """The owner's other queue as an executor of its own; the owner is what ends."""

    def __init__(self, owner: IndexOwner) -> None:
        self._owner = owner

    def submit(self, fn: Callable[..., Answer], /, *args: Any, **kwargs: Any) -> Future[Answer]:
        return self._owner.ask(fn, *args, **kwargs)


def _answer(asked: list[_Job], on_search: Callable[[str, float], None]) -> None:
    """All of these, together."""
    begun: list[tuple[Future[Any], Question[Any], Search]] = []
    for job in asked:
        if not job.done.set_running_or_notify_cancel():
            continue
        question = _finish(job.done, job.work, keep=True)
        if isinstance(question, Generator):
            _advance(begun, job.done, question, None)
    while begun:
        found = _search(begun, on_search)
        waiting, begun = begun, []
        for (done, question, _), hits in zip(waiting, found, strict=True):
            if isinstance(hits, BaseException):
                done.set_exception(hits)
            else:
                _advance(begun, done, question, hits)


def _finish(done: Future[Any], work: Callable[[], Any], *, keep: bool = False) -> Any:
    """Do the work and tell; a question, where it is to be kept, is returned instead."""
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 # it is the caller's
        done.set_exception(error)
        return None
    if keep and isinstance(result, Generator):
        return result
    done.set_result(result)
    return None


def _advance(
    begun: list[tuple[Future[Any], Question[Any], Search]],
    done: Future[Any],
    question: Question[Any],
    hits: Hits | None,
) -> None:
    """Go on with a question until it wants to search, or is answered."""
    try:
        search = next(question) if hits is None else question.send(hits)
    except StopIteration as stop:
        done.set_result(stop.value)
    except BaseException as error:  # noqa: BLE001 # it is the caller's
        done.set_exception(error)
    else:
        begun.append((done, question, search))


def _search(
    begun: list[tuple[Future[Any], Question[Any], Search]],
    on_search: Callable[[str, float], None],
) -> list[Hits | BaseException]:
    """What each wants to know: those alike in one search."""
    alike: dict[Any, list[int]] = {}
    for place, (_, _, search) in enumerate(begun):
        fields = tuple(sorted((name, *sorted(values)) for name, values in search.fields.items()))
        alike.setdefault((id(search.within), search.k, fields), []).append(place)
    found: list[Hits | BaseException] = [LookupError("not searched")] * len(begun)
    for places in alike.values():
        searches = [begun[place][2] for place in places]
        first = searches[0]
        answers: list[Hits | BaseException] = []
        started = time.perf_counter()
        try:
            answers += search_each(
                first.within,
                np.stack([search.query for search in searches]),
                first.k,
                [search.excluded for search in searches],
                first.fields,
            )
        except Exception as error:  # noqa: BLE001 # it is the callers'
            answers = [error] * len(places)
        on_search(first.name, time.perf_counter() - started)
        for place, answer in zip(places, answers, strict=True):
            found[place] = answer
    return found

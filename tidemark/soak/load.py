"""The producer under whose load the faults happen: one thread, at a given rate."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from streams.publisher import ActionPublisher
from tidemark.soak.control import REFUSED
from tidemark.soak.names import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from streams.schema import Action

__all__ = ["Load"]

_TICK_SECONDS = 0.05
#: Actions that can be sent again: fewer than the event ids that a profile remembers.
_AGAIN = 24


class Load(threading.Thread):
    """Publishes a log from `start` to `finish`.

    Args:
        bootstrap: ``host:port`` of brokers, separated by commas.
        topic: of the actions.
        source: actions without end; their time becomes the time they are sent at.
        rate: actions a second.

    Attributes:
        sent: names in the order sent; all acknowledged once `finish` or `pause` has returned.
    """

    def __init__(self, bootstrap: str, topic: str, source: Iterator[Action], rate: float) -> None:
        super().__init__(name="soak-load", daemon=True)
        self._publisher = ActionPublisher(bootstrap, topic)
        self._source = source
        self._rate = rate
        self._lock = threading.Lock()
        self._running = threading.Event()
        self._running.set()
        self._ended = threading.Event()
        self._recent: deque[Action] = deque(maxlen=_AGAIN)
        self._failure: BaseException | None = None
        self.sent: list[str] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        """Publish; what fails is raised by `check`."""
        due = 0.0
        before = time.monotonic()
        try:
            while not self._ended.wait(_TICK_SECONDS):
                now = time.monotonic()
                if self._running.is_set():
                    due += self._rate * (now - before)
                    with self._lock:
                        while due >= 1.0:
                            self._send(next(self._source))
                            due -= 1.0
                before = now
        except Exception as error:  # noqa: BLE001 # raised again by check(), in the caller's thread
            self._failure = error

    def check(self) -> None:
        """Nothing while all goes well.

        Raises:
            PublishError: a record was not acknowledged.
        """
        if self._failure is not None:
            raise self._failure

    def pause(self) -> None:
        """Send nothing more, and wait until all that was sent is acknowledged.

        Raises:
            PublishError: some was not.
        """
        self._running.clear()
        with self._lock:
            self._publisher.flush()
        self.check()

    def resume(self) -> None:
        """Go on."""
        self._running.set()

    def repeat(self) -> int:
        """Send the last repeatable actions again, as a producer that missed an acknowledgement."""
        with self._lock:
            again = list(self._recent)
            for action in again:
                self._publish(action)
        return len(again)

    def refuse(self, count: int) -> None:
        """Send actions whose text no encoder takes, among others."""
        with self._lock:
            for _ in range(count):
                action = next(self._source)
                self._send(
                    msgspec.structs.replace(
                        action,
                        action="search",
                        item_id=None,
                        rating=None,
                        text=f"{REFUSED} {name_of(action)}",
                    )
                )

    def finish(self) -> None:
        """Send no more, wait for the acknowledgements and disconnect.

        Raises:
            PublishError: some was not acknowledged.
        """
        self._ended.set()
        self.join()
        self.check()
        self._publisher.close()

    def _send(self, action: Action) -> None:
        stamped = msgspec.structs.replace(action, ts=int(time.time() * 1000))
        self._publish(stamped)
        if stamped.event_id is not None:
            self._recent.append(stamped)

    def _publish(self, action: Action) -> None:
        self._publisher.publish_action(action)
        self.sent.append(name_of(action))

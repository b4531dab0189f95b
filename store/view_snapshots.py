"""When retrieval's snapshots are written, and which may be used."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING, Protocol

from store.errors import SnapshotError, VectorIndexError
from store.sensor import Sensor
from store.view_snapshot import Manifest, read_manifest, read_parts, save_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from store.view import RetrievalView
    from store.view_image import Part

__all__ = ["Topic", "ViewSnapshots"]

logger = logging.getLogger(__name__)

_REWRITTEN_S = 3_600.0


class Topic(Protocol):
    """Which topic a snapshot is of; `streams.topics.TopicIdentity` is one."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def topic_id(self) -> str: ...  # noqa: D102 # another one where it was made anew
    @property
    def tombstone_ms(self) -> int: ...  # noqa: D102 # how long it keeps a tombstone at least


class ViewSnapshots:
    """One file, written every so often beside serving.

    Where it cannot be used, why is logged and the topics are read from the beginning; where it
    cannot be written, the one before stays.

    Args:
        path: of the file; its folder is made where it is not there.
        topics: that the view follows.
        clock: milliseconds since the epoch.
        clock_skew_ms: how far the clock that a snapshot was written by may have been ahead.
        sensor: is told of each one written, or not.
    """

    def __init__(
        self,
        path: Path,
        topics: Sequence[Topic],
        clock: Callable[[], int],
        *,
        clock_skew_ms: int,
        sensor: Sensor | None = None,
    ) -> None:
        self._path = path
        self._topics = topics
        self._clock = clock
        self._clock_skew_ms = clock_skew_ms
        self._sensor: Sensor = Sensor() if sensor is None else sensor

    def load(
        self,
        make_view: Callable[[], RetrievalView],
        on_restoring: Callable[[int, int], None] = lambda *_: None,
    ) -> tuple[RetrievalView, dict[tuple[str, int], int]]:
        """A view, and from where on its topics are to be read; nothing where from the beginning.

        Args:
            make_view: an empty one.
            on_restoring: told how many profiles and items were read, and of how many.
        """
        view = make_view()
        started = time.perf_counter()
        try:
            if not self._path.exists():
                return view, {}
            manifest = read_manifest(self._path)
            self._check(manifest, view)
            for part in read_parts(self._path):
                view.put(part)
                on_restoring(view.profile_count + view.item_count, sum(manifest.counts.values()))
        except (SnapshotError, VectorIndexError, OSError) as error:
            logger.warning(
                "the snapshot %s is not used: %s; reading the topics from the beginning",
                self._path, error,
            )  # fmt: skip
            view.close()
            return make_view(), {}
        view.put_applied(manifest.applied)
        logger.info(
            "read the snapshot %s: profiles=%d items=%d seconds=%.1f",
            self._path, view.profile_count, view.item_count, time.perf_counter() - started,
        )  # fmt: skip
        return view, {
            (topic, partition): offset
            for topic, offsets in manifest.positions.items()
            for partition, offset in offsets.items()
        }

    def save(
        self,
        view: RetrievalView,
        owner: Executor,
        positions: Mapping[tuple[str, int], int],
        stopping: threading.Event | None = None,
    ) -> None:
        """Write the view as it is, part by part; blocks, and not the owner.

        Args:
            view: what to write.
            owner: the executor of the thread that the view belongs to; has a part at a time.
            positions: from where on the topics are to be read again: what came before is in the
                view already. By topic and partition.
            stopping: given up once it is set; the file of before stays.

        Raises:
            OSError: it cannot be written.
            SnapshotError: it was given up.
        """
        by_topic: dict[str, dict[int, int]] = {}
        for (topic, partition), offset in positions.items():
            by_topic.setdefault(topic, {})[partition] = offset
        applied, counts = owner.submit(
            lambda: (view.applied, {"profiles": view.profile_count, "items": view.item_count})
        ).result()
        manifest = Manifest(
            encoder=view.encoder_id,
            dim=view.dim,
            kinds=view.kinds,
            counts=counts,
            created_ms=self._clock(),
            topic_ids={topic.name: topic.topic_id for topic in self._topics},
            positions=by_topic,
            applied=applied,
        )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        save_parts(self._path, manifest, _parts_by(owner, view, stopping))

    async def run(
        self,
        view: RetrievalView,
        owner: Executor,
        positions: Callable[[], Mapping[tuple[str, int], int]],
        interval: float,
    ) -> None:
        """Write one every so many seconds, until cancelled, where something came since."""
        written: Mapping[tuple[str, int], int] = {}
        age = 0.0
        while True:
            await asyncio.sleep(interval)
            now, age = dict(positions()), age + interval
            # One that grows old is refused, though nothing came since.
            if not now or (now == written and age < _REWRITTEN_S):
                continue
            started = time.perf_counter()
            stopping = threading.Event()
            try:
                await asyncio.to_thread(self.save, view, owner, now, stopping)
            except asyncio.CancelledError:
                stopping.set()  # a service that ends does not wait for it
                raise
            except Exception as error:  # of any kind: else none is ever written again
                logger.warning(
                    "the snapshot %s cannot be written: %s: %s; the one before stays, and a start "
                    "reads more of the topics", self._path, type(error).__name__, error,
                    exc_info=not isinstance(error, OSError),
                )  # fmt: skip
                self._sensor.on_snapshot(None)
            else:
                written, age = now, 0.0
                self._sensor.on_snapshot(time.perf_counter() - started)

    def _check(self, manifest: Manifest, view: RetrievalView) -> None:
        for name, found, expected in (
            ("encoder", manifest.encoder, view.encoder_id),
            ("dim", manifest.dim, view.dim),
        ):
            if found != expected:
                raise SnapshotError(f"it is of {name} {found!r}; expected {expected!r}")
        for topic in self._topics:
            if manifest.topic_ids.get(topic.name) != topic.topic_id:
                raise SnapshotError(f"topic {topic.name!r} is not the one it was made of")
        # Of a key deleted since, neither record nor tombstone may be left in the topic. Half of
        # the time that tombstones have is for its age, the other for the clock that says its age.
        half = min(topic.tombstone_ms for topic in self._topics) // 2
        age = self._clock() - manifest.created_ms
        if age > half:
            raise SnapshotError("it is older than half of the topics' delete.retention.ms")
        if -age > min(self._clock_skew_ms, half):
            raise SnapshotError(
                f"it is from {-age / 1000:.1f} s in the future, so its age is not known"
            )


def _parts_by(
    owner: Executor, view: RetrievalView, stopping: threading.Event | None
) -> Iterator[Part]:
    parts = view.parts()
    while (part := owner.submit(next, parts, None).result()) is not None:
        if stopping is not None and stopping.is_set():
            raise SnapshotError("the snapshot was given up: the service ends")
        yield part

"""The dead letters' topic, read to its end, and records published back to where they came from."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from aiokafka.errors import KafkaError as ConsumerError
from kafka import KafkaProducer
from kafka.errors import KafkaError

from streams.admin import admin_client
from streams.errors import BrokerUnavailableError, PublishError
from streams.letters import read_letter, read_mark
from streams.reach import CONNECT_SECONDS, require_access
from streams.security import PLAINTEXT
from streams.tail import TopicTail

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from streams.letters import DeadLetter, Source
    from streams.records import OutRecord
    from streams.security import Security

__all__ = ["LetterPublisher", "read_letters"]

#: The largest record that a worker reads, and some.
_MOST_BYTES = 32 * 1024 * 1024
_ACKNOWLEDGED_SECONDS = 60.0


async def read_letters(
    bootstrap: str,
    topic: str,
    *,
    security: Security = PLAINTEXT,
    begin: Mapping[int, int] | None = None,
    until: Mapping[int, int] | None = None,
    replayed: set[Source] | None = None,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> AsyncIterator[DeadLetter]:
    """All letters that are there now, in the order of each partition.

    Args:
        bootstrap: ``host:port`` of brokers, separated by commas.
        topic: of the dead letters.
        security: of the connection.
        begin: offsets by partition to begin at, of these partitions alone; else all from the
            beginning.
        until: offsets by partition to stop before.
        replayed: filled with the source records that were replayed, as their marks come, which is
            after their letters.
        on_progress: told how many offsets were read and how many there are to read.

    Raises:
        BrokerUnavailableError: no broker answers.
        AccessRefusedError: the brokers do not let us in, or are not trusted.
        TopicMismatchError: the topic does not exist.
    """
    if begin is not None:
        there = await asyncio.to_thread(_partitions, bootstrap, topic, security)
        begin = {number: offset for number, offset in begin.items() if number < there}
        if not begin:
            return
    tail = TopicTail(
        bootstrap,
        {topic: None if begin is None else sorted(begin)},
        security=security,
        begin={(topic, number): offset for number, offset in (begin or {}).items()},
    )
    await tail.start()
    try:
        done = 0
        async for chunk in tail.chunks():
            done += len(chunk)
            on_progress(done, done + (tail.lag() or 0))
            for record in chunk:
                mark = read_mark(record)
                if mark is not None:
                    if replayed is not None:
                        replayed.add(mark)
                elif until is None or record.offset < until.get(record.partition, 0):
                    yield read_letter(record)
    except (ConsumerError, TimeoutError) as error:
        raise BrokerUnavailableError(f"{topic} cannot be read: {error!r}") from error
    finally:
        await tail.stop()


def _partitions(bootstrap: str, topic: str, security: Security) -> int:
    """How many partitions the topic has; 0 where it is not there."""
    with admin_client(bootstrap, security) as admin:
        told = [one for one in admin.describe_topics() if one["name"] == topic]
        return sum(len(one["partitions"]) for one in told)


class LetterPublisher:
    """Publishes records as they were: key, value, headers and partition.

    Args:
        bootstrap: ``host:port`` of brokers, separated by commas.
        security: of the connections.

    Raises:
        BrokerUnavailableError, AccessRefusedError, BrokerUnsupportedError: as `require_access`.
    """

    def __init__(self, bootstrap: str, *, security: Security = PLAINTEXT) -> None:
        require_access(bootstrap, security)
        self.acknowledged = 0
        self._first_failure: BaseException | None = None
        try:
            self._producer = KafkaProducer(
                bootstrap_servers=bootstrap.split(","),
                bootstrap_timeout_ms=int(CONNECT_SECONDS * 1000),
                acks="all",
                enable_idempotence=True,
                max_request_size=_MOST_BYTES,
                **security.for_kafka_python(),
            )
        except (KafkaError, ValueError, OSError) as error:
            raise BrokerUnavailableError(
                f"what listens at {bootstrap} does not answer as a Kafka broker: {error}"
            ) from error

    def send(self, record: OutRecord) -> None:
        """Put it on its way.

        Raises:
            PublishError: this or an earlier one was refused.
        """
        self._raise_failure()
        try:
            future = self._producer.send(
                record.topic,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
                partition=record.partition,
            )
        except (KafkaError, AssertionError) as error:  # of a partition that is not there
            raise PublishError(
                f"a letter cannot be replayed to {record.topic}-{record.partition}: {error!r}"
            ) from error
        future.add_callback(self._note_success)
        future.add_errback(self._note_failure)

    def flush(self) -> None:
        """Wait until all are acknowledged.

        Raises:
            PublishError: not all, or not in time; `acknowledged` says how many were.
        """
        try:
            self._producer.flush(_ACKNOWLEDGED_SECONDS)
        except KafkaError as error:
            raise PublishError(
                f"letters were not acknowledged within {_ACKNOWLEDGED_SECONDS:.0f} s: {error!r}"
            ) from error
        self._raise_failure()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._producer.close(5.0)

    def _note_success(self, _: object) -> None:
        self.acknowledged += 1  # in the one thread of the producer

    def _note_failure(self, error: BaseException) -> None:
        self._first_failure = self._first_failure or error

    def _raise_failure(self) -> None:
        if self._first_failure is not None:
            raise PublishError(
                f"a letter was not delivered: {self._first_failure!r}"
            ) from self._first_failure

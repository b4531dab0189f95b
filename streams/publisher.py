"""Publishers for event producers in Python, on kafka-python.

Other languages need no library of ours: the format is a MessagePack map with the id as the key
(docs/wire-format.md).
"""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypedDict

import msgpack
import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from streams.errors import BrokerUnavailableError, PublisherClosedError, PublishError
from streams.reach import CONNECT_SECONDS, require_access
from streams.schema import Action, Item
from streams.security import PLAINTEXT, Security

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Unpack

    from streams.decode import WireFormat
    from streams.schema import Scalar

_propagator = TraceContextTextMapPropagator()

__all__ = ["ActionPublisher", "Codec", "Delivered", "ItemPublisher", "PublisherOptions"]

Codec = Literal["gzip", "snappy", "lz4", "zstd"]


class Delivered(msgspec.Struct, frozen=True):
    """Where a record went."""

    topic: str
    partition: int
    offset: int


class PublisherOptions(TypedDict, total=False):
    """Keywords of every publisher.

    Attributes:
        compression: of whole batches, "lz4" by default; None for none.
        linger_ms: how long a batch waits for more records, 5 by default.
        max_request_bytes: a larger record is refused before it is sent, 8 MiB by default.
        on_delivered: called in the producer's thread for every acknowledged record.
        security: of the connection; plain text by default.
    """

    compression: Codec | None
    linger_ms: int
    max_request_bytes: int
    on_delivered: Callable[[Delivered], None]
    security: Security


class _Publisher:
    """An idempotent producer that forgets no failure.

    ``publish`` returns at once; what failed to arrive is raised by the next call, by `flush` or on
    leaving the ``with`` block. Safe for use from several threads.
    """

    default_topic: ClassVar[str]

    def __init__(
        self, bootstrap: str, topic: str | None = None, **options: Unpack[PublisherOptions]
    ) -> None:
        """Connect.

        Args:
            bootstrap: ``host:port`` of brokers, separated by commas.
            topic: where to publish; the default one where it is not given.
            options: see `PublisherOptions`.

        Raises:
            BrokerUnavailableError: no broker answers.
            AccessRefusedError: the brokers do not let us in, or are not trusted.
            BrokerUnsupportedError: the brokers are too old.
        """
        security = options.get("security", PLAINTEXT)
        self.topic = topic or self.default_topic
        self._on_delivered = options.get("on_delivered")
        self._lock = Lock()
        self._failed = 0
        self._first_failure: BaseException | None = None
        self._closed = False
        require_access(bootstrap, security)
        try:
            self._producer = KafkaProducer(
                bootstrap_servers=bootstrap.split(","),
                bootstrap_timeout_ms=int(CONNECT_SECONDS * 1000),
                acks="all",
                enable_idempotence=True,
                compression_type=options.get("compression", "lz4"),
                linger_ms=options.get("linger_ms", 5),
                batch_size=256 * 1024,
                max_request_size=options.get("max_request_bytes", 8 * 1024 * 1024),
                **security.for_kafka_python(),
            )
        except (KafkaError, ValueError, OSError) as error:
            raise BrokerUnavailableError(
                f"what listens at {bootstrap} does not answer as a Kafka broker: {error}"
            ) from error

    def flush(self, timeout: float = 60.0) -> None:
        """Wait until every record was acknowledged.

        Raises:
            PublishError: some were not, or not in time.
        """
        try:
            self._producer.flush(timeout)
        except KafkaError as error:
            raise PublishError(
                f"records for {self.topic} were not acknowledged within {timeout:g} s: {error!r}"
            ) from error
        self._raise_failure()

    def close(self) -> None:
        """Flush and disconnect. May be called again.

        Raises:
            PublishError: some records did not arrive.
        """
        if self._closed:
            return
        try:
            self.flush()
        finally:
            self._closed = True
            self._producer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except PublishError:
            if error is None:  # else the caller's own error says more
                raise

    def _send(self, key: str, value: bytes | None) -> Any:
        if self._closed:
            raise PublisherClosedError(f"the publisher for {self.topic} is closed")
        self._raise_failure()
        try:
            future = self._producer.send(
                self.topic, key=key.encode(), value=value, headers=_trace_headers()
            )
        except KafkaError as error:
            raise PublishError(f"a record for {self.topic} was refused: {error}") from error
        future.add_errback(self._note_failure)
        if self._on_delivered is not None:
            report = self._on_delivered
            future.add_callback(
                lambda sent: report(Delivered(sent.topic, sent.partition, sent.offset))
            )
        return future

    def _note_failure(self, error: BaseException) -> None:
        with self._lock:
            self._failed += 1
            self._first_failure = self._first_failure or error

    def _raise_failure(self) -> None:
        with self._lock:
            failed, first = self._failed, self._first_failure
            self._failed, self._first_failure = 0, None
        if first is not None:
            raise PublishError(
                f"{failed} records for {self.topic} were not delivered; the first: {first!r}"
            ) from first


def _trace_headers() -> list[tuple[str, bytes]]:
    """So that the caller's trace, if there is one, goes on where the record is processed."""
    if not trace.get_current_span().get_span_context().is_valid:
        return []
    found: dict[str, str] = {}
    _propagator.inject(found)
    return [(name, value.encode()) for name, value in found.items()]


class ActionPublisher(_Publisher):
    """Publishes what users do.

    Examples:
        >>> with ActionPublisher("localhost:9092") as actions:  # doctest: +SKIP
        ...     actions.publish("ann", "view", item_id="42")
    """

    default_topic = "actions"

    def __init__(
        self,
        bootstrap: str,
        topic: str | None = None,
        *,
        wire: WireFormat = "msgpack",
        **options: Unpack[PublisherOptions],
    ) -> None:
        """Connect.

        Args:
            bootstrap: ``host:port`` of brokers, separated by commas.
            topic: where to publish; `actions` where it is not given.
            wire: the topic's format, `msgpack` or `json`.
            options: see `PublisherOptions`.

        Raises:
            BrokerUnavailableError: no broker answers.
            AccessRefusedError: the brokers do not let us in, or are not trusted.
            BrokerUnsupportedError: the brokers are too old.
        """
        super().__init__(bootstrap, topic, **options)
        self._pack = msgspec.json.encode if wire == "json" else msgpack.packb

    def publish(
        self,
        user_id: str,
        action: str,
        *,
        ts: int | None = None,
        item_id: str | None = None,
        text: str | None = None,
        rating: float | None = None,
        context: dict[str, Scalar] | None = None,
        event_id: str | None = None,
    ) -> None:
        """Publish one action; see `Action` for the fields. ``ts`` is now where it is not given.

        Raises:
            PublishError: this or an earlier record could not be sent.
            PublisherClosedError: after `close`.
        """
        self.publish_action(
            Action(
                user_id=user_id,
                action=action,
                ts=int(time.time() * 1000) if ts is None else ts,
                item_id=item_id,
                text=text,
                rating=rating,
                context=context,
                event_id=event_id,
            )
        )

    def forget(self, user_id: str, *, timeout: float = 30.0) -> Delivered:
        """Ask to forget a user, and wait until the broker has it.

        Events of the user that happened before now will not count, whenever they come.

        Raises:
            PublishError: not acknowledged within ``timeout`` seconds.
            PublisherClosedError: after `close`.
        """
        action = Action(user_id=user_id, action="forget", ts=int(time.time() * 1000))
        future = self._send(user_id, self._packed(action))
        try:
            sent = future.get(timeout)
        except KafkaError as error:
            raise PublishError(
                f"the forget was not acknowledged within {timeout:g} s: {error!r}"
            ) from error
        return Delivered(sent.topic, sent.partition, sent.offset)

    def publish_action(self, action: Action) -> None:
        """Publish one action; raises as `publish` does."""
        self._send(action.user_id, self._packed(action))

    def _packed(self, action: Action) -> bytes:
        try:
            packed: bytes = self._pack(msgspec.to_builtins(action))
        except (OverflowError, ValueError, TypeError) as error:
            raise PublishError(
                f"the action of user {action.user_id[:60]!r} cannot be written: {error}"
            ) from error
        return packed


class ItemPublisher(_Publisher):
    """Publishes the catalogue."""

    default_topic = "items"

    def publish(self, item: Item) -> None:
        """Add or replace an item.

        Raises:
            PublishError: this or an earlier record could not be sent.
            PublisherClosedError: after `close`.
        """
        self._send(item.item_id, msgpack.packb(msgspec.to_builtins(item)))

    def delete(self, item_id: str) -> None:
        """Remove an item; raises as `publish` does."""
        self._send(item_id, None)

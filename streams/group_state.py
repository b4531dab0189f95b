"""Asks the brokers how far a group of workers is, and who has which partition."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from kafka import TopicPartition as AdminPartition
from kafka.errors import KafkaError as AdminError

from streams.admin import admin_client
from streams.closing import close
from streams.errors import BrokerUnavailableError, TopicMismatchError
from streams.fetching import hand_over_light
from streams.group_lag import GroupState, Member, Unread, lag_of
from streams.security import PLAINTEXT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.group_lag import Place
    from streams.security import Security

__all__ = ["read_group", "read_unread"]

#: A fresh Kafka has no coordinator for groups yet, and says so for a while.
_COORDINATOR_SECONDS, _AGAIN_SECONDS = 15.0, 0.3
_ANSWER_SECONDS, _POLL_MS = 20.0, 200
#: The first records are looked at and no more; a broker gives one batch at least.
_FETCH_BYTES = 16 * 1024


def read_group(
    bootstrap: str, group: str, topics: Sequence[str], *, security: Security = PLAINTEXT
) -> GroupState:
    """How far the group is in these topics. Connects anew, and blocks for a second or so.

    The ends are those that fetches tell: the embedded broker's ListOffsets names too low ones.

    Args:
        bootstrap: ``host:port`` of brokers, separated by commas.
        group: of the workers.
        topics: that they read.
        security: of the connections.

    Raises:
        BrokerUnavailableError: no broker answers.
        AccessRefusedError, BrokerUnsupportedError: see `require_access`.
        TopicMismatchError: a topic does not exist.
    """
    with admin_client(bootstrap, security) as admin:
        places = _partitions(admin, topics)
        committed = _committed(admin, group, places)
        state, members, why_not = _members(admin, group)
    unread = read_unread(
        bootstrap, {one: committed.get(one, 0) for one in places}, security=security
    )
    now_ms = time.time_ns() // 1_000_000
    return GroupState(
        group, state, members, why_not, lag_of(committed, unread, members, now_ms), now_ms
    )


def read_unread(
    bootstrap: str, begins: Mapping[Place, int], *, security: Security = PLAINTEXT
) -> dict[Place, Unread]:
    """What lies in each partition from its offset on.

    Args:
        bootstrap: ``host:port`` of brokers, separated by commas.
        begins: offsets; from the first one on that is there, where it is there no more.
        security: of the connections.

    Raises:
        BrokerUnavailableError: not all partitions are told of in time.
    """
    try:
        return asyncio.run(_unread(bootstrap, begins, security))
    except (KafkaError, TimeoutError) as error:
        raise BrokerUnavailableError(
            f"the brokers at {bootstrap} cannot be read from: {error!r}"
        ) from error


async def _unread(
    bootstrap: str, begins: Mapping[Place, int], security: Security
) -> dict[Place, Unread]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=_POLL_MS // 2,
        max_partition_fetch_bytes=_FETCH_BYTES,
        **security.for_aiokafka(),
    )
    hand_over_light(consumer)
    try:
        await consumer.start()
        consumer.assign([TopicPartition(*one) for one in begins])
        first = await consumer.beginning_offsets([TopicPartition(*one) for one in begins])
        for place, begin in begins.items():
            partition = TopicPartition(*place)
            consumer.seek(partition, max(begin, first[partition]))
        return await _look(consumer, begins)
    finally:
        await close(consumer)


async def _look(consumer: AIOKafkaConsumer, begins: Mapping[Place, int]) -> dict[Place, Unread]:
    """The first record of each partition from its position on, and its end."""
    found: dict[Place, Unread] = {}
    deadline = time.monotonic() + _ANSWER_SECONDS
    while len(found) < len(begins):
        if time.monotonic() > deadline:
            missing = ", ".join(f"{topic}-{number}" for topic, number in begins.keys() - found)
            raise TimeoutError(f"no answer of {missing} within {_ANSWER_SECONDS:.0f} s")
        batches = await consumer.getmany(timeout_ms=_POLL_MS)
        for place in begins.keys() - found:
            partition = TopicPartition(*place)
            end = consumer.highwater(partition)
            if end is None:
                continue
            if records := batches.get(partition):
                # Where the wanted offset is not there any more, what is read begins elsewhere.
                found[place] = Unread(records[0].offset, end, records[0].timestamp)
                consumer.pause(partition)
            elif (at := await consumer.position(partition)) >= end:
                found[place] = Unread(at, end, None)
    return found


def _partitions(admin: Any, topics: Sequence[str]) -> list[Place]:
    told = {one["name"]: one["partitions"] for one in admin.describe_topics()}
    if missing := [topic for topic in topics if topic not in told]:
        raise TopicMismatchError(
            f"topics are missing: {', '.join(missing)}; create them with: tidemark topics create"
        )
    return [(topic, one["partition_index"]) for topic in topics for one in told[topic]]


def _committed(admin: Any, group: str, places: Sequence[Place]) -> dict[Place, int]:
    wanted = [AdminPartition(*one) for one in places]
    deadline = time.monotonic() + _COORDINATOR_SECONDS
    while True:
        try:
            told = admin.list_group_offsets({group: wanted})[group]
            break
        except AdminError as error:
            if not error.retriable or time.monotonic() > deadline:
                raise
            time.sleep(_AGAIN_SECONDS)
    # -1 where nothing is committed
    return {(at.topic, at.partition): one.offset for at, one in told.items() if one.offset >= 0}


def _members(admin: Any, group: str) -> tuple[str | None, tuple[Member, ...] | None, str]:
    """The group's state and members, or None and why they are not told."""
    try:
        told = admin.describe_groups([group])[group]
    except (AdminError, ValueError, KeyError) as error:
        # Also of a broker that fills the answer with what has no meaning, as the embedded one.
        return None, None, f"not told by this broker ({type(error).__name__}: {error})"
    if told["error"]:
        return None, None, f"not told by this broker ({told['error']})"
    return told["group_state"], tuple(map(_member, told["members"])), ""


def _member(told: Mapping[str, Any]) -> Member:
    # Of a member that joins at this moment nothing is assigned.
    assignment = told.get("member_assignment") or {}
    assigned = assignment.get("assigned_partitions", ()) if isinstance(assignment, dict) else ()
    return Member(
        told["member_id"],
        told["client_id"],
        told["client_host"].lstrip("/"),
        frozenset((one["topic"], number) for one in assigned for number in one["partitions"]),
    )

"""A thousand messages that cannot be processed: each is dead-lettered for a true reason."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import msgpack
import pytest
from kafka import KafkaProducer
from system_helpers import (
    Deployment,
    ProfilesProbe,
    assert_same_profiles,
    reference_profiles,
)

from streams.errors import RejectReason as R
from streams.schema import Action, Item
from streams.tail import TopicTail

pytestmark = pytest.mark.integration

ITEMS = [Item(item_id=f"i{n}", title=f"Film number {n}", categories=("Drama",)) for n in range(20)]
YEAR_MS = 365 * 86_400_000
NAN, INF = float("nan"), float("inf")


@dataclass
class Poison:
    """A message, what is wrong with it, and words that its reason must hold."""

    key: bytes | None
    value: bytes | None
    error: R
    says: str


def rate(**changes: object) -> bytes:
    """A valid rating with something changed; None removes a field."""
    now = int(time.time() * 1000)
    fields = {"user_id": "u", "action": "rate", "ts": now, "item_id": "i1", "rating": 5.0}
    fields.update(changes)
    packed: bytes = msgpack.packb({k: v for k, v in fields.items() if v is not None})
    return packed


def kinds() -> list[Callable[[random.Random], Poison]]:
    """Every way in which a message can be wrong that we know of."""
    now = int(time.time() * 1000)
    nested: object = 1
    for _ in range(600):
        nested = [nested]
    deep = b"\x91" * 5_000 + b"\xc0"
    fixed = [
        Poison(b"u", b"", R.MALFORMED, "cannot be read"),
        Poison(b"u", None, R.MALFORMED, "null"),
        Poison(b"u", b"not msgpack at all", R.MALFORMED, "cannot be read"),
        Poison(b"u", b'{"user_id": "u"}', R.MALFORMED, "cannot be read"),
        Poison(b"u", deep, R.MALFORMED, "cannot be read"),
        Poison(b"u", msgpack.packb(nested), R.MALFORMED, "cannot be read"),
        Poison(b"u", msgpack.packb([1, 2, 3]), R.MALFORMED, "Expected `object`"),
        Poison(b"u", rate()[:-3], R.MALFORMED, "cannot be read"),
        Poison(b"u", rate(user_id=None), R.MALFORMED, "`user_id`"),
        Poison(b"u", rate(action=None), R.MALFORMED, "`action`"),
        Poison(b"u", rate(ts=None), R.MALFORMED, "`ts`"),
        Poison(b"u", rate(user_id=7), R.MALFORMED, "Expected `str`"),
        Poison(b"u", rate(ts="today"), R.MALFORMED, "Expected `int`"),
        Poison(b"u", rate(ts=1.5), R.MALFORMED, "Expected `int`"),
        Poison(b"u", rate(ts=True), R.MALFORMED, "Expected `int`"),
        Poison(b"u", rate(rating="five"), R.MALFORMED, "rating"),
        Poison(b"u", rate(item_id=3), R.MALFORMED, "item_id"),
        Poison(b"u", rate(context={"a": [1]}), R.MALFORMED, "context"),
        Poison(b"u", rate(v=99), R.MALFORMED, "version 99"),
        Poison(b"u", rate(rating=NAN), R.BAD_VALUE, "nan"),
        Poison(b"u", rate(rating=INF), R.BAD_VALUE, "inf"),
        Poison(b"u", rate(rating=11.0), R.BAD_VALUE, "expected 1 to 5"),
        Poison(b"u", rate(rating=None), R.BAD_VALUE, "needs a rating"),
        Poison(b"u", rate(context={"temperature": NAN}), R.BAD_VALUE, "context.temperature"),
        Poison(b"", rate(user_id=""), R.BAD_VALUE, "user_id is empty"),
        Poison(b"u", rate(ts=-5), R.BAD_TIME, "ts is -5"),
        Poison(b"u", rate(ts=0), R.BAD_TIME, "ts is 0"),
        Poison(b"u", rate(ts=now + YEAR_MS), R.BAD_TIME, "ahead"),
        Poison(b"u", rate(ts=now * 1000), R.BAD_TIME, "milliseconds?"),
        Poison(None, rate(), R.BAD_KEY, "no key"),
        Poison(b"", rate(), R.BAD_KEY, "no key"),
        Poison(b"someone else", rate(), R.BAD_KEY, "must be equal"),
        Poison(b"\xff\xfe", rate(), R.BAD_KEY, "must be equal"),
        Poison(b"u", rate(text="x" * 10_000_000), R.OVER_LIMIT, "limit is 1,000,000"),
        Poison(b"u", rate(text="x" * 30_000), R.OVER_LIMIT, "limit is 20,000"),
        Poison(b"u" * 300, rate(user_id="u" * 300), R.OVER_LIMIT, "limit is 256"),
        Poison(b"u", rate(item_id="i" * 300), R.OVER_LIMIT, "limit is 256"),
        Poison(b"u", rate(event_id="e" * 300), R.OVER_LIMIT, "limit is 256"),
        Poison(b"u", rate(context={f"c{n}": n for n in range(40)}), R.OVER_LIMIT, "limit is 32"),
        Poison(b"u", rate(action="teleport"), R.UNKNOWN_ACTION, "'teleport'"),
        Poison(b"u", rate(item_id="nowhere"), R.UNKNOWN_ITEM, "'nowhere'"),
        Poison(b"u", rate(action="search", item_id=None, rating=None), R.NO_TEXT, "nothing to"),
        Poison(b"u", rate(action="search", item_id=None, text="  \n "), R.NO_TEXT, "nothing to"),
    ]

    def noise(chance: random.Random) -> Poison:
        # 0xc1 is never used by MessagePack, so that no noise is valid by chance.
        return Poison(b"u", b"\xc1" + chance.randbytes(chance.randrange(200)), R.MALFORMED, "")

    return [*(lambda _, one=one: one for one in fixed), noise]


def test_a_thousand_poisoned_messages(deployment: Deployment) -> None:
    chance = random.Random(1)
    makers = kinds()
    poison = [makers[n % len(makers)](chance) for n in range(1_000)]
    # The 10 MB one once for every round would be 240 MB: it is sent twice.
    big = [one for one in poison if one.value and len(one.value) > 1_000_000]
    for extra in big[2:]:
        poison[poison.index(extra)] = makers[-1](chance)
    good = [
        Action(
            user_id=f"user{n % 7}",
            action="rate",
            ts=1_700_000_000_000 + n,
            item_id=f"i{n % 20}",
            rating=float(1 + n % 5),
        )
        for n in range(500)
    ]
    deployment.publish_items(ITEMS)
    topic = deployment.names.actions[0].name
    producer = KafkaProducer(
        bootstrap_servers=deployment.bootstrap,
        max_request_size=20_000_000,
        compression_type="gzip",
    )
    sent = [
        (one, producer.send(topic, key=one.key, value=one.value, partition=n % 4))
        for n, one in enumerate(poison)
    ]
    producer.flush()
    producer.close()
    expected = {}
    for one, future in sent:
        at = future.get(10)
        expected[at.partition, at.offset] = one
    with deployment.actions() as publisher:
        for action in good:
            publisher.publish_action(action)

    async def main() -> None:
        letters = TopicTail(deployment.bootstrap, {deployment.names.dead_letters: None})
        await letters.start()
        async with ProfilesProbe(deployment.bootstrap, deployment.names.profiles) as probe:
            with deployment.worker() as worker:
                # Every good action follows poison in its partition, so its arrival shows that
                # the stream went on.
                await probe.wait_applied(len(good) + len(poison), worker.check)
                got = await letters.read_to_end()
                while len(got) < len(poison):
                    worker.check()
                    got += await letters.poll()
            await letters.stop()
            assert_same_profiles(probe.states(), reference_profiles(ITEMS, good))
        seen: Counter[tuple[int, int]] = Counter()
        for letter in got:
            headers = {name: value or b"" for name, value in letter.headers}
            place = int(headers["source-partition"]), int(headers["source-offset"])
            seen[place] += 1
            one = expected[place]
            reason = headers["reason"].decode()
            assert (headers["error"].decode(), one.says in reason) == (one.error, True), reason
            assert headers["source-topic"].decode() == topic
            assert letter.key == one.key
            assert letter.value == one.value
        assert seen == Counter(dict.fromkeys(expected, 1))

    asyncio.run(main())

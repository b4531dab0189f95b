"""Real parts for the integration tests: workers as processes, and a look at the profiles topic."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from encoders import HashingEncoder, TextEncoder
from store.policies import Policy
from store.profile import Fence, ProfileState
from store.record import Record
from store.reference import ReferenceProfile, fold_one
from streams.processes import Child, free_port
from streams.publisher import ActionPublisher, ItemPublisher
from streams.restore import newest_versions
from streams.rules import RatingScale
from streams.schema import Action, Item
from streams.security import PLAINTEXT, Security
from streams.tail import TopicTail
from streams.topic_names import ActionTopic, TopicNames
from streams.topics import create_topics

PARTITIONS = 4
DIM = 64
#: Everything that a worker of these tests shares.
BASE_ENV = {
    "TIDEMARK_ENCODER__MODEL": "hashing",
    "TIDEMARK_ENCODER__DIM": str(DIM),
    "TIDEMARK_KAFKA__SESSION_SECONDS": "6",
}
#: Of commands, and of processes that fail: on Apache Kafka where there is one, as users run it, or
#: else on the embedded broker. What depends on the broker runs on each.
on_one_broker = pytest.mark.parametrize("bootstrap", ["one"], indirect=True)
_names = itertools.count()


class Deployment:
    """Topics of its own on a shared broker, and processes that use them."""

    def __init__(
        self,
        bootstrap: str,
        folder: Path,
        actions: Sequence[ActionTopic] | None = None,
        *,
        partitions: int = PARTITIONS,
        security: Security = PLAINTEXT,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.bootstrap = bootstrap
        self.security = security
        self.env = env or {}  # of its processes
        self.folder = folder
        prefix = f"t{os.getpid()}-{next(_names)}"
        self.names = TopicNames(
            actions=tuple(
                ActionTopic(f"{prefix}-{one.name}", one.format, one.default_action)
                for one in (actions or (ActionTopic("actions"),))
            ),
            items=f"{prefix}-items",
            profiles=f"{prefix}-profiles",
            item_vectors=f"{prefix}-item-vectors",
            dead_letters=f"{prefix}-dead",
        )
        self.group = f"{prefix}-group"
        create_topics(bootstrap, self.names, partitions=partitions, security=security)
        self.config = folder / f"{prefix}.toml"
        self.config.write_text(self._toml())

    def _toml(self) -> str:
        topics = "\n".join(
            f"[[topics.actions]]\nname = '{one.name}'\nformat = '{one.format}'\n"
            + (f"default_action = '{one.default_action}'\n" if one.default_action else "")
            for one in self.names.actions
        )
        return (
            f"[kafka]\nbootstrap = '{self.bootstrap}'\ngroup = '{self.group}'\n"
            f"[topics]\nitems = '{self.names.items}'\nprofiles = '{self.names.profiles}'\n"
            f"item_vectors = '{self.names.item_vectors}'\n"
            f"dead_letters = '{self.names.dead_letters}'\n{topics}"
        )

    def worker(self, **env: str) -> Child:
        """Start a worker; metrics are not served."""
        return self.process("worker", "--state", str(self.folder), **env)

    @contextmanager
    def retrieval(self, **env: str) -> Iterator[httpx.Client]:
        """A retrieval service that is ready, and a client for it."""
        port = free_port()
        with (
            self.process(
                "retrieval", "--port", str(port), "--state", str(self.folder), **env
            ) as child,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20.0) as client,
        ):
            wait_until(lambda: '"ready":true' in _status(client), check=child.check)
            yield client

    def process(self, command: str, *options: str, **env: str) -> Child:
        """Start one of the commands."""
        return Child(
            command,
            [sys.executable, "-m", "tidemark", command, "--config", str(self.config), *options],
            self.folder / f"{command}-{next(_names)}.log",
            env={**BASE_ENV, **self.env, **env},
        )

    def publish_items(self, items: Sequence[Item]) -> None:
        with ItemPublisher(self.bootstrap, self.names.items, security=self.security) as publisher:
            for item in items:
                publisher.publish(item)

    def actions(self, topic: int = 0) -> ActionPublisher:
        chosen = self.names.actions[topic]
        return ActionPublisher(
            self.bootstrap, chosen.name, wire=chosen.format, security=self.security
        )


def tidemark(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the command line to its end, in a pipe."""
    return subprocess.run(
        [sys.executable, "-m", "tidemark", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **env},
    )


def _status(client: httpx.Client) -> str:
    try:
        return client.get("/v1/status").text
    except httpx.TransportError:
        return ""  # it does not listen yet


def wait_until(
    done: Callable[[], bool], *, check: Callable[[], None] = lambda: None, seconds: float = 90.0
) -> None:
    """Poll; `check` raises where waiting is in vain."""
    deadline = time.monotonic() + seconds
    while not done():
        check()
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.02)


class ProfilesProbe:
    """Follows a profiles topic as a reader of another team would."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._tail = TopicTail(bootstrap, {topic: None})
        self.records: list[Record] = []
        self._applied: dict[tuple[str, int], int] = {}
        self._seen = 0

    async def __aenter__(self) -> Self:
        await self._tail.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tail.stop()

    async def applied(self) -> int:
        """Actions whose effect is durable: the highest applied offset of each partition."""
        self.records += await self._tail.poll()
        for found in (self._version(record) for record in self.records[self._seen :]):
            if found is not None:
                for topic, offset in found.applied.items():
                    place = topic, found.partition
                    self._applied[place] = max(offset, self._applied.get(place, -1))
        self._seen = len(self.records)
        return sum(offset + 1 for offset in self._applied.values())

    async def wait_applied(
        self, count: int, check: Callable[[], None] = lambda: None, seconds: float = 120.0
    ) -> int:
        deadline = time.monotonic() + seconds
        while (now := await self.applied()) < count:
            check()
            assert time.monotonic() < deadline, f"{now} of {count} applied after {seconds} s"
        return now

    def states(self) -> dict[str, ProfileState]:
        newest, _ = newest_versions(self.records)
        return {user: found for user, found in newest.items() if isinstance(found, ProfileState)}

    @staticmethod
    def _version(record: Record) -> ProfileState | Fence | None:
        newest, _ = newest_versions([record])
        return next(iter(newest.values()))


def item_text(item: Item) -> str:
    """The default template, written out again: the tests do not trust the renderer."""
    return ". ".join(part for part in (item.title, ", ".join(item.categories)) if part)


def reference_profiles(
    items: Sequence[Item],
    actions: Sequence[Action],
    *,
    encoder: TextEncoder | None = None,
    policy: Policy | None = None,
) -> dict[str, ReferenceProfile]:
    """The plain replay: every rating folded by itself, in the log's order, in NumPy."""
    encoder = encoder or HashingEncoder(DIM)
    policy = policy or Policy()
    vectors: dict[str, NDArray[np.float32]] = dict(
        zip(
            (item.item_id for item in items),
            encoder.encode([item_text(item) for item in items]),
            strict=True,
        )
    )
    scale = RatingScale()
    profiles: dict[str, ReferenceProfile] = {}
    for action in actions:
        assert action.item_id is not None
        assert action.rating is not None
        profile = profiles.setdefault(action.user_id, ReferenceProfile.empty(encoder.dim))
        fold_one(
            profile,
            vectors[action.item_id],
            strength=scale.strength(action.rating),
            weight=2.0,
            ts=action.ts,
            policy=policy,
        )
    return profiles


def assert_same_profiles(
    states: dict[str, ProfileState], expected: dict[str, ReferenceProfile]
) -> None:
    """Every user, every statistic, 1e-5."""
    assert states.keys() == expected.keys()
    wrong_counts = {
        user: (states[user].count, profile.count)
        for user, profile in expected.items()
        if states[user].count != profile.count
    }
    assert not wrong_counts, f"lost or applied twice: {wrong_counts}"
    users = list(expected)
    got = np.stack([states[user].array() for user in users])
    want = np.stack([expected[user].vector for user in users])
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        [states[user].sum_k for user in users], [expected[user].sum_k for user in users], rtol=1e-5
    )

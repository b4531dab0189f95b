"""Tidemark as it is deployed: ``tidemark worker`` and ``tidemark retrieval`` as processes.

The actions topic stays; each run has a consumer group and output topics of its own, so that every
repetition begins with no profiles and reads the same actions.
"""

from __future__ import annotations

import itertools
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks.common.load import CommittedRecords, load, wait_until_served
from benchmarks.streams.traffic import item_records
from streams.processes import Child, free_port
from streams.topic_names import ActionTopic, TopicNames
from streams.topics import create_topics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.common.broker import Bench

__all__ = [
    "Deployment",
    "Place",
    "applied",
    "place_for_workers",
    "running_worker",
    "wait_until_ready",
]

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Deployment:
    """A running worker.

    Attributes:
        worker: its process.
        group: its consumer group.
        items: the catalogue's topic.
        profiles: the topic of profiles.
        committed: actions whose effects are durable: profiles acknowledged, offsets committed.
        config: its settings file, for further processes.
        folder: for their logs.
    """

    worker: Child
    group: str
    items: str
    profiles: str
    committed: CommittedRecords
    config: Path
    folder: Path

    @contextmanager
    def retrieval(self) -> Iterator[tuple[Child, str]]:
        """Start the retrieval service too; its process and URL. It is not ready at once."""
        port = free_port()
        command = [sys.executable, "-m", "tidemark", "retrieval", "--config", str(self.config)]
        log = self.folder / "retrieval.log"
        with Child("retrieval", [*command, "--port", str(port)], log) as child:
            yield child, f"http://127.0.0.1:{port}"


def wait_until_ready(retrieval: Child, http: httpx.Client, seconds: float = 180.0) -> None:
    """Return when the retrieval service answers that it has caught up.

    Raises:
        ChildFailedError: it ended.
        TimeoutError: it is not ready.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        retrieval.check()
        try:
            if http.get("/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # it does not listen yet; its end and the deadline are watched
        time.sleep(0.2)
    raise TimeoutError(f"the retrieval service was not ready within {seconds:.0f} s")


def applied(http: httpx.Client) -> int:
    """Actions whose effect can be retrieved: the partitions' highest applied offsets."""
    topics = http.get("/v1/status").raise_for_status().json()["applied"]
    return sum(offset + 1 for offsets in topics.values() for offset in offsets.values())


@dataclass(frozen=True, slots=True)
class Place:
    """Topics and settings for workers of one group.

    Attributes:
        group: the consumer group.
        names: the topics.
        committed: as in `Deployment`.
        config: the settings file.
        folder: for logs and states.
    """

    group: str
    names: TopicNames
    committed: CommittedRecords
    config: Path
    folder: Path

    def worker(self, state: Path) -> Child:
        """``tidemark worker`` with this state folder, to be entered."""
        command = [sys.executable, "-m", "tidemark", "worker", "--config", str(self.config)]
        log = state.with_suffix(".log")
        return Child("worker", [*command, "--state", str(state)], log)


@contextmanager
def place_for_workers(
    bench: Bench,
    actions: str,
    partitions: int,
    *,
    model: str = "hashing",
    with_items: bool = True,
) -> Iterator[Place]:
    """New topics for everything but an actions topic; they are deleted at the end.

    Args:
        bench: the broker.
        actions: the topic, created already.
        partitions: of it, hence of all.
        model: the encoder. With a warm cache it does not matter which: ``hashing`` starts sooner.
        with_items: publish the catalogue.
    """
    name = f"run{next(_numbers)}"
    folder = bench.folder / name
    folder.mkdir()
    names = TopicNames(
        actions=(ActionTopic(actions),),
        items=f"{name}-items",
        profiles=f"{name}-profiles",
        item_vectors=f"{name}-item-vectors",
        dead_letters=f"{name}-dead-letters",
    )
    create_topics(bench.bootstrap, names, partitions=partitions)
    wait_until_served(bench.bootstrap, names.items)
    if with_items:
        load(bench.bootstrap, names.items, item_records())
    config = folder / "tidemark.toml"
    config.write_text(
        f"""\
[kafka]
bootstrap = "{bench.bootstrap}"
group = "{name}"
[topics]
actions = [{{ name = "{actions}" }}]
items = "{names.items}"
profiles = "{names.profiles}"
item_vectors = "{names.item_vectors}"
dead_letters = "{names.dead_letters}"
partitions = {partitions}
[encoder]
model = "{model}"
"""
    )
    committed = CommittedRecords(bench.bootstrap, name, actions)
    try:
        yield Place(name, names, committed, config, folder)
    finally:
        committed.close()
        made = [names.items, names.profiles, names.item_vectors, names.dead_letters]
        bench.delete_topics(made)


@contextmanager
def running_worker(
    bench: Bench, actions: str, partitions: int, **settings: Any
) -> Iterator[Deployment]:
    """Start ``tidemark worker`` on an actions topic; see `place_for_workers` for the arguments."""
    with (
        place_for_workers(bench, actions, partitions, **settings) as place,
        place.worker(place.folder / "worker") as worker,
    ):
        names = place.names
        yield Deployment(
            worker,
            place.group,
            names.items,
            names.profiles,
            place.committed,
            place.config,
            place.folder,
        )

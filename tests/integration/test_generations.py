"""A change of encoder while the service answers: two workers, two sets of topics, one service."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec
import pytest
from kafka import KafkaProducer
from system_helpers import Deployment, wait_until

from streams.errors import BrokerUnavailableError
from streams.processes import Child, free_port
from streams.progress import WorkerProgress
from streams.schema import Item
from streams.topic_names import TopicNames
from streams.topics import create_topics

pytestmark = pytest.mark.integration

FILMS = [
    Item(item_id="alien", title="Alien", categories=("Horror",)),
    Item(item_id="amelie", title="Amelie", categories=("Romance",)),
]
OLD_DIM, NEW_DIM = 64, 32


class TwoEncoders:
    """Settings files of two generations that read the same actions and items."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.folder = folder
        self.old = Deployment(bootstrap, folder, partitions=2)
        names = self.old.names
        self.next_names = TopicNames(
            actions=names.actions,
            items=names.items,
            profiles=f"{names.profiles}-2",
            item_vectors=f"{names.item_vectors}-2",
            dead_letters=f"{names.dead_letters}-2",
        )
        create_topics(bootstrap, self.next_names, partitions=2)
        self.next_group = f"{self.old.group}-2"
        text = self.old.config.read_text()
        for one in ("profiles", "item_vectors", "dead_letters"):
            text = text.replace(f"'{getattr(names, one)}'", f"'{getattr(self.next_names, one)}'")
        text = text.replace(f"'{self.old.group}'", f"'{self.next_group}'")
        self.files = folder / "old.toml", folder / "next.toml"
        for path, settings, dim in (
            (self.files[0], self.old.config.read_text(), OLD_DIM),
            (self.files[1], text, NEW_DIM),
        ):
            path.write_text(f"{settings}\n[encoder]\nmodel = 'hashing'\ndim = {dim}\n")

    def process(self, name: str, *command: str) -> Child:
        return Child(
            name,
            [sys.executable, "-m", "tidemark", *command],
            self.folder / f"{name}.log",
            env={"TIDEMARK_KAFKA__SESSION_SECONDS": "6"},
        )

    def worker(self, number: int) -> Child:
        name = f"worker-{number}"
        folder = str(self.folder / name)
        return self.process(name, "worker", "-c", str(self.files[number]), "--state", folder)


class Asking:
    """Asks for a user's profile again and again, in a thread, while this context is open."""

    def __init__(self, url: str, user: str) -> None:
        self.answers: list[tuple[int, Any, int]] = []
        self._url, self._path = url, f"/v1/users/{user}/profile?include_vector=true"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="asking")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=20.0) as client:
            while not self._over.is_set():
                answer = client.get(self._path)
                body = answer.json()
                self.answers.append(
                    (answer.status_code, body.get("encoder_id"), len(body.get("vector", ())))
                )


def test_readers_see_the_old_encoder_and_then_the_next(kafka_broker: str, tmp_path: Path) -> None:
    both = TwoEncoders(kafka_broker, tmp_path)
    old = both.old
    old.publish_items(FILMS)
    with old.actions() as actions:
        for user in ("ann", "ben"):
            actions.publish(user, "view", item_id="alien")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    service = [
        "retrieval", "-c", str(both.files[0]), "--next", str(both.files[1]),
        "--port", str(port), "--state", str(tmp_path / "retrieval"),
    ]  # fmt: skip

    with (
        httpx.Client(base_url=url, timeout=20.0) as client,
        both.process("retrieval", *service) as retrieval,
    ):

        def status() -> dict[str, Any]:
            try:
                found: dict[str, Any] = client.get("/v1/status").json()
            except httpx.TransportError:
                return {"profiles": 0}  # it does not listen yet
            return found

        with both.worker(0) as worker:
            wait_until(lambda: status()["profiles"] == 2, check=worker.check)
            wait_until(lambda: client.get("/readyz").status_code == 200, check=retrieval.check)
            before = status()
            assert before["upcoming"]["profiles"] == 0
            assert client.delete("/v1/users/ben", params={"wait": 20}).status_code == 200
            with Asking(url, "ann") as asking, both.worker(1) as next_worker:
                wait_until(lambda: status()["upcoming"] is None, check=next_worker.check)
                seen = len(asking.answers)
                wait_until(lambda: len(asking.answers) > seen + 10, check=retrieval.check)
        after = status()
        assert before["generation"] == old.names.profiles
        assert after["generation"] == both.next_names.profiles
        # One encoder's vectors, then the other's; neither an error nor a mix in between.
        assert list(dict.fromkeys(asking.answers)) == [
            (200, before["encoder_id"], OLD_DIM),
            (200, after["encoder_id"], NEW_DIM),
        ]
        assert client.get("/v1/users/ben/profile").status_code == 404
        assert after["profiles"] == 1
        assert 'tidemark_index_vectors{index="profiles"} 1.0' in client.get("/metrics").text
        found = client.get("/v1/users/ann/candidates").json()["candidates"]
        assert [one["item_id"] for one in found] == ["amelie"]
        text = retrieval.log.read_text()
        assert "the next generation answers from now on" in text
        wait_until(lambda: "was let go" in retrieval.log.read_text(), check=retrieval.check)


def test_a_generation_is_one_of_its_own(kafka_broker: str, tmp_path: Path) -> None:
    both = TwoEncoders(kafka_broker, tmp_path)
    service = ["retrieval", "-c", str(both.files[0]), "--next", str(both.files[0])]
    with both.process("refused", *service, "--port", str(free_port())) as child:
        wait_until(lambda: not child.alive())
        text = " ".join(child.log.read_text().split())
    assert "topics.profiles of the next generation is" in text
    assert "name another there" in text


def unread(progress: WorkerProgress, goal: dict[tuple[str, int], int]) -> int:
    """-1 while a fresh Kafka has no coordinator for groups: the service asks again then."""
    try:
        return progress.unread(goal)
    except BrokerUnavailableError:
        return -1


def test_how_far_a_worker_is(bootstrap: str, tmp_path: Path) -> None:
    deployment = Deployment(bootstrap, tmp_path, partitions=2)
    names = deployment.names
    progress = WorkerProgress(
        bootstrap,
        deployment.group,
        [names.actions[0].name, names.items],
        [names.profiles, names.item_vectors],
    )
    assert set(progress.goal().values()) == {0}
    wait_until(lambda: unread(progress, progress.goal()) == 0)
    deployment.publish_items(FILMS[:1])
    with deployment.actions() as actions:
        actions.publish("ann", "view", item_id="alien")
    goal = progress.goal()
    assert sorted(goal.values()) == [0, 0, 1, 1]
    wait_until(lambda: unread(progress, goal) == 2)
    with deployment.worker() as worker:
        wait_until(lambda: progress.unread(goal) == 0, check=worker.check)
    published = progress.published()
    assert {topic for topic, _ in published} == {names.profiles, names.item_vectors}
    assert sum(published.values()) == 2


def test_what_transactions_end_with_is_not_waited_for(kafka_broker: str, tmp_path: Path) -> None:
    deployment = Deployment(kafka_broker, tmp_path, partitions=2)
    topic = deployment.names.actions[0].name
    progress = WorkerProgress(kafka_broker, deployment.group, [topic], [deployment.names.profiles])
    producer = KafkaProducer(bootstrap_servers=kafka_broker, transactional_id=deployment.group)
    producer.init_transactions()
    try:
        for abandoned in (False, True, False):
            producer.begin_transaction()
            for user in ("ann", "ben", "cid", "dan"):
                action = {"user_id": user, "action": "search", "text": "x", "ts": 1_700_000_000_000}
                producer.send(topic, key=user.encode(), value=msgspec.msgpack.encode(action))
            if abandoned:
                producer.abort_transaction()
            else:
                producer.commit_transaction()
    finally:
        producer.close()
    goal = progress.goal()
    wait_until(lambda: unread(progress, goal) >= 12)
    with deployment.worker() as worker:
        wait_until(lambda: progress.unread(goal) == 0, check=worker.check)

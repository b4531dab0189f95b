"""Workers and retrieval services that can be made to fail, under load, for the tests of alerts."""

from __future__ import annotations

import itertools
import json
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import msgpack
from kafka import KafkaProducer
from system_helpers import BASE_ENV, Deployment

from streams.processes import Child, free_port
from streams.schema import Item
from tidemark.soak.control import REFUSED, Control, ControlFile

#: Thirty items that everybody goes to, which have nothing in common, and ten of each one's kind.
THEMES = 30
ITEMS = [
    Item(item_id=f"{theme}-{kin}", title=f"theme{theme} matter{theme} kin{theme}of{kin}")
    for theme in range(THEMES)
    for kin in range(10)
]
#: How late a producer is that holds its records back.
LATE_MS = 20_000


class Side:
    """One worker whose encoder obeys a control file, and one retrieval service."""

    def __init__(self, deployment: Deployment, stack: ExitStack, **retrieval: str) -> None:
        self.deployment = deployment
        worker_port, port = free_port(), free_port()
        control = deployment.folder / f"control-{worker_port}.json"
        self.control = ControlFile(control)
        self.control.write(Control())
        self.worker_address = f"127.0.0.1:{worker_port}"
        self.address = f"127.0.0.1:{port}"
        state = deployment.folder / f"state-{port}"
        self.worker = stack.enter_context(
            Child(
                "worker",
                [
                    sys.executable, "-m", "tidemark.soak.worker",
                    "--control", str(control), "--state", str(state / "worker"),
                ],
                deployment.folder / f"worker-{worker_port}.log",
                env={**BASE_ENV, **deployment.env, **self._topics(worker_port)},
            )
        )  # fmt: skip
        self.retrieval = stack.enter_context(
            deployment.process(
                "retrieval", "--port", str(port), "--state", str(state / "retrieval"), **retrieval
            )
        )

    def _topics(self, port: int) -> dict[str, str]:
        names = self.deployment.names
        return {
            "TIDEMARK_KAFKA__BOOTSTRAP": self.deployment.bootstrap,
            "TIDEMARK_KAFKA__GROUP": self.deployment.group,
            "TIDEMARK_TOPICS__ACTIONS": json.dumps([{"name": names.actions[0].name}]),
            "TIDEMARK_TOPICS__ITEMS": names.items,
            "TIDEMARK_TOPICS__PROFILES": names.profiles,
            "TIDEMARK_TOPICS__ITEM_VECTORS": names.item_vectors,
            "TIDEMARK_TOPICS__DEAD_LETTERS": names.dead_letters,
            "TIDEMARK_WORKER__METRICS_PORT": str(port),
        }

    def check(self) -> None:
        self.worker.check()
        self.retrieval.check()


class Load:
    """What producers and clients do, in threads, until it is stopped.

    Attributes:
        popular: users go to the same thirty items, one after another; else to any.
        bad: a producer sends what is no action.
        late: and another holds its records back for `LATE_MS`.
        words: users search with words of their own, each with others.
        refused: with such that the encoder raises on.
    """

    def __init__(self, side: Side) -> None:
        self.popular = self.bad = self.late = self.refused = False
        self.words = True
        self._side = side
        self._stopping = threading.Event()
        self._errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        self.start(self._publish)
        self.start(lambda: self.ask(self._side))
        try:
            yield
        finally:
            self.stop()

    def start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._guarded, args=(work,))
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """End it; again, nothing."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def check(self) -> None:
        assert not self._errors, f"the load ended: {self._errors}"

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._errors.append(error)
            raise

    def _publish(self) -> None:
        topic = self._side.deployment.names.actions[0].name
        with producer(self._side.deployment) as kafka:
            for turn in itertools.count():
                if self._stopping.wait(0.05):
                    return
                user = f"u{turn // 8}"
                theme, kin = (7 * turn) % THEMES, 0 if self.popular else turn % 10
                fields = {"action": "like", "item_id": f"{theme}-{kin}"}
                late = LATE_MS if self.late else 0
                send(kafka, topic, user, late_ms=late, **fields)
                if self.words and turn % 5 == 0:
                    send(kafka, topic, f"w{turn}", action="search", text=f"words number {turn}")
                if self.refused:
                    send(kafka, topic, f"r{turn}", action="search", text=f"{REFUSED} {turn}")
                if self.bad:
                    kafka.send(topic, b"nonsense", key=b"u")

    def ask(self, side: Side) -> None:
        """Requests for candidates, ten a second at most.

        Of so many users that what an index misses for some does not hang on who they are.
        """
        with httpx.Client(base_url=f"http://{side.address}", timeout=20.0) as client:
            for turn in itertools.count():
                if self._stopping.wait(0.1):
                    return
                client.get(f"/v1/users/u{turn % 40}/candidates")


@contextmanager
def producer(deployment: Deployment) -> Iterator[KafkaProducer]:
    kafka = KafkaProducer(bootstrap_servers=deployment.bootstrap, linger_ms=0)
    try:
        yield kafka
    finally:
        kafka.close(timeout=2)


def send(
    kafka: KafkaProducer, topic: str, user: str, *, late_ms: int = 0, **fields: object
) -> None:
    """Publish an action, with the time of a record that its producer held back."""
    now = time.time_ns() // 1_000_000
    value = msgpack.packb({"user_id": user, "ts": now, **fields})
    kafka.send(topic, value, key=user.encode(), timestamp_ms=now - late_ms)


@contextmanager
def disk_full(*processes: Child) -> Iterator[None]:
    """They can write to no file; EFBIG where a full disk says ENOSPC."""
    before = [resource.prlimit(one.pid, resource.RLIMIT_FSIZE) for one in processes]
    for one, (_, most) in zip(processes, before, strict=True):
        resource.prlimit(one.pid, resource.RLIMIT_FSIZE, (0, most))
    try:
        yield
    finally:
        for one, limits in zip(processes, before, strict=True):
            resource.prlimit(one.pid, resource.RLIMIT_FSIZE, limits)

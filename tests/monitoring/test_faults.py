"""Each alert fires when its fault is made, on real processes.

The rules are the deployed ones with an hour made a minute (`prometheus_files.shortened`); their
thresholds stand. Faults that take longer to be noticed are made first, and looked for last.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
from faulty_system import ITEMS, THEMES, Load, Side, disk_full, producer, send
from prometheus_files import alerts, shortened
from prometheus_rig import PrometheusServer
from system_helpers import Deployment, wait_until

from streams.brokers import ChildBroker
from streams.schema import Item

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

ENV = {
    "TIDEMARK_WORKER__SNAPSHOT_SECONDS": "1",
    "TIDEMARK_RETRIEVAL__SNAPSHOT_SECONDS": "1",
    # A slow machine is no fault here; a producer that holds records back for longer is.
    "TIDEMARK_RETRIEVAL__FRESHNESS_SLO_SECONDS": "10",
    "TIDEMARK_ENCODER__DISK_CACHE_MEBIBYTES": "8",
}
#: An import that lost what tells items apart: two hundred of each theme have one text. A graph of
#: so many equal vectors falls apart, and no effort reaches all of it.
SAME = [
    Item(item_id=f"same-{theme}-{copy}", title=f"theme{theme} matter{theme}")
    for theme in range(THEMES)
    for copy in range(200)
]
#: Made on a Kafka by `test_group_faults`, which looks for them itself.
BY_THE_GROUP = {"TidemarkRebalancing", "TidemarkCommitFailing"}
_seen: set[str] = set()


@dataclass
class System:
    """Two sides on one broker: ``a`` is well at first; ``b`` is where things stand still."""

    broker: ChildBroker
    a: Side
    b: Side
    load: Load
    prometheus: PrometheusServer

    def check(self) -> None:
        self.load.check()

    def wait_firing(self, *names: str, job: str, seconds: float = 90.0) -> None:
        """Until these fire for the job; each says in words what is wrong."""

        def found() -> dict[str, dict[str, str]]:
            return {
                one["labels"]["alertname"]: one["annotations"]
                for one in self.prometheus.alerts()
                if one["labels"]["job"] == job
            }

        try:
            wait_until(lambda: found().keys() >= set(names), check=self.check, seconds=seconds)
        except AssertionError as error:
            there = self.prometheus.query("ALERTS or tidemark_index_recall")
            raise AssertionError(f"{names} of {job} do not fire; there is {there}") from error
        for name in names:
            said = " ".join(found()[name].values())
            assert "error expanding" not in said
            assert "no value" not in said
        _seen.update(names)

    def wait_over(self, *names: str, job: str) -> None:
        """Until none of these fires for the job."""
        fired = f'ALERTS{{alertname=~"{"|".join(names)}",alertstate="firing",job="{job}"}}'
        wait_until(lambda: not self.prometheus.query(fired), check=self.check)


@pytest.fixture(scope="module")
def system(broker: ChildBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("faults")

    def deployment() -> Deployment:
        made = Deployment(broker.bootstrap, folder, env=ENV, partitions=2)
        made.publish_items(ITEMS)
        return made

    with ExitStack() as stack:
        first = deployment()
        second = Deployment(broker.bootstrap, folder, env=ENV, partitions=2)
        # All items are looked at until there are as many as `SAME`. It serves the nearest ones: the
        # blend would learn to follow the crowd, and nothing would be wrong.
        a = Side(
            first, stack,
            TIDEMARK_RETRIEVAL__ACCELERATE_ABOVE=str(len(SAME)), TIDEMARK_RETRIEVAL__RANK="nearest",
        )  # fmt: skip
        # of another encoder than its worker, and on empty topics nobody knows yet
        b = Side(second, stack, TIDEMARK_ENCODER__DIM="32")
        for side in (a, b):
            for address in (side.worker_address, side.address):
                wait_until(partial(_ready, f"http://{address}/readyz"), check=side.check)
        targets = {
            "tidemark-worker": [a.worker_address],
            "tidemark-retrieval": [a.address],
            "tidemark-worker-next": [b.worker_address],
            "tidemark-retrieval-next": [b.address],
        }
        prometheus = stack.enter_context(
            PrometheusServer(folder / "prometheus", targets, change=shortened)
        )
        wait_until(lambda: bool(prometheus.query('count(up{job=~"tidemark.*"} == 1) == 4')))
        # Prometheus takes longer to look than `absent` now waits.
        wait_until(lambda: not prometheus.firing())
        load = Load(a)
        stack.enter_context(load.running())
        yield System(broker, a, b, load, prometheus)


def _ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=20.0).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False  # it does not listen yet


@pytest.fixture(scope="module")
def slow_faults(system: System) -> None:
    """What takes a minute to be noticed, begun."""
    b = system.b.deployment
    b.publish_items(ITEMS[:5])  # vectors that the service of side b cannot hold
    wait_until(lambda: not _ready(f"http://{system.b.address}/readyz"), check=system.b.check)
    system.load.start(lambda: system.load.ask(system.b))
    system.b.control.change(hangs=True)
    with producer(b) as kafka:
        send(kafka, b.names.actions[0].name, "ann", action="search", text="never seen before")
    system.a.deployment.publish_items(SAME)
    system.load.popular = system.load.late = True


def test_nothing_fires_while_all_is_well(system: System) -> None:
    """Longer than any alert but the slowest waits."""
    began = time.monotonic()
    wait_until(lambda: time.monotonic() > began + 15.0, check=system.check)
    assert system.prometheus.failed_rules() == []
    assert system.prometheus.query('count(up{job=~"tidemark.*"} == 1) == 4')
    assert system.prometheus.query('ALERTS{alertstate="firing"}[15s]') == []


@pytest.mark.usefixtures("slow_faults")
def test_bad_records(system: System) -> None:
    system.load.bad = True
    system.wait_firing("TidemarkDeadLettersRising", job="tidemark-worker")
    system.load.bad = False
    system.wait_over("TidemarkDeadLettersRising", job="tidemark-worker")


@pytest.mark.usefixtures("slow_faults")
def test_a_record_that_no_worker_wrote(system: System) -> None:
    with producer(system.a.deployment) as kafka:
        kafka.send(system.a.deployment.names.profiles, b"nonsense", key=b"u1")
    system.wait_firing("TidemarkFollowerRecordsCorrupt", job="tidemark-retrieval")


@pytest.mark.usefixtures("slow_faults")
def test_an_encoder_that_raises(system: System) -> None:
    """On every text that is new; one without memory is tried again too rarely for short times."""
    system.load.words, system.load.refused = False, True
    system.wait_firing("TidemarkEncoderFailing", job="tidemark-worker")
    system.load.words, system.load.refused = True, False
    system.wait_over("TidemarkEncoderFailing", job="tidemark-worker")


@pytest.mark.usefixtures("slow_faults")
def test_a_full_disk(system: System) -> None:
    with disk_full(system.a.worker, system.a.retrieval):
        system.wait_firing("TidemarkSnapshotFailing", "TidemarkCacheFailing", job="tidemark-worker")
        system.wait_firing("TidemarkSnapshotFailing", job="tidemark-retrieval")


@pytest.mark.usefixtures("slow_faults")
def test_a_machine_without_cpu(system: System) -> None:
    with starved(system.a):
        system.wait_firing("TidemarkRetrievalSlow", job="tidemark-retrieval")


@contextmanager
def starved(side: Side) -> Iterator[None]:
    """The service runs for a moment, then not for longer; sixteen clients ask all the time."""
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=f"http://{side.address}", timeout=20.0) as client:
            while not over.is_set():
                client.get("/v1/users/u1/candidates")

    def freeze() -> None:
        while not over.is_set():
            os.kill(side.retrieval.pid, signal.SIGSTOP)
            over.wait(0.7)
            os.kill(side.retrieval.pid, signal.SIGCONT)
            over.wait(0.5)

    threads = [threading.Thread(target=work) for work in (freeze, *[ask] * 16)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.usefixtures("slow_faults")
def test_a_service_of_another_encoder(system: System) -> None:
    system.wait_firing(
        "TidemarkRetrievalNotReady", "TidemarkRetrievalErrors", job="tidemark-retrieval-next"
    )
    severities = system.prometheus.query(
        'count by (severity) (ALERTS{alertname="TidemarkRetrievalNotReady",alertstate="firing"})'
    )
    assert {one["metric"]["severity"] for one in severities} >= {"critical"}


@pytest.mark.usefixtures("slow_faults")
def test_a_producer_that_holds_its_records_back(system: System) -> None:
    job = "tidemark-retrieval"
    system.wait_firing(
        "TidemarkFreshnessBudgetBurnFast", "TidemarkFreshnessBudgetBurnSlow", job=job
    )


@pytest.mark.usefixtures("slow_faults")
def test_users_who_follow_the_crowd(system: System) -> None:
    system.wait_firing("TidemarkOnlineRecallBelowPopularity", job="tidemark-retrieval")


@pytest.mark.usefixtures("slow_faults")
def test_items_that_nothing_tells_apart(system: System) -> None:
    """And it stays so, with all the effort that the index makes."""
    system.wait_firing("TidemarkIndexRecallLow", job="tidemark-retrieval")
    status = httpx.get(f"http://{system.a.address}/v1/status", timeout=20.0).json()
    assert "hnsw, effort 4096" in status["indexes"]["items"], status


@pytest.mark.usefixtures("slow_faults")
def test_an_encoder_that_hangs(system: System) -> None:
    job = "tidemark-worker-next"
    system.wait_firing("TidemarkWorkerStalled", "TidemarkConsumerLagGrowing", job=job)


def test_no_broker(system: System) -> None:
    """And nobody's log is flooded: clients try what fails some hundred times a second."""
    system.load.stop()
    system.broker.stop()
    logs = [one.log for one in (system.a.worker, system.b.worker, system.a.retrieval)]
    before, began = [len(lines(one)) for one in logs], time.monotonic()
    system.wait_firing("TidemarkFollowerUnhealthy", job="tidemark-retrieval")
    # Each kind of line at once, and from then on each once in ten seconds: a few dozen are known.
    most = 50 + 5 * (time.monotonic() - began)
    for log, there in zip(logs, before, strict=True):
        assert len(lines(log)) - there < most, lines(log)[there:]


def lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()


def test_nobody_is_left(system: System) -> None:
    for one in (system.a.worker, system.b.worker, system.a.retrieval, system.b.retrieval):
        one.kill()
    system.wait_firing("TidemarkNoWorkerForPartition", job="tidemark-worker")
    for name in ("Worker", "Retrieval"):
        system.wait_firing(f"Tidemark{name}Down", job=f"tidemark-{name.lower()}")
        down = f'ALERTS{{alertname="Tidemark{name}Down",alertstate="firing",severity="%s"}}'
        # one that there is none, and one for each of the two
        for severity, count in (("critical", 1), ("warning", 2)):
            query = f"count({down % severity}) == {count}"
            wait_until(partial(_found, system.prometheus, query))


def _found(prometheus: PrometheusServer, query: str) -> bool:
    return bool(prometheus.query(query))


def test_every_alert_was_made_to_fire() -> None:
    assert {rule["alert"] for rule in alerts()} == _seen | BY_THE_GROUP

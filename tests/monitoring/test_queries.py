"""Every query of every rule and panel has data, on a real worker and a real retrieval service."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from kafka import KafkaProducer
from prometheus_files import (
    Query,
    panel_queries,
    recording_rules,
    rule_queries,
    selectors,
    without_thresholds,
)
from prometheus_rig import PrometheusServer
from system_helpers import Deployment, wait_until

from store.tokens import digest, new_token
from streams.brokers import ChildBroker
from streams.processes import free_port
from streams.publisher import ActionPublisher
from streams.schema import Item

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

#: Enough for accelerators of both indexes, which are asked for beyond fifty vectors here.
ITEMS = [
    Item(
        item_id=str(number),
        title=f"{colour} {animal}",
        categories=(colour,),
        description=f"A {colour} {animal}, seen in {place}",
    )
    for number, (colour, animal, place) in enumerate(
        itertools.product(
            ("red", "green", "blue", "white"),
            ("fox", "owl", "bear", "crane", "wolf"),
            ("woods", "hills", "towns", "marshes"),
        )
    )
]
USERS = 80
ENV = {
    # a model, since only one has tokens and padding
    "TIDEMARK_ENCODER__MODEL": "all-MiniLM-L6-v2",
    "TIDEMARK_WORKER__SNAPSHOT_SECONDS": "1",
    "TIDEMARK_RETRIEVAL__SNAPSHOT_SECONDS": "1",
    "TIDEMARK_RETRIEVAL__ACCELERATE_ABOVE": "50",
    "TIDEMARK_DASHBOARD__WORKERS": "[]",
}
#: Series that are there only while an alert fires.
NOT_WHILE_ALL_IS_WELL = {"ALERTS"}


class System:
    """A worker, a retrieval service, both under some load, and Prometheus."""

    def __init__(self, deployment: Deployment, prometheus: PrometheusServer, url: str) -> None:
        self.prometheus = prometheus
        self._deployment = deployment
        self._url = url
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load")

    @contextmanager
    def under_load(self, token: str) -> Iterator[None]:
        self._headers = {"authorization": f"Bearer {token}"}
        self._thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            self._thread.join()

    def check(self) -> None:
        assert self._error is None, f"the load ended: {self._error!r}"

    def _run(self) -> None:
        bad = KafkaProducer(bootstrap_servers=self._deployment.bootstrap)
        try:
            with (
                self._deployment.actions() as actions,
                httpx.Client(base_url=self._url, headers=self._headers, timeout=20.0) as client,
            ):
                for turn in itertools.count():
                    if self._stopping.wait(0.1):
                        return
                    self._publish(actions, turn)
                    bad.send(self._deployment.names.actions[0].name, b"nonsense", key=b"u0")
                    self._ask(client, turn)
        except BaseException as error:
            self._error = error
            raise
        finally:
            bad.close()

    def _publish(self, actions: ActionPublisher, turn: int) -> None:
        for number in range(4):
            user = f"u{(4 * turn + number) % USERS}"
            item = ITEMS[(7 * turn + 3 * number) % len(ITEMS)].item_id
            actions.publish(user, ("view", "click", "purchase")[turn % 3], item_id=item)
        words = f"a {turn} blue fox, write to fox{turn}@example.org" + " in the woods" * (turn % 9)
        actions.publish(f"u{turn % USERS}", "search", text=words)
        if turn % 20 == 0:
            actions.forget(f"gone{turn}")
            # older than the forget: of a user who was forgotten
            actions.publish(f"gone{turn}", "view", item_id="1", ts=int(time.time() * 1000) - 60_000)

    @staticmethod
    def _ask(client: httpx.Client, turn: int) -> None:
        client.get(f"/v1/users/u{turn % USERS}/candidates")
        client.get(f"/v1/items/{turn % len(ITEMS)}/audience")
        client.post("/v1/search", json={"text": f"green owl {turn}"})
        # nobody can answer so soon: 504
        client.get(f"/v1/users/u{turn % USERS}/profile", headers={"x-request-timeout": "1e-9"})


@pytest.fixture(scope="module")
def system(broker: ChildBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("queries")
    deployment = Deployment(broker.bootstrap, folder, env=ENV, partitions=2)
    token, worker_port, port = new_token(), free_port(), free_port()
    tokens = [{"sha256": digest(token), "scopes": ["read", "write", "admin"], "name": "test"}]
    targets = {
        "tidemark-worker": [f"127.0.0.1:{worker_port}"],
        "tidemark-retrieval": [f"127.0.0.1:{port}"],
    }
    url = f"http://127.0.0.1:{port}"
    with (
        # Before the others: a rise is seen from the first value that was scraped.
        PrometheusServer(folder / "prometheus", targets, token=token) as prometheus,
        deployment.process(
            "worker", "--metrics-port", str(worker_port), "--state", str(folder)
        ) as worker,
        deployment.process(
            "retrieval", "--port", str(port), "--state", str(folder),
            TIDEMARK_RETRIEVAL__TOKENS=json.dumps(tokens),
        ) as retrieval,
    ):  # fmt: skip

        def check() -> None:
            worker.check()
            retrieval.check()

        wait_until(lambda: bool(prometheus.query("tidemark_ready == 1")), check=check)
        wait_until(lambda: bool(prometheus.query("tidemark_assigned_partitions == 4")), check=check)
        deployment.publish_items(ITEMS)
        running = System(deployment, prometheus, url)
        with running.under_load(token):
            yield running


def without_data(system: System, queries: list[Query], seconds: float = 60.0) -> list[str]:
    """Those that have none, asked again until then."""
    left = queries
    deadline = time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        system.check()
        left = [one for one in left if not system.prometheus.query(one.expression)]
    return [f"{one.place}: {one.expression}" for one in left]


def test_every_panel_has_data(system: System) -> None:
    assert not without_data(
        system,
        [
            # an annotation is there only where something happened
            Query(one.place, without_thresholds(one.expression))
            if one.place.endswith(("Generations", "Rebalances")) and "> 0" in one.expression
            else one
            for one in panel_queries("1m")
        ],
    )


def test_every_recorded_series_is_there(system: System) -> None:
    names = [rule["record"] for rule in recording_rules()]
    assert not without_data(system, [Query(name, f"{{__name__={name!r}}}") for name in names])


def test_every_series_that_rules_and_panels_ask_for_is_there(system: System) -> None:
    """With these labels: a wrong name of a metric or label, or a wrong value, has no series."""
    asked = {
        str(one): Query(query.place, str(one))
        for query in [*rule_queries(), *panel_queries()]
        for one in selectors(query.expression)
        if one.name not in NOT_WHILE_ALL_IS_WELL
    }
    assert len(asked) > 80
    assert not without_data(system, list(asked.values()))


def test_every_alert_compares_what_there_is(system: System) -> None:
    """The expression without its thresholds; for what is absent while all is well, see above."""
    compared = [
        Query(one.place, without_thresholds(one.expression))
        for one in rule_queries()
        if "absent" not in one.expression and "unless" not in one.expression
    ]
    assert not without_data(system, compared)


def test_no_rule_fails_to_evaluate(system: System) -> None:
    assert system.prometheus.failed_rules() == []


def test_a_wrong_name_or_label_would_be_noticed(system: System) -> None:
    wrong = [Query("name", "tidemark_readi"), Query("label", 'tidemark_ready{jop="a"}')]
    assert len(without_data(system, wrong, seconds=1.0)) == 2

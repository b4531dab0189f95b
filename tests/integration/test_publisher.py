"""A publisher that forgets no failure."""

from __future__ import annotations

import time

import pytest
from system_helpers import Deployment

from streams.errors import BrokerUnavailableError, PublisherClosedError, PublishError
from streams.processes import free_port
from streams.publisher import ActionPublisher, Delivered, ItemPublisher
from streams.schema import Item

pytestmark = pytest.mark.integration


def test_every_record_is_reported_where_it_went(deployment: Deployment) -> None:
    reports: list[Delivered] = []
    topic = deployment.names.actions[0].name
    with ActionPublisher(deployment.bootstrap, topic, on_delivered=reports.append) as actions:
        for number in range(50):
            actions.publish(f"user{number % 3}", "view", item_id="1")
    places = {(one.partition, one.offset) for one in reports}
    assert (len(reports), len(places)) == (50, 50)
    assert {one.topic for one in reports} == {topic}


def test_leaving_the_block_waits_for_the_broker(deployment: Deployment) -> None:
    reports: list[Delivered] = []
    topic = deployment.names.items
    with ItemPublisher(
        deployment.bootstrap, topic, linger_ms=10_000, on_delivered=reports.append
    ) as items:
        items.publish(Item(item_id="1", title="Alien"))
        assert reports == []
    assert len(reports) == 1


def test_a_record_over_the_clients_limit_is_refused_at_once(deployment: Deployment) -> None:
    topic = deployment.names.actions[0].name
    with (
        ActionPublisher(deployment.bootstrap, topic, max_request_bytes=10_000) as actions,
        pytest.raises(PublishError, match=f"a record for {topic} was refused"),
    ):
        actions.publish("ann", "review", text="x" * 20_000)


def test_a_record_that_the_broker_refuses_is_raised_on_leaving(
    kafka_broker: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Apache Kafka only: the embedded broker takes records of any size."""
    deployment = Deployment(kafka_broker, tmp_path_factory.mktemp("large"))
    actions = ActionPublisher(
        kafka_broker,
        deployment.names.actions[0].name,
        compression=None,
        max_request_bytes=40_000_000,
    )
    actions.publish("ann", "review", text="x" * 20_000_000)
    with pytest.raises(PublishError, match=r"1 records .* were not delivered"):
        actions.close()


def test_what_messagepack_cannot_hold_is_refused(deployment: Deployment) -> None:
    with (
        deployment.actions() as actions,
        pytest.raises(PublishError, match="the action of user 'ann' cannot be written"),
    ):
        actions.publish("ann", "view", ts=2**70, item_id="1")


def test_a_closed_publisher_says_so(deployment: Deployment) -> None:
    actions = deployment.actions()
    actions.close()
    actions.close()
    with pytest.raises(PublisherClosedError, match="is closed"):
        actions.publish("ann", "view", item_id="1")


def test_the_callers_own_error_is_not_hidden(deployment: Deployment) -> None:
    def fail() -> None:
        with deployment.actions() as actions:
            actions.publish("ann", "view", item_id="1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_no_broker_is_said_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match="Connection refused"):
        ActionPublisher(f"127.0.0.1:{free_port()}")
    assert time.monotonic() - started < 30  # not the clients' own minute

"""The topics: made once, checked at every start, and refused or warned of with what mends them."""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient, NewTopic
from system_helpers import (
    PARTITIONS,
    Deployment,
    wait_until,
)

from streams.brokers import java_command
from streams.errors import BrokerUnavailableError, TopicMismatchError
from streams.topic_names import TopicNames
from streams.topics import check_topics, create_topics

pytestmark = pytest.mark.integration


def test_topics_are_created_once_and_checked(deployment: Deployment) -> None:
    names = deployment.names
    again = create_topics(deployment.bootstrap, names, partitions=PARTITIONS)
    assert [(one.created, one.differing) for one in again] == [(False, ())] * 5
    assert check_topics(deployment.bootstrap, names) == PARTITIONS
    with pytest.raises(TopicMismatchError, match=f"{names.profiles} has 4.*ask for the number"):
        create_topics(deployment.bootstrap, names, partitions=3)
    with pytest.raises(TopicMismatchError, match=r"missing.*elsewhere.*tidemark topics create"):
        check_topics(deployment.bootstrap, replace(names, items="elsewhere"))


@pytest.mark.parametrize("command", ["worker", "retrieval"])
def test_topics_that_do_not_fit_are_refused_at_the_start(
    embedded_broker: str, tmp_path: Path, command: str
) -> None:
    fitting = Deployment(embedded_broker, tmp_path)
    other = Deployment(embedded_broker, tmp_path, partitions=3)
    cases = {
        "no-such-topic": "topics are missing at .*: no-such-topic; create them with: "
        "tidemark topics create",
        other.names.items: rf"{other.names.items} 3, .*topics create --partitions {PARTITIONS}",
    }
    for items, says in cases.items():
        with fitting.process(command, TIDEMARK_TOPICS__ITEMS=items) as process:
            wait_until(lambda p=process: not p.alive())  # type: ignore[misc]
            assert process.stop() == 1
            assert re.search(says, process.tail(1))
            assert "Traceback" not in process.log.read_text()


def test_topics_that_would_lose_records_are_refused(kafka_broker: str, tmp_path: Path) -> None:
    """Apache Kafka only: the embedded broker forgets the settings of topics."""
    names = replace(Deployment(kafka_broker, tmp_path).names, profiles=f"aged-{time.time_ns()}")
    admin = KafkaAdminClient(bootstrap_servers=kafka_broker)
    admin.create_topics(
        [NewTopic(names.profiles, PARTITIONS, 1, topic_configs={"cleanup.policy": "delete"})]
    )
    admin.close()
    with pytest.raises(TopicMismatchError, match=r"cleanup\.policy=delete, should be compact"):
        create_topics(kafka_broker, names, partitions=PARTITIONS)
    with pytest.raises(TopicMismatchError, match="Records would be lost"):
        check_topics(kafka_broker, names)


def test_weak_settings_of_profiles_are_warned_of_with_what_mends_them(
    kafka_broker: str, kafka_jars: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A topic made by hand, and then the commands of the warnings, run as they are told."""
    names = replace(Deployment(kafka_broker, tmp_path).names, profiles=f"weak-{time.time_ns()}")
    weak = {
        "cleanup.policy": "compact",
        "message.timestamp.type": "CreateTime",
        "min.compaction.lag.ms": "0",
        "delete.retention.ms": "86400000",
    }
    admin = KafkaAdminClient(bootstrap_servers=kafka_broker)
    admin.create_topics([NewTopic(names.profiles, PARTITIONS, 1, topic_configs=weak)])
    wait_until(lambda: names.profiles in admin.list_topics())
    admin.close()

    def warnings() -> list[str]:
        caplog.clear()
        assert check_topics(kafka_broker, names) == PARTITIONS
        return [one.message for one in caplog.records if one.name == "streams.topics"]

    told = warnings()
    assert [re.findall(r" has (\S+)=", one) for one in told] == [
        ["message.timestamp.type"], ["min.compaction.lag.ms"], ["delete.retention.ms"],
    ]  # fmt: skip
    for one in told:
        arguments = one.partition("kafka-configs.sh ")[2].split()
        subprocess.run(
            [*java_command(kafka_jars, tmp_path), "kafka.admin.ConfigCommand", *arguments],
            check=True,
            timeout=60,
        )
    wait_until(lambda: warnings() == [])


def test_no_broker_is_said_in_one_line() -> None:
    with pytest.raises(BrokerUnavailableError, match=r"127\.0\.0\.1:1: Connection refused"):
        check_topics("127.0.0.1:1", TopicNames())

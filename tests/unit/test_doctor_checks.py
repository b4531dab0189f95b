"""Each check of the doctor, with facts that are well and facts that are not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from streams.group_lag import GroupState, Member, PartitionLag
from streams.topic_names import TopicNames
from streams.topic_settings import topic_specs
from tidemark.doctor.findings import Finding, Status
from tidemark.doctor.kafka_checks import (
    BrokerFacts,
    TopicFacts,
    check_brokers,
    check_group,
    check_topics,
)
from tidemark.doctor.machine_checks import (
    ClockFacts,
    DeviceFacts,
    DiskFacts,
    ModelFacts,
    check_clocks,
    check_device,
    check_disk,
    check_model,
)
from tidemark.doctor.setup_checks import (
    PortFacts,
    VersionFacts,
    check_port,
    check_settings,
    check_versions,
)
from tidemark.settings import Settings

SPECS = topic_specs(TopicNames())
GIB = 1024**3


def by_check(findings: Iterable[Finding]) -> dict[str, Status]:
    found = list(findings)
    for one in found:
        assert one.found
        # What is not well says what mends it, and nothing else does.
        assert bool(one.fix) == (one.status in {Status.WARNING, Status.FAILED}), one
    return {one.check: one.status for one in found}


def topics(**changed: TopicFacts | None) -> dict[str, Status]:
    found = {
        spec.name: TopicFacts(
            spec.name, 8, 3, least_in_sync=3, config={**spec.config, "min.insync.replicas": "2"}
        )
        for spec in SPECS
    }
    for name, facts in changed.items():
        topic = name.replace("_", "-")
        if facts is None:
            del found[topic]
        else:
            found[topic] = replace(facts, config=facts.config or found[topic].config)
    return by_check(
        check_topics(
            found, SPECS, profiles="profiles", dead_letters="actions-dead-letter", brokers=3,
            bootstrap="b:1",
        )
    )  # fmt: skip


def test_brokers() -> None:
    assert by_check(check_brokers(BrokerFacts("localhost:9092", "PLAINTEXT", 1))) == {
        "broker.reachable": Status.OK,
        "broker.security": Status.OK,
    }
    found = by_check(check_brokers(BrokerFacts("10.0.0.1:9092", "PLAINTEXT", 3)))
    assert found["broker.security"] is Status.WARNING
    assert found["broker.addresses"] is Status.WARNING
    found = by_check(check_brokers(BrokerFacts("a:1,b:1", "SASL_SSL", 3)))
    assert set(found.values()) == {Status.OK}
    found = by_check(check_brokers(BrokerFacts("a:1", "SASL_SSL", error="refused")))
    assert found == {"broker.reachable": Status.FAILED}


def test_topics_that_are_well() -> None:
    assert set(topics().values()) == {Status.OK}


def test_topics_that_are_not_well() -> None:
    assert topics(items=None)["topics.exist"] is Status.FAILED
    assert topics(items=TopicFacts("items", 4, 3, least_in_sync=3))["topics.partitions"] is (
        Status.FAILED
    )
    # what cannot be processed need not be partitioned as users are
    dead = TopicFacts("actions-dead-letter", 1, 3, least_in_sync=3)
    assert topics(actions_dead_letter=dead)["topics.partitions"] is Status.OK
    assert topics(items=TopicFacts("items", 8, 1))["topics.replication"] is Status.WARNING
    starved = TopicFacts("items", 8, 3, under_replicated=8, least_in_sync=1)
    assert topics(items=starved)["topics.in_sync"] is Status.FAILED
    behind = TopicFacts("items", 8, 3, under_replicated=1, least_in_sync=2)
    assert topics(items=behind)["topics.in_sync"] is Status.WARNING
    gone = TopicFacts("items", 8, 3, offline=1, least_in_sync=3)
    assert topics(items=gone)["topics.leaders"] is Status.FAILED
    loose = TopicFacts("items", 8, 3, least_in_sync=3, config={"min.insync.replicas": "1"})
    assert topics(items=loose)["topics.min_insync"] is Status.WARNING


@pytest.mark.parametrize(
    ("topic", "config", "check", "status"),
    [
        ("profiles", {"cleanup.policy": "delete"}, "topics.cleanup", Status.FAILED),
        ("actions", {"cleanup.policy": "compact"}, "topics.cleanup", Status.FAILED),
        ("actions", {"max.message.bytes": "1048588"}, "topics.settings", Status.WARNING),
        ("profiles", {"message.timestamp.type": "CreateTime"}, "topics.settings", Status.WARNING),
        ("profiles", {"delete.retention.ms": "1"}, "topics.settings", Status.WARNING),
        ("profiles", {"delete.retention.ms": "999999999999"}, "topics.settings", Status.OK),
    ],
)
def test_topics_settings(topic: str, config: dict[str, str], check: str, status: Status) -> None:
    (spec,) = [one for one in SPECS if one.name == topic]
    mixed = {**spec.config, "min.insync.replicas": "2", **config}
    facts = TopicFacts(topic, 8, 3, least_in_sync=3, config=mixed)
    assert topics(**{topic: facts})[check] is status


def test_a_broker_that_tells_no_settings() -> None:
    found = {spec.name: TopicFacts(spec.name, 8) for spec in SPECS}
    told = by_check(
        check_topics(found, SPECS, profiles="profiles", dead_letters="x", brokers=1, bootstrap="b")
    )
    assert told["topics.settings"] is Status.NOT_APPLICABLE
    assert told["topics.replication"] is Status.WARNING


A = ("actions", 0)


def group(
    members: tuple[Member, ...] | None, *, owned: bool = True, seconds: float = 0.0
) -> dict[str, Status]:
    owner = members[0] if members and owned else None
    lag = PartitionLag("actions", 0, 5, 9, 4 if seconds else 0, seconds, owner)
    return by_check(check_group(GroupState("g", "Stable", members, "not told", (lag,), 0)))


def test_the_group() -> None:
    one, idle = Member("m", "c", "h", frozenset({A})), Member("n", "c", "h")
    assert group((one,)) == {
        "group.members": Status.OK,
        "group.partitions": Status.OK,
        "group.lag": Status.OK,
    }
    assert group(None)["group.members"] is Status.NOT_APPLICABLE
    assert group(())["group.members"] is Status.WARNING
    assert group((one,), owned=False)["group.partitions"] is Status.WARNING
    assert group((one, idle))["group.partitions"] is Status.WARNING
    assert group((one,), seconds=61.0)["group.lag"] is Status.WARNING
    assert group((one,), seconds=59.0)["group.lag"] is Status.OK


def test_the_model() -> None:
    assert by_check(check_model(ModelFacts("m", "/m", megabytes=91))) == {
        "model.files": Status.OK,
        "model.encodes": Status.NOT_APPLICABLE,
    }
    tried = ModelFacts("m", "/m", encode_seconds=0.01, dim=384)
    assert by_check(check_model(tried))["model.encodes"] is Status.OK
    assert by_check(check_model(ModelFacts("m", error="no file"))) == {"model.files": Status.FAILED}


@pytest.mark.parametrize(
    ("facts", "check", "status"),
    [
        (DeviceFacts("auto", cores=2, threads=2), "device.cuda", Status.NOT_APPLICABLE),
        (DeviceFacts("auto", cuda=("H100",)), "device.cuda", Status.OK),
        (DeviceFacts("cuda"), "device.cuda", Status.FAILED),
        (DeviceFacts("auto", precision="bfloat16"), "device.bfloat16", Status.WARNING),
        (
            DeviceFacts("auto", precision="bfloat16", flags=frozenset({"amx_bf16"})),
            "device.bfloat16",
            Status.OK,
        ),
        (DeviceFacts("auto", cores=2, threads=3), "device.threads", Status.WARNING),
        (DeviceFacts("auto", error="no torch"), "device.torch", Status.FAILED),
    ],
)
def test_the_device(facts: DeviceFacts, check: str, status: Status) -> None:
    assert by_check(check_device(facts))[check] is status


@pytest.mark.parametrize(
    ("facts", "check", "status"),
    [
        (DiskFacts("s", free=10 * GIB, snapshots=GIB, cache=GIB), "disk.space", Status.OK),
        (DiskFacts("s", free=2 * GIB, snapshots=GIB, cache=GIB), "disk.space", Status.WARNING),
        (DiskFacts("s", free=GIB // 2), "disk.space", Status.WARNING),
        (DiskFacts("s", free=GIB, snapshots=2 * GIB), "disk.space", Status.FAILED),
        (DiskFacts("s", error="Read-only file system"), "disk.writable", Status.FAILED),
    ],
)
def test_the_disk(facts: DiskFacts, check: str, status: Status) -> None:
    assert by_check(check_disk(facts))[check] is status


def test_clocks() -> None:
    found = by_check(check_clocks(ClockFacts()))
    assert set(found.values()) == {Status.NOT_APPLICABLE}
    found = by_check(check_clocks(ClockFacts(service=0.4, broker_at_least=-30.0)))
    assert set(found.values()) == {Status.OK}
    found = by_check(check_clocks(ClockFacts(service=-20.0, broker_at_least=20.0)))
    assert set(found.values()) == {Status.WARNING}
    found = by_check(check_clocks(ClockFacts(service=-400.0, broker_at_least=400.0)))
    assert set(found.values()) == {Status.FAILED}


INSTALLED = {"faust-streaming": "0.15.3", "faiss-cpu": "1.12.0", "aiokafka": "0.14.0"}


def versions(python: str = "3.12.1", **changed: str) -> dict[str, Status]:
    installed = INSTALLED | {name.replace("_", "-"): one for name, one in changed.items()}
    required = (
        "aiokafka<0.15,>=0.14",
        "faust-streaming>=0.15.3",
        "hypothesis>=6; extra == 'dev'",
        "faiss-cpu>=1.12; extra == 'cpu'",
    )
    wanted = {name: one for name, one in installed.items() if one}
    return by_check(check_versions(VersionFacts(python, wanted, required)))


def test_versions() -> None:
    assert versions() == {"versions.python": Status.OK, "versions.packages": Status.OK}
    assert versions("3.10.2")["versions.python"] is Status.FAILED
    assert versions(aiokafka="0.13.0")["versions.packages"] is Status.FAILED
    assert versions(aiokafka="")["versions.packages"] is Status.FAILED
    assert versions(hypothesis="5.0")["versions.packages"] is Status.FAILED
    assert versions(faiss_gpu="1.12")["versions.conflict"] is Status.FAILED
    assert versions(faust="1.10")["versions.conflict"] is Status.FAILED
    assert versions(faiss_cpu="")["versions.faiss"] is Status.FAILED
    found = by_check(check_versions(VersionFacts("3.12.1", INSTALLED)))
    assert found["versions.packages"] is Status.NOT_APPLICABLE


def test_ports() -> None:
    def status(**facts: bool) -> Status:
        (found,) = by_check(
            [check_port(PortFacts("retrieval.port", "a:1", said="x", **facts))]
        ).values()
        return found  # fmt: skip

    assert status() is Status.OK
    assert status(listening=True) is Status.FAILED
    assert status(listening=True, ours=True) is Status.WARNING
    assert status(listening=True, ours=True, ready=True) is Status.OK


def test_weak_settings() -> None:
    assert set(by_check(check_settings(Settings()))) == {
        "settings.tokens",
        "settings.metrics",
        "settings.replication",
    }
    strong = {
        "retrieval": {"tokens": [{"sha256": "a" * 64, "scopes": ["read"]}]},
        "worker": {"metrics_port": 9100},
        "topics": {"replication": 3},
    }
    assert by_check(check_settings(Settings.model_validate(strong))) == {"settings": Status.OK}
    never = {**strong, "worker": {"metrics_port": 9100, "snapshot_seconds": 0}}
    assert "settings.snapshots" in by_check(check_settings(Settings.model_validate(never)))

"""Judges what was found of brokers, topics and the workers' group. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streams.topic_settings import differences, warnings_of
from tidemark.doctor.findings import failed, not_applicable, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from streams.group_lag import GroupState
    from streams.topic_settings import TopicSpec
    from tidemark.doctor.findings import Finding

__all__ = ["BrokerFacts", "TopicFacts", "check_brokers", "check_group", "check_topics"]

#: Brokers that can keep a record though one of them is lost.
_CLUSTER = 3
#: A worker that is behind for so long does not keep up.
_BEHIND_SECONDS = 60.0
_LOOPBACK = ("localhost", "127.", "[::1]", "::1")


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """What the brokers said.

    Attributes:
        bootstrap: whom was asked.
        protocol: of the connection.
        brokers: how many there are; 0 where none answered.
        error: why none answered.
    """

    bootstrap: str
    protocol: str
    brokers: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """One topic that is there.

    Attributes:
        partitions: how many.
        replication: copies of the partition that has the fewest.
        under_replicated: partitions that lack a copy that is in step.
        offline: partitions without a leader.
        least_in_sync: copies in step of the partition that has the fewest.
        config: settings that the broker tells.
    """

    name: str
    partitions: int
    replication: int = 1
    under_replicated: int = 0
    offline: int = 0
    least_in_sync: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


def check_brokers(facts: BrokerFacts) -> Iterator[Finding]:
    """Whether they answer, how they are spoken to, and whether one may be lost."""
    if facts.error:
        yield failed(
            "broker.reachable",
            facts.error,
            "start the broker, or name the right one: tidemark doctor --bootstrap HOST:PORT; what "
            "is set: tidemark settings --explain",
        )
        return
    yield ok("broker.reachable", f"{facts.brokers} brokers answer at {facts.bootstrap}")
    addresses = facts.bootstrap.split(",")
    away = [one for one in addresses if not one.strip().startswith(_LOOPBACK)]
    if facts.protocol in {"PLAINTEXT", "SASL_PLAINTEXT"} and away:
        yield warning(
            "broker.security",
            f"{facts.protocol} to {away[0]}: whoever is on the way reads and changes what is sent",
            "set kafka.security.protocol to SASL_SSL (or SSL) where the brokers have such a "
            "listener; see README, Brokers with TLS and users",
        )
    else:
        yield ok("broker.security", f"{facts.protocol}")
    if facts.brokers > 1 and len(addresses) == 1:
        yield warning(
            "broker.addresses",
            f"one address of {facts.brokers} brokers: without that one nothing starts",
            "name several: TIDEMARK_KAFKA__BOOTSTRAP=broker1:9092,broker2:9092",
        )


def check_topics(
    found: Mapping[str, TopicFacts],
    specs: Sequence[TopicSpec],
    *,
    profiles: str,
    dead_letters: str,
    brokers: int,
    bootstrap: str,
) -> Iterator[Finding]:
    """Whether all are there, agree, and keep what they must.

    Args:
        found: the topics that are there, by name.
        specs: what they should be.
        profiles: which of them this is.
        dead_letters: and this.
        brokers: how many there are.
        bootstrap: for the commands that mend.
    """
    missing = [spec.name for spec in specs if spec.name not in found]
    there = [found[spec.name] for spec in specs if spec.name in found]
    if missing:
        yield failed(
            "topics.exist",
            f"missing: {', '.join(missing)}",
            f"tidemark topics create --bootstrap {bootstrap}",
        )
    else:
        yield ok("topics.exist", f"all {len(there)} are there")
    if not there:
        return
    yield _partitions(there, dead_letters)
    yield from _settings(there, specs, profiles, bootstrap)
    yield from _copies(there, brokers, bootstrap)


def _partitions(there: Sequence[TopicFacts], dead_letters: str) -> Finding:
    counts = {one.name: one.partitions for one in there if one.name != dead_letters}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        return failed(
            "topics.partitions",
            f"they differ: {told}; a user's actions and profile must have one partition number",
            "name other topics by topics.* and create them with: tidemark topics create "
            f"--partitions {max(counts.values())}",
        )
    return ok("topics.partitions", f"{max(counts.values(), default=0)} in each")


def _settings(
    there: Sequence[TopicFacts], specs: Sequence[TopicSpec], profiles: str, bootstrap: str
) -> Iterator[Finding]:
    by_name = {spec.name: spec for spec in specs}
    if not any(one.config for one in there):
        yield not_applicable("topics.settings", "this broker does not tell topics' settings")
        return
    bad = False
    for one in there:
        differing = differences(by_name[one.name], one.config)
        for each in differing:
            if each.name == "cleanup.policy":
                bad = True
                yield failed(
                    "topics.cleanup",
                    f"{one.name} has {each}: records would be lost",
                    _alter(bootstrap, one.name, f"cleanup.policy={each.wanted}"),
                )
            elif each.name == "max.message.bytes" and int(each.found) < int(each.wanted):
                bad = True
                yield warning(
                    "topics.settings",
                    f"{one.name} has {each}: a larger message is refused at the producer and "
                    "never told of",
                    _alter(bootstrap, one.name, f"{each.name}={each.wanted}"),
                )
        if one.name == profiles:
            for line in warnings_of(profiles, differing, bootstrap):
                bad = True
                found, _, fix = line.partition(" It is used as it is; mend it with: ")
                yield warning("topics.settings", found, fix)
    if not bad:
        yield ok("topics.settings", "cleanup, times and limits are as they should be")


def _copies(there: Sequence[TopicFacts], brokers: int, bootstrap: str) -> Iterator[Finding]:
    offline = [one.name for one in there if one.offline]
    if offline:
        yield failed(
            "topics.leaders",
            f"partitions without a leader in {', '.join(offline)}: they are neither read nor "
            "written",
            "start the brokers that hold them",
        )
    starved = [
        one for one in there if _least(one) > one.least_in_sync and one.replication >= _least(one)
    ]
    if starved:
        yield failed(
            "topics.in_sync",
            f"{starved[0].name} has {starved[0].least_in_sync} copies in step and "
            f"min.insync.replicas={_least(starved[0])}: what is published is refused",
            "start the brokers that are missing",
        )
    elif lagging := [one for one in there if one.under_replicated]:
        yield warning(
            "topics.in_sync",
            f"copies are not in step: {', '.join(one.name for one in lagging)}",
            "start the brokers that are missing, or wait until they have caught up",
        )
    single = [one.name for one in there if one.replication == 1]
    if brokers >= _CLUSTER and single:
        yield warning(
            "topics.replication",
            f"one copy of {', '.join(single)} on {brokers} brokers: with its broker it is lost",
            "kafka-reassign-partitions.sh with 3 replicas, or new topics: tidemark topics create "
            "--replication 3",
        )
    elif single:
        yield warning(
            "topics.replication",
            f"one copy on {brokers} brokers: with the broker's disk everything is lost",
            "use a cluster of three brokers, and: tidemark topics create --replication 3",
        )
    else:
        yield ok("topics.replication", f"{min(one.replication for one in there)} copies of each")
    loose = [one.name for one in there if one.replication >= _CLUSTER and _least(one) == 1]
    if loose:
        yield warning(
            "topics.min_insync",
            f"min.insync.replicas=1 in {', '.join(loose)}: what is acknowledged may be in one copy",
            "\n".join(_alter(bootstrap, name, "min.insync.replicas=2") for name in loose),
        )


def _least(topic: TopicFacts) -> int:
    return int(topic.config.get("min.insync.replicas", "1"))


def _alter(bootstrap: str, topic: str, config: str) -> str:
    return (
        f"kafka-configs.sh --bootstrap-server {bootstrap} --alter --entity-type topics "
        f"--entity-name {topic} --add-config {config}"
    )


def check_group(state: GroupState) -> Iterator[Finding]:
    """Whether workers run, have all partitions, and keep up."""
    if state.members is None:
        yield not_applicable("group.members", f"group {state.group}: {state.why_not}")
    elif not state.members:
        yield warning("group.members", f"no worker of group {state.group} runs", "tidemark worker")
    else:
        yield ok("group.members", f"{len(state.members)} workers, {state.state}")
        if state.unowned:
            yield warning(
                "group.partitions",
                f"{len(state.unowned)} partitions have no worker (the group is {state.state})",
                "wait for the rebalance to end; then: tidemark lag",
            )
        elif idle := sum(not one.assigned for one in state.members):
            yield warning(
                "group.partitions",
                f"{idle} workers have no partition: there are more workers than partitions",
                "stop them: the number of partitions bounds the number of workers",
            )
        else:
            yield ok("group.partitions", "each has a worker")
    if state.seconds > _BEHIND_SECONDS and state.records:
        yield warning(
            "group.lag",
            f"{state.records:,} records are to be read, the oldest for {state.seconds:,.0f} s",
            "tidemark lag --watch; if it grows, add workers: tidemark worker",
        )
    else:
        yield ok("group.lag", f"{state.records:,} records are to be read")

"""The topics Tidemark needs: their creation, and the check at every start."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import TopicAlreadyExistsError

from streams.admin import admin_client
from streams.errors import TopicMismatchError
from streams.security import PLAINTEXT
from streams.topic_settings import TOMBSTONE_MS, differences, topic_specs, warnings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.security import Security
    from streams.topic_names import TopicNames
    from streams.topic_settings import Difference, TopicSpec

__all__ = [
    "TopicIdentity",
    "TopicReport",
    "check_topics",
    "create_topics",
    "identify",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TopicIdentity:
    """Which topic it is.

    Attributes:
        name: of the topic.
        topic_id: the broker's id of it; another one where it was deleted and made anew.
        tombstone_ms: how long it keeps a tombstone at least.
    """

    name: str
    topic_id: str
    tombstone_ms: int


@dataclass(frozen=True, slots=True)
class TopicReport:
    """What became of one topic."""

    name: str
    partitions: int
    created: bool
    differing: tuple[Difference, ...] = ()  # settings that are not as they should be


def create_topics(
    bootstrap: str,
    names: TopicNames,
    *,
    partitions: int,
    replication: int = 1,
    security: Security = PLAINTEXT,
) -> list[TopicReport]:
    """Create the topics that do not exist; change none that do.

    Args:
        bootstrap: ``host:port`` of brokers, separated by commas.
        names: what they are called.
        partitions: of every topic; all that share keys must agree.
        replication: copies of each.
        security: of the connection.

    Raises:
        BrokerUnavailableError: no broker answers, or it refuses the request.
        AccessRefusedError, BrokerUnsupportedError: see `require_access`.
        TopicMismatchError: a topic exists with another number of partitions; nothing is created.
    """
    specs = topic_specs(names)
    with admin_client(bootstrap, security) as admin:
        existing = _partition_counts(admin)
        wrong = [
            f"{spec.name} has {existing[spec.name]}"
            for spec in specs
            if existing.get(spec.name, partitions) != partitions
        ]
        if wrong:
            raise TopicMismatchError(
                f"{partitions} partitions were asked for, but {'; '.join(wrong)}. All topics need "
                "the same number, and a number cannot be changed without moving users between "
                "partitions: ask for the number that is there, with: tidemark topics create "
                "--partitions NUMBER; or name new topics by the settings topics.*"
            )
        missing = [spec for spec in specs if spec.name not in existing]
        if missing:
            try:
                admin.create_topics(
                    [
                        NewTopic(
                            spec.name, partitions, replication, topic_configs=dict(spec.config)
                        )
                        for spec in missing
                    ]
                )
            except TopicAlreadyExistsError:
                # Another process was quicker; what it made is checked like any other.
                return create_topics(
                    bootstrap,
                    names,
                    partitions=partitions,
                    replication=replication,
                    security=security,
                )
        made = {spec.name for spec in missing}
        reports = [
            TopicReport(
                spec.name,
                partitions,
                created=spec.name in made,
                differing=() if spec.name in made else _differing(admin, spec),
            )
            for spec in specs
        ]
    _refuse_wrong_cleanup(reports)
    return reports


def check_topics(bootstrap: str, names: TopicNames, *, security: Security = PLAINTEXT) -> int:
    """The number of partitions, if every topic exists and all agree.

    Settings of ``profiles`` that make less hold than is promised are warned of.

    Raises:
        BrokerUnavailableError: no broker answers.
        AccessRefusedError, BrokerUnsupportedError: see `require_access`.
        TopicMismatchError: says which topics are missing or differ, and what to do.
    """
    specs = topic_specs(names)
    with admin_client(bootstrap, security) as admin:
        existing = _partition_counts(admin)
        present = [spec for spec in specs if spec.name in existing]
        reports = [
            TopicReport(
                spec.name, existing[spec.name], created=False, differing=_differing(admin, spec)
            )
            for spec in present
        ]
    missing = [spec.name for spec in specs if spec.name not in existing]
    if missing:
        raise TopicMismatchError(
            f"topics are missing at {bootstrap}: {', '.join(missing)}; "
            "create them with: tidemark topics create"
        )
    _refuse_wrong_cleanup(reports)
    for report in reports:
        if report.name == names.profiles:
            for warning in warnings_of(report.name, report.differing, bootstrap):
                logger.warning("%s", warning)
    counts = {spec.name: existing[spec.name] for spec in specs}
    if len({counts[name] for name in counts if name != names.dead_letters}) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise TopicMismatchError(
            f"topics differ in their number of partitions ({shown}); a user's actions and profile "
            "must have the same partition number: name other topics by the settings topics.*, and "
            "create them with: tidemark topics create --partitions "
            f"{max(counts.values())}"
        )
    return counts[names.profiles]


def identify(bootstrap: str, topic: str, *, security: Security = PLAINTEXT) -> TopicIdentity:
    """Which topic it is, for snapshots of what it says.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    with admin_client(bootstrap, security) as admin:
        (found,) = [one for one in admin.describe_topics() if one["name"] == topic]
        described = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    retention = described["topic"][topic].get("delete.retention.ms", {}).get("value")
    return TopicIdentity(
        topic,
        str(found["topic_id"]),
        # The embedded broker knows no settings and deletes nothing.
        int(retention) if retention is not None else TOMBSTONE_MS,
    )


def _partition_counts(admin: Any) -> dict[str, int]:
    return {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics()}


def _differing(admin: Any, spec: TopicSpec) -> tuple[Difference, ...]:
    described = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, spec.name)])
    actual = described["topic"][spec.name]
    return differences(spec, {name: setting["value"] for name, setting in actual.items()})


def _refuse_wrong_cleanup(reports: Sequence[TopicReport]) -> None:
    """A profiles topic that deletes by age loses users; an actions topic that compacts, actions."""
    wrong = [
        f"{report.name} has {difference}"
        for report in reports
        for difference in report.differing
        if difference.name == "cleanup.policy"
    ]
    if wrong:
        raise TopicMismatchError(
            f"cleanup policies are wrong: {'; '.join(wrong)}. Records would be lost: "
            "change them with kafka-configs.sh --alter, or name other topics"
        )

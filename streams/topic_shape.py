"""How many partitions and copies the topics have that are there already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from streams.admin import admin_client
from streams.security import PLAINTEXT
from streams.topic_settings import topic_specs

if TYPE_CHECKING:
    from streams.security import Security
    from streams.topic_names import TopicNames

__all__ = ["TopicShape", "shape_of"]


@dataclass(frozen=True, slots=True)
class TopicShape:
    """Of a topic, or of several that agree."""

    partitions: int
    replication: int


def shape_of(
    bootstrap: str, names: TopicNames, *, security: Security = PLAINTEXT
) -> TopicShape | None:
    """The most partitions, and the most copies, that one of the topics has; None without any.

    Args:
        bootstrap: ``host:port`` of brokers, separated by commas.
        names: of the topics.
        security: of the connection.

    Raises:
        BrokerUnavailableError: no broker answers.
        AccessRefusedError, BrokerUnsupportedError: see `require_access`.
    """
    wanted = {spec.name for spec in topic_specs(names)}
    with admin_client(bootstrap, security) as admin:
        found = [one for one in admin.describe_topics() if one["name"] in wanted]
    if not found:
        return None
    return TopicShape(
        max(len(one["partitions"]) for one in found),
        max(len(part["replica_nodes"]) for one in found for part in one["partitions"]),
    )

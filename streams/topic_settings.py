"""The topics' settings: what they should be, and what a wrong one of ``profiles`` costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streams.topic_names import TopicNames

__all__ = ["TOMBSTONE_MS", "Difference", "TopicSpec", "differences", "topic_specs", "warnings_of"]

_DAY_MS = 24 * 3600 * 1000
#: How long a forgotten user's fence is kept.
TOMBSTONE_MS = 7 * _DAY_MS
#: An over-long message must reach the worker to be dead-lettered with its reason.
_MESSAGE_BYTES = 16 * 1024 * 1024

#: Of more than they should be nothing is lost.
_AT_LEAST = {"min.compaction.lag.ms", "delete.retention.ms"}
#: What a wrong setting of ``profiles`` costs; a wrong cleanup.policy is refused.
_COSTS = {
    "message.timestamp.type": "records then bear their writer's time and not the broker's, so a "
    "stopped worker's late write looks old, and min.compaction.lag.ms does not keep it from "
    "compaction until the newest profile is published again",
    "min.compaction.lag.ms": "the owner of a partition then has too little time to publish a "
    "user's newest profile again after a stopped worker's late write, before compaction keeps the "
    "late one",
    "delete.retention.ms": "a forgotten user's fence is then gone sooner, and actions of before "
    "the forget that come later bring the user back",
}


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be."""

    name: str
    config: Mapping[str, str] = field(default_factory=dict)


def topic_specs(names: TopicNames) -> list[TopicSpec]:
    """Every topic with the settings its use depends on."""
    return [
        *(
            TopicSpec(
                topic.name,
                {"cleanup.policy": "delete", "max.message.bytes": str(_MESSAGE_BYTES)},
            )
            for topic in names.actions
        ),
        TopicSpec(
            names.items, {"cleanup.policy": "compact", "max.message.bytes": str(_MESSAGE_BYTES)}
        ),
        TopicSpec(
            names.profiles,
            {
                "cleanup.policy": "compact",
                # A late record of a stopped worker must not outlive the newer one: the owner has
                # ten minutes by the broker's clock to publish its state again.
                "message.timestamp.type": "LogAppendTime",
                "min.compaction.lag.ms": "600000",
                "delete.retention.ms": str(TOMBSTONE_MS),
            },
        ),
        TopicSpec(names.item_vectors, {"cleanup.policy": "compact"}),
        TopicSpec(
            names.dead_letters,
            {
                "cleanup.policy": "delete",
                "retention.ms": str(14 * _DAY_MS),
                "max.message.bytes": str(2 * _MESSAGE_BYTES),
            },
        ),
    ]


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting that is not as it should be."""

    name: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.name}={self.found}, should be {self.wanted}"


def differences(spec: TopicSpec, found: Mapping[str, str]) -> tuple[Difference, ...]:
    """Settings that the broker knows (the embedded one knows none) and that are not as wanted."""
    return tuple(
        Difference(name, found[name], wanted)
        for name, wanted in spec.config.items()
        if name in found and found[name] != wanted
    )


def warnings_of(profiles: str, differing: Iterable[Difference], bootstrap: str) -> list[str]:
    """What settings of the topic ``profiles`` cost, one line each, with the command that mends it.

    Args:
        profiles: the topic's name.
        differing: from `differences`. One that is more than it must be costs nothing.
        bootstrap: ``host:port`` of brokers, separated by commas.
    """
    lines = []
    for one in differing:
        at_least = one.name in _AT_LEAST
        if one.name not in _COSTS or (at_least and int(one.found) >= int(one.wanted)):
            continue
        lines.append(
            f"topic {profiles} has {one.name}={one.found}, expected "
            f"{'at least ' if at_least else ''}{one.wanted}: {_COSTS[one.name]}. It is used as it "
            f"is; mend it with: kafka-configs.sh --bootstrap-server {bootstrap} --alter "
            f"--entity-type topics --entity-name {profiles} "
            f"--add-config {one.name}={one.wanted}"
        )
    return lines

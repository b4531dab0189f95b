"""What a next generation is called and set to, of the settings of the one that answers. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tidemark.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.group_lag import GroupState, Place
    from tidemark.settings import Settings

__all__ = ["CatchUp", "GenerationNames", "derive", "name_generation"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: Of a next generation's settings, what the command alone says.
_OWN = {
    "topics": ("profiles", "item_vectors", "dead_letters", "actions", "items"),
    "kafka": ("group", "bootstrap"),
}


@dataclass(frozen=True, slots=True)
class GenerationNames:
    """What it writes to, and as which group it reads."""

    profiles: str
    item_vectors: str
    dead_letters: str
    group: str


def name_generation(settings: Settings, name: str) -> GenerationNames:
    """The names of a next generation: those of the one that answers, with ``-NAME`` behind.

    Where that is a named generation itself, the name takes the place of its own.

    Raises:
        SettingsError: the name cannot be a topic's, or is that of the one that answers.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"--generation is {name!r}; expected 1 to 64 letters, digits, dots, dashes and "
            "underscores, a letter or digit first"
        )
    topics = settings.topics
    now = (topics.profiles, topics.item_vectors, topics.dead_letters, settings.kafka.group)
    suffix = _common_suffix(now)
    if suffix == f"-{name}":
        raise SettingsError(f"{name} is the generation that these settings are of; name another")
    roots = [one.removesuffix(suffix) for one in now]
    return GenerationNames(*(f"{root}-{name}" for root in roots))


def _common_suffix(names: tuple[str, ...]) -> str:
    """``-NAME`` where all of them end so; else nothing."""
    ends = {one[one.rindex("-") :] if "-" in one else "" for one in names}
    suffix = ends.pop()
    return suffix if not ends else ""


def derive(
    in_file: Mapping[str, Any],
    changes: Mapping[str, Any],
    names: GenerationNames,
    settings: Settings,
    bootstrap: str | None,
) -> dict[str, Any]:
    """What the settings file of the next generation holds.

    Args:
        in_file: what the file of the one that answers holds.
        changes: what is to be different: encoder, policy and the like.
        names: of the next one.
        settings: of the one that answers.
        bootstrap: where the command line named brokers.

    Raises:
        SettingsError: the changes name what the command names itself.
    """
    for group, own in _OWN.items():
        for name in own:
            if name in changes.get(group, {}):
                raise SettingsError(
                    f"{group}.{name} is in the changes, but a next generation reads the same "
                    "actions and items, and what it writes is named by --generation: remove it"
                )
    own_values: dict[str, Any] = {
        "topics": {
            "profiles": names.profiles,
            "item_vectors": names.item_vectors,
            "dead_letters": names.dead_letters,
        },
        "kafka": {"group": names.group} | ({"bootstrap": bootstrap} if bootstrap else {}),
    }
    index = _merged(in_file, changes).get("retrieval", {}).get("index", settings.retrieval.index)
    if index == "milvus" and "milvus_prefix" not in changes.get("retrieval", {}):
        # Collections of its own, of names that Milvus takes.
        suffix = re.sub(r"\W", "_", names.profiles)
        own_values["retrieval"] = {"milvus_prefix": f"{settings.retrieval.milvus_prefix}{suffix}_"}
    return _merged(_merged(in_file, changes), own_values)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(below)
    for name, value in above.items():
        before = found.get(name)
        both = isinstance(before, dict) and isinstance(value, dict)
        found[name] = _merged(before, value) if both else value  # type: ignore[arg-type] # are dicts
    return found


class CatchUp:
    """How much of what there was at the beginning is still to be read.

    Args:
        begun: the group at that moment; to be read are the records of then.
    """

    def __init__(self, begun: GroupState) -> None:
        self._goal: dict[Place, int] = {
            (one.topic, one.partition): one.end for one in begun.partitions
        }
        self.total = self.left(begun)

    def left(self, now: GroupState) -> int:
        """Records before the goal that are not read."""
        return sum(
            max(0, self._goal[one.topic, one.partition] - (one.end - one.records))
            for one in now.partitions
            if one.records
        )

"""Makes a next generation: its settings file, its topics, and workers until they have caught up."""

from __future__ import annotations

import os
import sys
import time
import tomllib
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streams.errors import TopicMismatchError
from streams.group_state import read_group, read_unread
from streams.processes import Child, free_port
from streams.topic_shape import shape_of
from streams.topics import check_topics, create_topics
from tidemark.compose.parts import topic_names
from tidemark.errors import SettingsError, TidemarkError
from tidemark.explain import explain
from tidemark.generation.plan import CatchUp, derive, name_generation
from tidemark.generation.toml_text import toml_text
from tidemark.settings import load_settings, read_settings_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from streams.group_lag import GroupState
    from tidemark.settings import Settings

__all__ = ["NextGeneration", "Progress"]

_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: records, and seconds since this run began."""

    done: int
    total: int
    seconds: float


class NextGeneration:
    """One next generation; a run that was interrupted is gone on with.

    Args:
        settings: of the generation that answers.
        config: its settings file.
        name: of the next one.
        changes: a settings file with what is to be different.
        file: where the settings of the next one are written.
        bootstrap: where the command line named brokers.
        state: folder of its workers.

    Raises:
        SettingsError: the name is in use, or the settings cannot be those of a next generation.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        config: Path | None,
        name: str,
        changes: Path | None,
        file: Path,
        bootstrap: str | None,
        state: Path,
    ) -> None:
        self.names = name_generation(settings, name)
        self.file, self.state = file, state
        self._serving = settings
        different = {} if changes is None else read_settings_file(changes)
        self._values = derive(
            {} if config is None else read_settings_file(config),
            different,
            self.names,
            settings,
            bootstrap,
        )
        #: What is to differ from the one that answers, and so must not be said for both.
        self._own: dict[str, Any] = {
            **different,
            "kafka": {**different.get("kafka", {}), "group": ""}
            | ({"bootstrap": ""} if bootstrap else {}),
            "topics": {"profiles": "", "item_vectors": "", "dead_letters": ""},
        }
        self._security = settings.kafka.security.security()
        self._bootstrap = settings.kafka.bootstrap
        self._stack = ExitStack()
        self._workers: list[Child] = []
        self.settings: Settings = settings  # until `prepare`

    def prepare(self) -> bool:
        """Write the settings file and create the topics; whether an earlier run had begun.

        Raises:
            SettingsError: see the class.
            TopicMismatchError: the topics of the one that answers are missing or differ.
        """
        check_topics(self._bootstrap, topic_names(self._serving), security=self._security)
        resumed = self.file.exists()
        if resumed:
            self._require_same()
        else:
            self._require_unused()
            # What it is derived of may hold a password.
            with os.fdopen(os.open(self.file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w",
                           encoding="utf-8") as stream:  # fmt: skip
                stream.write(
                    "# Settings of a next generation, written by: tidemark replay --generation.\n"
                    "# See docs/generations.md.\n" + toml_text(self._values)
                )
        try:
            self._load()
        except SettingsError:
            if not resumed:  # so that another try may say other things
                self.file.unlink()
            raise
        there = shape_of(self._bootstrap, topic_names(self._serving), security=self._security)
        assert there is not None  # noqa: S101 # they were checked above
        create_topics(
            self._bootstrap,
            topic_names(self.settings),
            partitions=there.partitions,
            replication=there.replication,
            security=self._security,
        )
        return resumed

    def _load(self) -> None:
        """Read the settings as its worker will. Raises `SettingsError`."""
        from tidemark.compose.retrieval import require_apart  # noqa: PLC0415 # loads FastAPI

        self.settings = load_settings(self.file)
        self._require_not_overridden()
        require_apart(self._serving, self.settings)

    def oldest_action_ms(self) -> int | None:
        """The time of the oldest action that is still there; None without any."""
        group = read_unread(
            self._bootstrap,
            {
                (topic.name, number): 0
                for topic in self._serving.topics.actions
                for number in range(self._partitions())
            },
            security=self._security,
        )
        return min((one.oldest_ms for one in group.values() if one.oldest_ms is not None),
                   default=None)  # fmt: skip

    def dead_letters(self) -> int:
        """How many it wrote so far."""
        found = read_unread(
            self._bootstrap,
            {(self.names.dead_letters, number): 0 for number in range(self._partitions())},
            security=self._security,
        )
        return sum(one.end - one.begin for one in found.values() if one.oldest_ms is not None)

    def start(self, workers: int, env: Mapping[str, str] | None = None) -> None:
        """Start its workers; they end with this process, or by `stop`."""
        for number in range(workers):
            name = f"worker-{number}"
            self._workers.append(
                self._stack.enter_context(
                    Child(
                        f"the worker {name} of {self.names.group}",
                        [
                            sys.executable, "-m", "tidemark", "worker",
                            "--config", str(self.file),
                            "--state", str(self.worker_state(number)),
                            "--metrics-port", str(free_port()),
                        ],
                        self.state / f"{name}.log",
                        env=env,
                    )
                )
            )  # fmt: skip

    def worker_state(self, number: int) -> Path:
        """The state folder of one of its workers."""
        return self.state / f"worker-{number}"

    def catch_up(
        self, on_progress: Callable[[Progress], None], stopping: Callable[[float], bool]
    ) -> bool:
        """Return True once all that there was at the call is read and published, False if stopped.

        Args:
            on_progress: told once a second or so.
            stopping: waits so many seconds, and says whether to stop.

        Raises:
            ChildFailedError: a worker ended by itself.
        """
        began = time.monotonic()
        goal = CatchUp(self.look())
        left = goal.total
        while True:
            on_progress(Progress(goal.total - left, goal.total, time.monotonic() - began))
            if not left:
                return True
            if stopping(_LOOK_SECONDS):
                return False
            self.check()
            left = goal.left(self.look())

    def look(self) -> GroupState:
        """How far its workers are."""
        topics = self._serving.topics
        return read_group(
            self._bootstrap,
            self.names.group,
            [*(one.name for one in topics.actions), topics.items],
            security=self._security,
        )

    def check(self) -> None:
        """Nothing while all workers run.

        Raises:
            ChildFailedError: one ended.
        """
        for child in self._workers:
            child.check()

    def stop(self) -> None:
        """Stop the workers; what they read is committed."""
        self._stack.close()
        self._workers.clear()

    def _partitions(self) -> int:
        there = shape_of(self._bootstrap, topic_names(self._serving), security=self._security)
        if there is None:
            raise TopicMismatchError("the topics are gone; was another cluster meant?")
        return there.partitions

    def _require_same(self) -> None:
        try:
            written = tomllib.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TidemarkError(f"{self.file} cannot be read as settings: {error}") from error
        if written != self._values:
            raise SettingsError(
                f"{self.file} is there already and says other things than these settings and "
                "changes. If it is to be gone on with, give the same ones as at its beginning; "
                "else choose another --generation, or another file by --out"
            )

    def _require_unused(self) -> None:
        names = self.names
        mine = {names.profiles, names.item_vectors, names.dead_letters}
        there = _existing(self._bootstrap, self._security)
        if taken := sorted(mine & there):
            raise SettingsError(
                f"the name is in use: there is a topic {', '.join(taken)}, but no settings file "
                f"{self.file} of an earlier run; choose another --generation, or name its file by "
                "--out"
            )
        if any(one.committed is not None for one in self.look().partitions):
            raise SettingsError(
                f"the name is in use: a group {names.group} has read the actions already and would "
                "go on where it was; choose another --generation, or delete the group with: "
                f"kafka-consumer-groups.sh --bootstrap-server {self._bootstrap} --delete --group "
                f"{names.group}"
            )

    def _require_not_overridden(self) -> None:
        found = explain(
            self.settings, given={}, env=os.environ, in_file=self._values, file_name=str(self.file)
        )
        for one in found:
            if one.source.startswith("environment variable") and _in(self._own, one.name):
                raise SettingsError(
                    f"{one.source} says {one.name} for both generations and wins over "
                    f"{self.file}; unset it, and say it in the settings files"
                )


def _in(values: Any, name: str) -> bool:
    for part in name.split("."):
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


def _existing(bootstrap: str, security: Any) -> set[str]:
    from streams.admin import admin_client  # noqa: PLC0415 # beside its only use

    with admin_client(bootstrap, security) as admin:
        return {one["name"] for one in admin.describe_topics()}

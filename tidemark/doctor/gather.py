"""Gathers facts of brokers, topics, the workers' group and our servers. Nothing is written."""

from __future__ import annotations

import asyncio
import socket
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from streams.admin import admin_client
from streams.errors import StreamsError
from streams.group_state import read_group
from streams.peek import TopicPeek
from tidemark.client import open_client
from tidemark.doctor.kafka_checks import BrokerFacts, TopicFacts
from tidemark.doctor.setup_checks import PortFacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.group_lag import GroupState
    from streams.security import Security
    from streams.topic_settings import TopicSpec
    from tidemark.settings import Settings

__all__ = ["broker_ahead", "find_brokers", "find_group", "find_servers"]

_ANSWER_SECONDS = 5.0
_CONNECT_SECONDS = 1.0


def find_brokers(
    settings: Settings, specs: Sequence[TopicSpec]
) -> tuple[BrokerFacts, dict[str, TopicFacts]]:
    """The brokers, and those of the topics that are there."""
    bootstrap, protocol = settings.kafka.bootstrap, settings.kafka.security.protocol
    wanted = {spec.name for spec in specs}
    try:
        with admin_client(bootstrap, settings.kafka.security.security()) as admin:
            brokers = len(admin.describe_cluster()["brokers"])
            topics = [one for one in admin.describe_topics() if one["name"] in wanted]
            found = {one["name"]: _topic(one, _config(admin, one["name"])) for one in topics}
    except (StreamsError, KafkaError) as error:
        return BrokerFacts(bootstrap, protocol, error=str(error)), {}
    return BrokerFacts(bootstrap, protocol, brokers), found


def _topic(told: Mapping[str, Any], config: Mapping[str, str]) -> TopicFacts:
    parts = told["partitions"]
    return TopicFacts(
        told["name"],
        len(parts),
        replication=min((len(one["replica_nodes"]) for one in parts), default=0),
        under_replicated=sum(len(one["isr_nodes"]) < len(one["replica_nodes"]) for one in parts),
        offline=sum(one["leader_id"] < 0 for one in parts),
        least_in_sync=min((len(one["isr_nodes"]) for one in parts), default=0),
        config=config,
    )


def _config(admin: Any, topic: str) -> dict[str, str]:
    """Settings as they hold for the topic, its own and the brokers'; none where it is not told."""
    described = admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all"
    )
    return {name: one["value"] for name, one in described["topic"][topic].items() if one["value"]}


def find_group(settings: Settings) -> GroupState:
    """The workers' group.

    Raises:
        StreamsError: the brokers do not tell.
    """
    return read_group(
        settings.kafka.bootstrap,
        settings.kafka.group,
        [*(one.name for one in settings.topics.actions), settings.topics.items],
        security=settings.kafka.security.security(),
    )


def broker_ahead(settings: Settings, topic: TopicFacts | None) -> float | None:
    """By how many seconds the brokers' clock is ahead of ours at least; negative: not known to be.

    The newest record of ``profiles`` has the time of the broker's clock (LogAppendTime): the broker
    has reached it. None without a record, or where the producers give the times.
    """
    if topic is None or topic.config.get("message.timestamp.type") != "LogAppendTime":
        return None
    newest = asyncio.run(
        _newest_ms(settings.kafka.bootstrap, topic, settings.kafka.security.security())
    )
    return None if newest is None else newest / 1000 - time.time()


async def _newest_ms(bootstrap: str, topic: TopicFacts, security: Security) -> int | None:
    """Of the last records of the partitions."""
    peek = TopicPeek(bootstrap, security=security)
    await peek.start()
    newest = None
    try:
        ends = await peek.ends([(topic.name, number) for number in range(topic.partitions)])
        for (name, number), end in ends.items():
            if end == 0:
                continue
            async for records, _ in peek.read(name, number, end - 1, end):
                for record in records:
                    newest = max(newest or 0, record.timestamp)
    finally:
        await peek.stop()
    return newest


def find_servers(settings: Settings) -> tuple[list[PortFacts], float | None]:
    """The retrieval service and this machine's worker, and by how much the former's clock is ahead.

    They are asked what anybody may: /readyz.
    """
    with open_client(settings, timeout=_ANSWER_SECONDS) as http:
        service, ahead = _ask(http, "retrieval.port", str(http.base_url))
    found = [service]
    if settings.worker.metrics_port is not None:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(  # noqa: S104 # not bound here
            settings.worker.metrics_host, settings.worker.metrics_host
        )
        named = f"[{host}]" if ":" in host else host
        url = f"http://{named}:{settings.worker.metrics_port}"
        with httpx.Client(base_url=url, timeout=_ANSWER_SECONDS) as http:
            found.append(_ask(http, "worker.metrics_port", url)[0])
    return found, ahead


def _ask(http: httpx.Client, setting: str, url: str) -> tuple[PortFacts, float | None]:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    address = f"{host}:{port}"
    try:
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
    except OSError:
        return PortFacts(setting, address), None
    began = time.time()
    try:
        answer = http.get("/readyz")
    except httpx.HTTPError as error:
        return PortFacts(setting, address, listening=True, said=str(error)), None
    middle = (began + time.time()) / 2
    said, ours = _readiness(http, answer)
    ready = answer.status_code == httpx.codes.OK
    date = answer.headers.get("date")
    # The header is cut to whole seconds: on average half a second behind.
    ahead = parsedate_to_datetime(date).timestamp() + 0.5 - middle if date and ours else None
    return PortFacts(setting, address, listening=True, ours=ours, ready=ready, said=said), ahead


def _readiness(http: httpx.Client, answer: httpx.Response) -> tuple[str, bool]:
    """What it says of itself, and whether it is one of ours."""
    try:
        body = answer.json()
    except ValueError:
        # A worker answers in plain words; so do others.
        try:
            ours = "tidemark_" in http.get("/metrics").text
        except httpx.HTTPError:
            ours = False
        return answer.text.strip()[:80], ours
    if not isinstance(body, dict):
        return "", False
    error = body.get("error")
    if isinstance(error, dict):
        return str(error.get("reason", "")), "reason" in error
    if "ready" in body:
        generation = body.get("generation")
        return f"ready, of the generation {generation}" if generation else "ready", True
    return str(body.get("reason") or body.get("status") or ""), "status" in body

"""Retrieval starts from its snapshot and the end of the topics."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx
import pytest
from system_helpers import Deployment, wait_until

from store.view_snapshot import read_manifest
from streams.processes import free_port
from streams.schema import Item

pytestmark = pytest.mark.integration

FILMS = [
    Item(item_id="alien", title="Alien", categories=("Horror",)),
    Item(item_id="amelie", title="Amelie", categories=("Romance",)),
]


def ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def profiles(client: httpx.Client) -> int:
    return int(client.get("/v1/status").json()["profiles"])


def test_a_killed_service_goes_on_where_its_snapshot_ends(
    kafka_broker: str, tmp_path: Path
) -> None:
    deployment = Deployment(kafka_broker, tmp_path, partitions=2)
    deployment.publish_items(FILMS)
    path = tmp_path / f"{deployment.names.profiles}.tmv"
    port = free_port()
    command = "retrieval", "--port", str(port), "--state", str(tmp_path)
    often = {"TIDEMARK_RETRIEVAL__SNAPSHOT_SECONDS": "0.2"}

    def publish(*users: str) -> None:
        with deployment.actions() as actions:
            for user in users:
                actions.publish(user, "view", item_id="alien")

    def snapshot_is_of(count: int) -> bool:
        return (
            path.exists()
            and sum(
                offset + 1
                for offsets in read_manifest(path).applied.values()
                for offset in offsets.values()
            )
            >= count
        )

    with (
        deployment.worker() as worker,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20.0) as client,
    ):
        with deployment.process(*command, **often) as first:
            wait_until(lambda: ready(client), check=first.check)
            publish("ann", "ben", "cid")
            wait_until(lambda: snapshot_is_of(3), check=first.check)
            os.kill(first.pid, signal.SIGKILL)
            wait_until(lambda: not first.alive())
        publish("dan")
        with deployment.actions() as actions:
            actions.forget("ben")
        with deployment.process(*command, **often) as second:
            wait_until(lambda: ready(client), check=second.check)
            assert "read the snapshot" in second.log.read_text()
            wait_until(lambda: profiles(client) == 3, check=worker.check)
            assert client.get("/v1/users/ben/profile").status_code == 404
            found = client.get("/v1/users/dan/candidates").json()["candidates"]
            assert [one["item_id"] for one in found] == ["amelie"]
            assert client.get("/v1/users/ann/profile").json()["count"] == 1
        path.write_bytes(path.read_bytes()[:-5])
        with deployment.process(*command, **often) as third:
            wait_until(lambda: ready(client), check=third.check)
            assert "is torn" in third.log.read_text()
            assert profiles(client) == 3

"""The doctor looks at set-ups that are well and at broken ones, on each broker."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import KafkaAdminClient, NewTopic
from system_helpers import BASE_ENV, Deployment, on_one_broker, tidemark, wait_until

from streams.processes import free_port
from streams.schema import Item

pytestmark = pytest.mark.integration


def doctor(deployment: Deployment, *words: str, code: int, **env: str) -> dict[str, dict[str, Any]]:
    env = {"TIDEMARK_RETRIEVAL__PORT": str(free_port()), **BASE_ENV, **env}
    done = tidemark(
        "doctor", "--config", str(deployment.config), "--state", str(deployment.folder), "--json",
        *words, **env,
    )  # fmt: skip
    assert done.returncode == code, (done.stdout, done.stderr)
    told = json.loads(done.stdout)
    assert told["ok"] == (code == 0)
    return {one["check"]: one for one in told["findings"]}


@on_one_broker
def test_a_set_up_that_is_well(bootstrap: str, tmp_path: Path) -> None:
    deployment = Deployment(bootstrap, tmp_path, partitions=2)
    deployment.publish_items([Item(item_id="alien", title="Alien")])
    with deployment.actions() as actions:
        actions.publish("ann", "view", item_id="alien")
    with deployment.worker() as worker, deployment.retrieval() as client:
        wait_until(lambda: client.get("/v1/status").json()["profiles"] == 1, check=worker.check)
        port = str(client.base_url.port)
        found = doctor(deployment, "--deep", code=0, TIDEMARK_RETRIEVAL__PORT=port)
    assert {one["check"] for one in found.values() if one["status"] == "failed"} == set()
    assert found["topics.exist"]["status"] == "ok"
    assert found["topics.partitions"]["found"] == "2 in each"
    assert found["model.encodes"]["status"] == "ok"
    assert "ready, of the generation" in found["ports.retrieval.port"]["found"]
    assert found["clock.service"]["status"] == "ok"
    assert found["clock.broker"]["status"] in {"ok", "not applicable"}
    assert found["group.members"]["status"] in {"ok", "not applicable"}


def test_a_broken_set_up(embedded_broker: str, tmp_path: Path) -> None:
    deployment = Deployment(embedded_broker, tmp_path, partitions=2)
    text = deployment.config.read_text()
    names = deployment.names
    # a topic that is not there, and one of another number of partitions
    other = f"{names.item_vectors}-5"
    admin = KafkaAdminClient(bootstrap_servers=embedded_broker)
    admin.create_topics([NewTopic(other, num_partitions=5, replication_factor=1)])
    admin.close()
    text = text.replace(f"'{names.item_vectors}'", f"'{other}'")
    deployment.config.write_text(text.replace(f"'{names.items}'", "'no-such-items'"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.settimeout(0.1)
        port = str(taken.getsockname()[1])
        found = doctor(deployment, code=1, TIDEMARK_RETRIEVAL__PORT=port,
                       TIDEMARK_ENCODER__MODEL="/no/such/model")  # fmt: skip
    assert "no-such-items" in found["topics.exist"]["found"]
    assert found["topics.exist"]["fix"].startswith("tidemark topics create")
    assert found["topics.partitions"]["status"] == "failed"
    assert f"{other} 5" in found["topics.partitions"]["found"]
    assert found["model.files"]["status"] == "failed"
    assert found["ports.retrieval.port"]["status"] == "failed"


def test_no_broker(tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    env = {"TIDEMARK_KAFKA__BOOTSTRAP": nowhere, "TIDEMARK_RETRIEVAL__PORT": str(free_port())}
    done = tidemark("doctor", "--state", str(tmp_path / "new"), **env, **BASE_ENV)
    assert done.returncode == 1
    assert "broker.reachable" in done.stdout
    assert "fix: start the broker" in done.stdout
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()
    # warnings alone do not fail, unless they are to
    told = json.loads(tidemark("doctor", "--json", **env, **BASE_ENV).stdout)
    assert told["counts"]["failed"] == 1

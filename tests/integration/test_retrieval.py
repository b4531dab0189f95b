"""From a publisher to an answer over HTTP, with every process a real one."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme
from system_helpers import Deployment, wait_until

from store.tokens import digest, new_token
from streams.processes import Child, free_port
from streams.publisher import ItemPublisher
from streams.schema import Item

pytestmark = pytest.mark.integration

FILMS = [
    Item(item_id="1", title="Alien", categories=("Horror", "Space")),
    Item(item_id="2", title="Aliens: horror in deep space", categories=("Horror", "Space")),
    Item(item_id="3", title="Space horror of the deep", categories=("Horror",)),
    Item(item_id="4", title="A summer wedding", categories=("Romance",)),
    Item(item_id="5", title="The wedding guests", categories=("Romance", "Comedy")),
]


@pytest.fixture(scope="module")
def system(
    embedded_broker: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Deployment, Child, httpx.Client]]:
    deployment = Deployment(embedded_broker, tmp_path_factory.mktemp("retrieval"))
    deployment.publish_items(FILMS)
    with deployment.worker() as worker, deployment.retrieval() as client:
        with deployment.actions() as actions:
            actions.publish("ann", "view", item_id="1", event_id="e1")
            actions.publish("ann", "view", item_id="1", event_id="e1")  # a producer's retry
            actions.publish("ben", "purchase", item_id="2")
            actions.publish("cas/a ü", "like", item_id="4")
        wait_until(
            lambda: (
                client.get("/v1/status").json()["profiles"] == 3
                and client.get("/v1/status").json()["items"] == len(FILMS)
            ),
            check=worker.check,
        )
        yield deployment, worker, client


def test_candidates_are_close_and_unseen(
    system: tuple[Deployment, Child, httpx.Client],
) -> None:
    _, _, client = system
    answer = client.get("/v1/users/ann/candidates", params={"k": 2}).raise_for_status().json()
    assert {one["item_id"] for one in answer["candidates"]} == {"2", "3"}
    every = client.get("/v1/users/ann/candidates", params={"k": 9, "exclude_seen": False}).json()
    assert every["candidates"][0]["item_id"] == "1"
    assert len(every["candidates"]) == len(FILMS)
    romance = client.get("/v1/users/ann/candidates", params={"category": "Romance"}).json()
    assert {one["item_id"] for one in romance["candidates"]} == {"4", "5"}


def test_a_profile_says_what_it_is_made_of(
    system: tuple[Deployment, Child, httpx.Client],
) -> None:
    _, _, client = system
    profile = client.get("/v1/users/ann/profile").raise_for_status().json()
    assert profile["count"] == 1  # the retry was not applied
    assert profile["seen"] == [{"item_id": "1", "title": "Alien"}]
    assert profile["contributions"][0]["weight"] == pytest.approx(0.3)
    assert client.get("/v1/users/cas%2Fa%20%C3%BC/profile").json()["user_id"] == "cas/a ü"


def test_audience_neighbours_and_search(system: tuple[Deployment, Child, httpx.Client]) -> None:
    _, _, client = system
    audience = client.get("/v1/items/3/audience", params={"k": 3}).json()["audience"]
    assert {one["user_id"] for one in audience[:2]} == {"ann", "ben"}
    near = client.get("/v1/users/ann/neighbours", params={"k": 1}).json()["neighbours"]
    assert near[0]["user_id"] == "ben"
    found = client.post("/v1/search", json={"text": "a wedding in summer", "k": 1}).json()
    assert found["items"][0]["item_id"] == "4"


def test_an_unknown_user_gets_a_reason_or_what_is_popular(
    system: tuple[Deployment, Child, httpx.Client],
) -> None:
    _, _, client = system
    missing = client.get("/v1/users/nobody/candidates")
    assert missing.status_code == 404
    assert "fallback=popular" in missing.json()["error"]["hint"]
    popular = client.get("/v1/users/nobody/candidates", params={"fallback": "popular"}).json()
    assert popular["source"] == "popular"
    assert {one["item_id"] for one in popular["candidates"][:3]} == {"1", "2", "4"}


def test_an_action_is_retrievable_at_once(
    system: tuple[Deployment, Child, httpx.Client],
) -> None:
    deployment, worker, client = system
    started = time.perf_counter()
    with deployment.actions() as actions:
        actions.publish("eve", "view", item_id="5")
        actions.flush()
        wait_until(
            lambda: client.get("/v1/users/eve/candidates").status_code == 200, check=worker.check
        )
    assert time.perf_counter() - started < 10  # a bound for a hung machine, not a figure
    freshness = client.get("/v1/status").json()["freshness"]
    assert freshness["count"] >= 1
    metrics = client.get("/metrics").text
    assert "tidemark_freshness_seconds_count" in metrics


def test_forgetting_removes_the_user_and_keeps_late_events_out(
    system: tuple[Deployment, Child, httpx.Client],
) -> None:
    deployment, worker, client = system
    with deployment.actions() as actions:
        actions.publish("mia", "view", item_id="5")
    wait_until(lambda: client.get("/v1/users/mia/profile").status_code == 200, check=worker.check)
    before = int(time.time() * 1000) - 1
    receipt = client.delete("/v1/users/mia", params={"wait": 20})
    assert (receipt.status_code, receipt.json()["status"]) == (200, "forgotten")
    assert receipt.json()["topic"] == deployment.names.actions[0].name
    assert client.get("/v1/users/mia/profile").status_code == 404
    with deployment.actions() as actions:
        actions.publish("mia", "view", item_id="4", ts=before)  # late: must not bring mia back
        actions.publish("noa", "view", item_id="4")
    wait_until(lambda: client.get("/v1/users/noa/profile").status_code == 200, check=worker.check)
    assert client.get("/v1/users/mia/profile").status_code == 404
    with deployment.actions() as actions:
        actions.publish("mia", "view", item_id="1")  # new: mia is back as a new user
    wait_until(lambda: client.get("/v1/users/mia/profile").status_code == 200, check=worker.check)
    profile = client.get("/v1/users/mia/profile").json()
    assert (profile["count"], [one["item_id"] for one in profile["seen"]]) == (1, ["1"])


def test_a_deleted_item_is_no_longer_offered(
    system: tuple[Deployment, Child, httpx.Client],
) -> None:
    deployment, worker, client = system
    with ItemPublisher(deployment.bootstrap, deployment.names.items) as items:
        items.publish(Item(item_id="gone", title="Deep space horror, again"))
        items.flush()
        wait_until(
            lambda: client.get("/v1/items/gone/audience").status_code == 200, check=worker.check
        )
        items.delete("gone")
    wait_until(lambda: client.get("/v1/items/gone/audience").status_code == 404, check=worker.check)


@pytest.mark.parametrize("process", ["worker", "retrieval"])
def test_a_process_of_another_encoder_refuses_to_start(
    system: tuple[Deployment, Child, httpx.Client], process: str
) -> None:
    deployment, _, _ = system
    with deployment.process(process, TIDEMARK_ENCODER__DIM="32") as other:
        wait_until(lambda: not other.alive())
        assert other.stop() == 1
        said = other.log.read_text()
        assert "was written with encoder 'hashing-" in said
        assert "this process runs 'hashing-" in said
        assert "tidemark topics create" in said
        assert "partitions assigned" not in said
        assert "Traceback" not in said


def test_a_service_that_meets_another_encoder_later_is_not_ready(
    embedded_broker: str, tmp_path: Path
) -> None:
    """It starts on empty topics, and then a worker of another encoder writes to them."""
    deployment = Deployment(embedded_broker, tmp_path)
    with deployment.retrieval(TIDEMARK_ENCODER__DIM="32") as client, deployment.worker() as worker:
        deployment.publish_items(FILMS)
        wait_until(lambda: client.get("/readyz").status_code == 503, check=worker.check)
        refused = client.get("/v1/users/ann/candidates")
        assert refused.status_code == 503
        assert "start it with that encoder" in refused.json()["error"]["reason"]


def test_beyond_loopback_with_tokens_and_tls(
    system: tuple[Deployment, Child, httpx.Client], tmp_path: Path
) -> None:
    deployment, _, _ = system
    authority, port = trustme.CA(), free_port()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    pem = tmp_path / "service.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    token = new_token()
    kept = [{"sha256": digest(token), "scopes": ["read", "write"], "name": "test"}]
    served = deployment.process(
        "retrieval", "--host", "0.0.0.0", "--port", str(port), "--log-level", "debug",  # noqa: S104
        TIDEMARK_RETRIEVAL__TOKENS=json.dumps(kept), TIDEMARK_RETRIEVAL__CERT_FILE=str(pem),
    )  # fmt: skip
    trusted = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    url = f"https://127.0.0.1:{port}"
    with served, httpx.Client(base_url=url, verify=trusted, timeout=20.0) as client:

        def ready() -> bool:
            try:
                return client.get("/readyz").status_code == 200
            except httpx.TransportError:
                return False  # it does not listen yet

        wait_until(ready, check=served.check)
        assert client.get("/v1/users/ben/profile").status_code == 401
        bearer = {"authorization": f"Bearer {token}", "x-request-id": "trace-9"}
        assert client.get("/v1/users/ben/profile", headers=bearer).status_code == 200
        assert client.get("/v1/status", headers=bearer).status_code == 403
        assert client.get("/v1/users/ben/unheard-of", headers=bearer).status_code == 405
        said = served.log.read_text()
        assert "request=trace-9 route=/v1/users/{user_id:id}/profile status=200" in said
        assert "token=test" in said
        assert token not in said
        assert "/users/ben" not in said


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("/no/such/folder", "no model folder at /no/such/folder"),
        ("nobody/no-such-model", "neither a folder, nor in the hub's cache"),
    ],
)
def test_an_absent_model_is_said_in_words(
    system: tuple[Deployment, Child, httpx.Client], model: str, says: str
) -> None:
    deployment, _, _ = system
    with deployment.worker(TIDEMARK_ENCODER__MODEL=model, HF_HUB_OFFLINE="1") as worker:
        wait_until(lambda: not worker.alive())
        assert worker.stop() == 1
        assert says in worker.tail()
        assert "Traceback" not in worker.log.read_text()


def test_a_worker_of_another_policy_refuses_to_start(
    system: tuple[Deployment, Child, httpx.Client],
) -> None:
    deployment, _, _ = system
    with deployment.worker(TIDEMARK_POLICY__NAME="decay") as other:
        wait_until(lambda: not other.alive())
        assert other.stop() == 1
        said = other.log.read_text()
        assert "was folded by constant(k=0.7), this worker folds by decay(" in said
        assert "set policy.* to what it was folded by" in said
        assert "partitions assigned" not in said
        assert "Traceback" not in said

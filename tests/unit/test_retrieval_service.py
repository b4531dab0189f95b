"""The HTTP service: every endpoint, and every error in the one shape."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from service_rig import NOW_MS, STOCK, Service, serving, with_service
from store_fakes import (
    DIM,
    ENCODER,
    FakeRecord,
    X,
    Y,
    item_record,
    make_state,
    profile_record,
    tombstone,
)

from store.errors import VectorIndexError
from store.profile import Contribution
from store.ranking.features import GROUPS
from store.ranking.learner import Learner
from store.ranking.warm_up import warm_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def test_candidates() -> None:
    async def steps(service: Service) -> None:
        answer = await service.http.get("/v1/users/ann/candidates", params={"k": 1})
        assert answer.status_code == 200
        assert answer.json() == {
            "user_id": "ann",
            "source": "profile",
            "rank": "nearest",
            "candidates": [
                {
                    "item_id": "xy",
                    "score": pytest.approx(2**-0.5),
                    "title": "Title of xy",
                    "categories": ["book"],
                }
            ],
        }
        named = {"exclude_seen": "false", "category": "film"}
        answer = await service.http.get("/v1/users/ann/candidates", params=named)
        assert [one["item_id"] for one in answer.json()["candidates"]] == ["x", "y"]

    with_service(steps)


def test_items_by_attributes_and_popularity() -> None:
    async def steps(service: Service) -> None:
        await service.push(
            item_record("far", -X, attributes={"tenant": "acme", "lang": "en"}),
            item_record("near", X, attributes={"tenant": "acme", "lang": "fr"}),
            *(profile_record(user, make_state(Y, seen=["far"])) for user in ("u", "v", "w")),
        )
        for _ in range(3):
            await service.push()  # popularity is followed

        async def ids(**named: Any) -> list[str]:
            params = {"exclude_seen": "false", **named}
            found = await service.http.get("/v1/users/ann/candidates", params=params)
            assert found.status_code == 200, found.text
            return [one["item_id"] for one in found.json()["candidates"]]

        assert await ids(where="tenant:acme") == ["near", "far"]
        assert await ids(where=["tenant:acme", "lang:de", "lang:en"]) == ["far"]
        assert await ids(where="tenant:acme", popularity=10) == ["far", "near"]
        assert await ids(where="tenant:other") == []
        asked = {"user_ids": ["ann"], "exclude_seen": False, "where": {"tenant": ["acme"]}}
        batch = (await service.http.post("/v1/candidates", json=asked)).json()["results"][0]
        assert [one["item_id"] for one in batch["candidates"]] == ["near", "far"]
        asked = {"text": "x", "where": {"tenant": ["acme"]}, "popularity": 10}
        found = (await service.http.post("/v1/search", json=asked)).json()["items"]
        assert [one["item_id"] for one in found] == ["far", "near"]
        path = "/v1/users/ann/candidates"
        for wrong in ("where=tenant", "popularity=-1", "popularity=nan", "popularity=11"):
            await service.error(422, "invalid_request", "GET", f"{path}?{wrong}")
        many = "&".join(f"where=n{number}:v" for number in range(17))
        await service.error(422, "invalid_request", "GET", f"{path}?{many}")
        half = rb'{"text": "x", "where": {"tenant": ["\ud800"]}}'
        named = {"content": half, "headers": {"content-type": "application/json"}}
        await service.error(422, "invalid_request", "POST", "/v1/search", **named)
        within = {"text": "x", "in": "profiles", "popularity": 1}
        await service.error(422, "invalid_request", "POST", "/v1/search", json=within)

    with_service(steps)


def test_a_user_without_a_direction_gets_what_is_popular_and_not_seen() -> None:
    async def steps(service: Service) -> None:
        state = make_state(0 * X, offset=9, seen=["x"])
        await service.push(
            profile_record("zero", state), profile_record("u", make_state(seen=["y"]))
        )

        async def ids(**named: Any) -> list[str]:
            params = {"fallback": "popular", **named}
            found = (await service.http.get("/v1/users/zero/candidates", params=params)).json()
            assert found["source"] == "popular"
            asked = {"user_ids": ["zero"], "fallback": "popular"} | (
                {"exclude_seen": False} if named else {}
            )
            batch = (await service.http.post("/v1/candidates", json=asked)).json()["results"][0]
            assert batch["candidates"] == found["candidates"]
            return [one["item_id"] for one in found["candidates"]]

        assert await ids() == ["y"]
        assert sorted(await ids(exclude_seen="false")) == ["x", "y"]

    with_service(steps)


def test_an_index_that_fails_is_503_and_its_words_stay_inside(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise VectorIndexError("no server answers for ann")

    async def steps(service: Service) -> None:
        monkeypatch.setattr("store.owner.search_each", fails)
        monkeypatch.setattr("store.indexes.exact.ExactIndex.search", fails)
        reason = await service.error(503, "index_failed", "GET", "/v1/users/ann/candidates")
        assert "ann" not in reason

    with_service(steps)
    assert "VectorIndexError" in caplog.text
    assert "for ann" not in caplog.text


def test_candidates_of_unknown_users_and_categories() -> None:
    async def steps(service: Service) -> None:
        path = "/v1/users/nobody/candidates"
        assert "'nobody'" in await service.error(404, "unknown_user", "GET", path)
        await service.error(404, "unknown_user", "GET", "/v1/users/zero/candidates")
        answer = await service.http.get(path, params={"fallback": "popular"})
        assert answer.json()["source"] == "popular"
        assert [(one["item_id"], one["score"]) for one in answer.json()["candidates"]] == [("x", 2)]
        for user in ("ann", "nobody"):
            reason = await service.error(
                404,
                "unknown_category",
                "GET",
                f"/v1/users/{user}/candidates?category=none&fallback=popular",
            )
            assert "'none'" in reason

    with_service(steps)


def test_profile() -> None:
    async def steps(service: Service) -> None:
        answer = await service.http.get("/v1/users/ann/profile", params={"include_vector": True})
        assert answer.json() == {
            "user_id": "ann",
            "encoder_id": ENCODER,
            "count": 1,
            "last_action_at": 1_700_000_000_000,
            "norm": 2.0,
            "seen": [
                {"item_id": "x", "title": "Title of x"},
                {"item_id": "gone", "title": None},
            ],
            "contributions": [
                {
                    "action": "click",
                    "item_id": "x",
                    "title": "Title of x",
                    "weight": pytest.approx(0.4),
                },
                {
                    "action": "search",
                    "item_id": None,
                    "title": None,
                    "weight": pytest.approx(0.2),
                },
            ],
            "vector": [2, 0, 0, 0],
        }
        plain = await service.http.get("/v1/users/ann/profile")
        assert plain.json()["vector"] is None
        await service.error(404, "unknown_user", "GET", "/v1/users/nobody/profile")

    with_service(steps)


def test_neighbours_and_audience() -> None:
    async def steps(service: Service) -> None:
        found = (await service.http.get("/v1/users/ann/neighbours?k=5")).json()
        assert [one["user_id"] for one in found["neighbours"]] == ["bob"]
        await service.error(404, "unknown_user", "GET", "/v1/users/nobody/neighbours")
        found = (await service.http.get("/v1/items/x/audience?k=1")).json()
        assert found == {"item_id": "x", "audience": [{"user_id": "ann", "score": 1.0}]}
        await service.error(404, "unknown_item", "GET", "/v1/items/none/audience")

    with_service(steps)


def test_search() -> None:
    async def steps(service: Service) -> None:
        async def ids(**query: object) -> list[str]:
            answer = await service.http.post("/v1/search", json=query)
            assert answer.status_code == 200, answer.text
            body = answer.json()
            return [
                one.get("item_id", one.get("user_id")) for one in body["items"] + body["profiles"]
            ]

        assert await ids(text="y please", k=2) == ["y", "xy"]
        assert await ids(text="y please", category="book") == ["xy"]
        assert await ids(vector=[5, 0, 0, 0], k=1) == ["x"]
        assert await ids(vector=[1e300, 0, 0, 0], k=1) == ["x"]
        assert await ids(text="x", k=1, **{"in": "profiles"}) == ["ann"]
        query = {"text": "x", "category": "none"}
        await service.error(404, "unknown_category", "POST", "/v1/search", json=query)

    with_service(steps)


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"text": "x", "vector": [1, 0, 0, 0]}',
        '{"text": ""}',
        json.dumps({"text": "x" * 8001}),
        '{"vector": [1, 0, 0]}',
        '{"vector": []}',
        '{"vector": [0, 0, 0, 0]}',
        '{"vector": [NaN, 0, 0, 0]}',
        '{"vector": [1e999, 0, 0, 0]}',
        '{"vector": "x"}',
        '{"text": "x", "k": 0}',
        '{"text": "x", "k": 1001}',
        '{"text": "x", "in": "users"}',
        '{"text": "x", "in": "profiles", "category": "film"}',
        '{"text": "x", "top": 3}',
        "{",
        "",
    ],
)
def test_a_search_that_makes_no_sense_is_refused(body: str) -> None:
    async def steps(service: Service) -> None:
        headers = {"content-type": "application/json"}
        await service.error(
            422, "invalid_request", "POST", "/v1/search", content=body, headers=headers
        )

    with_service(steps)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/users/ann/candidates?k=0",
        "/v1/users/ann/candidates?k=1001",
        "/v1/users/ann/candidates?k=many",
        "/v1/users/ann/candidates?fallback=random",
        "/v1/users/ann/profile?include_vector=perhaps",
        "/v1/users/ann/neighbours?k=0",
        "/v1/items/x/audience?k=0",
    ],
)
def test_parameters_out_of_range_are_refused(path: str) -> None:
    async def steps(service: Service) -> None:
        await service.error(422, "invalid_request", "GET", path)

    with_service(steps)


@pytest.mark.parametrize("text", ["broken", "short"])
def test_an_encoder_that_fails_is_said(text: str) -> None:
    async def steps(service: Service) -> None:
        await service.error(503, "encoder_failed", "POST", "/v1/search", json={"text": text})

    with_service(steps)


def test_a_body_over_the_limit_is_refused_unread() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 65_536

    async def steps(service: Service) -> None:
        for content in (b"x" * (1024 * 1024 + 1), chunks()):
            await service.error(413, "body_too_large", "POST", "/v1/search", content=content)
        text = json.dumps({"text": "y"}).ljust(1024 * 1024)
        headers = {"content-type": "application/json"}
        answer = await service.http.post("/v1/search", content=text, headers=headers)
        assert answer.status_code == 200

    with_service(steps)


def test_forgetting_waits_for_the_tombstone() -> None:
    async def steps(service: Service) -> None:
        asked = asyncio.create_task(service.http.delete("/v1/users/ann?wait=30"))
        await service.push(tombstone("ann", 7))
        answer = await asked
        assert answer.status_code == 200
        assert answer.json() == {
            "user_id": "ann",
            "topic": "actions",
            "partition": 0,
            "offset": 7,
            "requested_at": NOW_MS,
            "status": "forgotten",
        }
        await service.error(404, "unknown_user", "GET", "/v1/users/ann/profile")

    with_service(steps)


def test_forgetting_without_waiting_is_accepted() -> None:
    async def steps(service: Service) -> None:
        answer = await service.http.delete("/v1/users/ann?wait=0")
        assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
        await service.error(422, "invalid_request", "DELETE", "/v1/users/ann?wait=-1")
        await service.error(422, "invalid_request", "DELETE", "/v1/users/ann?wait=61")
        await service.error(503, "publish_failed", "DELETE", "/v1/users/broker%20gone")

    with_service(steps)


@pytest.mark.parametrize("user", ["a/b", "ü ñ", "..", "a%2Fb", "x/candidates", "?#&", "日本"])
def test_any_id_can_be_asked_for(user: str) -> None:
    async def steps(service: Service) -> None:
        await service.push(profile_record(user, make_state(X)), item_record(user, X))
        coded = quote(user, safe="").replace(".", "%2E")
        for what in ("candidates", "profile", "neighbours"):
            answer = await service.http.get(f"/v1/users/{coded}/{what}")
            assert answer.status_code == 200, answer.text
            assert answer.json()["user_id"] == user
        answer = await service.http.get(f"/v1/items/{coded}/audience")
        assert answer.json()["item_id"] == user
        answer = await service.http.delete(f"/v1/users/{coded}?wait=0")
        assert answer.json()["user_id"] == user

    with_service(steps)


def test_before_the_history_is_read_queries_are_refused() -> None:
    async def steps(service: Service) -> None:
        for path in (
            "/v1/users/ann/candidates",
            "/v1/users/ann/profile",
            "/v1/users/ann/neighbours",
            "/v1/items/x/audience",
            "/readyz",
        ):
            await service.error(503, "not_ready", "GET", path)
        await service.error(503, "not_ready", "POST", "/v1/search", json={"text": "x"})
        assert (await service.http.get("/readyz")).headers["retry-after"] == "1"
        answer = await service.http.get("/v1/users/ann/profile")
        assert answer.headers["retry-after"] == "1"
        status = (await service.http.get("/v1/status")).json()
        assert (status["ready"], status["lag"]) == (False, None)
        assert (await service.http.get("/healthz")).json() == {"status": "ok", "reason": ""}
        service.tail.known = True
        await service.push(*STOCK)
        assert (await service.http.get("/readyz")).json() == {
            "ready": True,
            "lag": 0,
            "generation": "profiles",
            "indexes": {"items": "exact float32", "profiles": "exact float32"},
        }
        assert (await service.http.get("/v1/users/ann/profile")).status_code == 200

    with_service(steps, stock=False)


def test_status() -> None:
    async def steps(service: Service) -> None:
        await service.push(profile_record("new", make_state(offset=3, fresh_from=NOW_MS - 500)))
        await service.push(
            profile_record("new", make_state(offset=2)),
            FakeRecord("profiles", b"bad", b"\xc1"),
        )
        status = (await service.http.get("/v1/status")).json()
        assert status == {
            "ready": True,
            "reason": "",
            "healthy": True,
            "health_reason": "",
            "lag": 0,
            "profiles": 4,
            "items": 3,
            "encoder_id": ENCODER,
            "sequence": None,
            "ranker": None,
            "mean_removal": False,  # there are too few items
            "whitening": 0.0,
            "generation": "profiles",
            "indexes": {"items": "exact float32", "profiles": "exact float32"},
            "recall": {},
            "applied": {"actions": {"0": 3}},
            "positions": {"profiles": {"0": 6}},
            "freshness": {"count": 1, "p50_seconds": 0.5, "p99_seconds": 0.5},
            "records": {"stale": 1, "corrupt": 1, "foreign": 0},
            "ranking": None,
            "upcoming": None,
        }
        await service.push(profile_record("new", make_state(offset=9, encoder="other")))
        status = (await service.http.get("/v1/status")).json()
        assert status["records"]["foreign"] == 1
        assert "'other'" in status["reason"]
        await service.error(503, "not_ready", "GET", "/readyz")

    with_service(steps)


def test_a_follower_that_failed_is_unhealthy_and_answers_nothing() -> None:
    async def steps(service: Service) -> None:
        service.tail.push(FakeRecord("surprise", b"k", b"v"))
        await service.follower.ended()
        assert "'surprise'" in await service.error(503, "failed", "GET", "/healthz")
        await service.error(503, "not_ready", "GET", "/readyz")
        await service.error(503, "not_ready", "GET", "/v1/users/ann/profile")

    with_service(steps)


def test_an_outage_of_the_broker_is_degraded_and_answers_on() -> None:
    async def steps(service: Service) -> None:
        service.tail.fail(ConnectionError("broker gone"))
        await service.tail.settled()
        health = (await service.http.get("/healthz")).json()
        assert health["status"] == "degraded"
        assert "broker gone" in health["reason"]
        assert (await service.http.get("/readyz")).status_code == 200
        assert (await service.http.get("/v1/users/ann/profile")).status_code == 200

    with_service(steps)


def test_brokers_that_are_away_are_degraded_for_as_long() -> None:
    async def steps(service: Service) -> None:
        service.tail.waiting_for = "no broker answers at kafka:9092"
        health = (await service.http.get("/healthz")).json()
        assert health == {"status": "degraded", "reason": "no broker answers at kafka:9092"}
        assert (await service.http.get("/v1/users/ann/profile")).status_code == 200
        service.tail.waiting_for = None
        assert (await service.http.get("/healthz")).json()["status"] == "ok"

    with_service(steps)


def test_what_is_not_there_has_the_shape_of_errors() -> None:
    async def steps(service: Service) -> None:
        await service.error(404, "not_found", "GET", "/v2/users")
        await service.error(405, "method_not_allowed", "GET", "/v1/search")

    with_service(steps)


def test_an_unexpected_error_is_logged_and_has_the_shape(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    async def steps(service: Service) -> None:
        monkeypatch.setattr("store.service.queries.profile", broken)
        reason = await service.error(500, "internal", "GET", "/v1/users/ann/profile")
        assert "a defect" not in reason
        # the kind and the place, by which it is found, but no words: they may be a user's
        assert "ZeroDivisionError" in caplog.text
        assert "in broken" in caplog.text
        assert "a defect" not in caplog.text
        assert "/v1/users/{user_id:id}/profile" in caplog.text
        assert "ann" not in caplog.text

    with_service(steps)


def test_metrics() -> None:
    async def steps(service: Service) -> None:
        await service.push(profile_record("new", make_state(offset=3, fresh_from=NOW_MS - 500)))
        await service.http.get("/v1/users/ann/profile")
        await service.http.get("/v1/users/nobody/profile")
        await service.http.get("/nowhere")
        answer = await service.http.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        lines = answer.text.splitlines()
        route = 'route="/v1/users/{user_id:id}/profile"'
        for line in (
            "tidemark_freshness_seconds_sum 0.5",
            f'tidemark_retrieval_requests_total{{{route},status="200"}} 1.0',
            f'tidemark_retrieval_requests_total{{{route},status="404"}} 1.0',
            'tidemark_retrieval_requests_total{route="unmatched",status="404"} 1.0',
            f"tidemark_retrieval_request_seconds_count{{{route}}} 2.0",
            "tidemark_follower_lag_records 0.0",
            'tidemark_index_vectors{index="profiles"} 3.0',
            'tidemark_index_vectors{index="items"} 3.0',
            'tidemark_follower_records_total{outcome="applied",topic="item-vectors"} 3.0',
        ):
            assert line in lines

    with_service(steps)


def test_the_interface_is_described() -> None:
    async def steps(service: Service) -> None:
        assert (await service.http.get("/docs")).status_code == 200
        described = (await service.http.get("/openapi.json")).json()
        assert set(described["paths"]) == {
            "/v1/candidates",
            "/v1/profiles",
            "/v1/users/{user_id}/candidates",
            "/v1/users/{user_id}/why",
            "/v1/users/{user_id}/profile",
            "/v1/users/{user_id}/neighbours",
            "/v1/users/{user_id}",
            "/v1/items/{item_id}/audience",
            "/v1/search",
            "/v1/status",
            "/healthz",
            "/readyz",
            "/metrics",
        }

    with_service(steps)


def test_the_lifespan_starts_and_stops_the_follower() -> None:
    async def run() -> None:
        async with serving() as service:
            assert service.tail.started == 1
        assert service.tail.stopped == 1

    asyncio.run(asyncio.wait_for(run(), 30))


# --- the learned blend ---


def test_the_blend_ranks_by_what_users_came_to() -> None:
    """Whoever has seen x goes on to y, which lies nowhere near x."""
    warm_up(DIM)  # not while it is waited for
    learner = Learner(DIM, partners=16)
    before, after = Contribution("click", "x", 0.0, 1.0), Contribution("click", "y", 0.5, 1.0)

    async def steps(service: Service) -> None:
        for offset in range(0, 40, 2):
            first = make_state(X, offset=offset, seen=["x"], contributions=[before])
            then = make_state(X, offset=offset + 1, seen=["x", "y"], contributions=[before, after])
            user_id = f"user {offset}"
            await service.push(profile_record(user_id, first))
            await service.push(profile_record(user_id, then))
        path = "/v1/users/ann/candidates"
        nearest = (await service.http.get(path)).json()["candidates"]
        assert [one["item_id"] for one in nearest] == ["xy", "y"]
        blended = (await service.http.get(path, params={"rank": "blend"})).json()["candidates"]
        assert [one["item_id"] for one in blended] == ["y", "xy"]
        books = {"rank": "blend", "category": "book"}
        blended = (await service.http.get(path, params=books)).json()["candidates"]
        assert [one["item_id"] for one in blended] == ["xy"]
        asked = {"user_ids": ["ann", "nobody"], "rank": "blend", "k": 1}
        answer = await service.http.post("/v1/candidates", json=asked)
        found, missing = answer.json()["results"]
        assert [one["item_id"] for one in found["candidates"]] == ["y"]
        assert missing["error"]["code"] == "unknown_user"

        ranking = (await service.http.get("/v1/status")).json()["ranking"]
        assert ranking["counted"] == learner.counted
        assert ranking["weights"]["follows"]["always"] == learner.weights()["follows"]["always"]

    with_service(steps, learner=learner)
    assert learner.counted >= 20


def test_a_request_that_does_not_say_is_ranked_by_what_the_service_is_set_to() -> None:
    warm_up(DIM)
    learner = Learner(DIM, partners=16)
    path = "/v1/users/ann/candidates"

    async def steps(service: Service) -> None:
        async def ranked_by(**params: Any) -> Any:
            return (await service.http.get(path, params=params)).json()["rank"]

        assert await ranked_by() == "blend"
        assert await ranked_by(rank="nearest") == "nearest"
        # what only nearness is made of
        assert await ranked_by(popularity=0.3) == "nearest"
        answer = await service.http.get("/v1/users/nobody/candidates?fallback=popular")
        assert answer.json()["rank"] is None
        asked = {"user_ids": ["ann", "nobody"], "fallback": "popular"}
        answer = await service.http.post("/v1/candidates", json=asked)
        assert [one["rank"] for one in answer.json()["results"]] == ["blend", None]

    with_service(steps, learner=learner, rank="blend")


def test_popularity_is_not_added_to_what_has_its_own() -> None:
    async def steps(service: Service) -> None:
        path = "/v1/users/ann/candidates?rank=blend&popularity=0.3"
        reason = await service.error(422, "invalid_request", "GET", path)
        assert "leave one out" in reason

    with_service(steps)


def test_why_tells_what_a_score_of_the_blend_is_made_of() -> None:
    warm_up(DIM)
    learner = Learner(DIM, partners=16)

    async def steps(service: Service) -> None:
        path = "/v1/users/ann/candidates?why=true"
        for one in (await service.http.get(path)).json()["candidates"]:
            assert set(one["parts"]) == set(GROUPS)
            assert sum(one["parts"].values()) == pytest.approx(one["score"], abs=1e-4)
            assert one["because"][0]["action"] == "click"
        nearest = (await service.http.get(f"{path}&rank=nearest")).json()["candidates"]
        assert all(one["parts"] is None for one in nearest)

    with_service(steps, learner=learner, rank="blend")


def test_without_a_learner_the_blend_is_refused() -> None:
    async def steps(service: Service) -> None:
        path = "/v1/users/ann/candidates?rank=blend"
        reason = await service.error(409, "no_ranker", "GET", path)
        assert (await service.http.get("/v1/status")).json()["ranking"] is None
        assert "ranking.enabled" in reason

    with_service(steps)

"""``profile=sequence`` over HTTP and on the command line."""

from __future__ import annotations

import numpy as np
from sequence_logs import added
from service_rig import Service, with_service
from store_fakes import X, Y


def test_candidates_by_the_sequence_are_others_than_by_the_fold() -> None:
    async def steps(service: Service) -> None:
        asked = {"exclude_seen": False, "k": 1}
        fold = (await service.http.get("/v1/users/ann/candidates", params=asked)).json()
        named = (
            await service.http.get("/v1/users/ann/candidates", params={**asked, "profile": "fold"})
        ).json()
        sequence = (
            await service.http.get(
                "/v1/users/ann/candidates", params={**asked, "profile": "sequence"}
            )
        ).json()
        assert fold == named
        assert (fold["source"], fold["candidates"][0]["item_id"]) == ("profile", "x")
        assert (sequence["source"], sequence["candidates"][0]["item_id"]) == ("sequence", "y")
        # ann's one action on a held item is on x: x + 9 y, at length 1
        assert abs(sequence["candidates"][0]["score"] - 9 / np.sqrt(82)) < 1e-5

    with_service(steps, sequence=added(9 * Y))


def test_a_batch_is_what_each_gets() -> None:
    async def steps(service: Service) -> None:
        body = {"user_ids": ["ann", "bob", "nobody"], "profile": "sequence"}
        answer = await service.http.post("/v1/candidates", json=body)
        results = answer.json()["results"]
        alone = await service.http.get("/v1/users/ann/candidates", params={"profile": "sequence"})
        assert results[0] == alone.json()
        # bob has no contributions, nobody no profile
        assert [one["error"]["code"] for one in results[1:]] == ["unknown_user"] * 2
        body["fallback"] = "popular"
        results = (await service.http.post("/v1/candidates", json=body)).json()["results"]
        assert [one["source"] for one in results] == ["sequence", "popular", "popular"]

    with_service(steps, sequence=added(9 * X))


def test_a_service_without_one_says_what_to_do() -> None:
    async def steps(service: Service) -> None:
        reason = await service.error(
            409, "no_sequence", "GET", "/v1/users/ann/candidates", params={"profile": "sequence"}
        )
        assert "retrieval.sequence" in reason
        # also where nobody of those asked for is known
        await service.error(
            409, "no_sequence", "POST", "/v1/candidates",
            json={"user_ids": ["nobody"], "profile": "sequence"},
        )  # fmt: skip
        await service.error(
            422, "invalid_request", "GET", "/v1/users/ann/candidates", params={"profile": "other"}
        )

    with_service(steps)


def test_the_status_names_it() -> None:
    async def steps(service: Service) -> None:
        assert (await service.http.get("/v1/status")).json()["sequence"] == "gru:test-10"

    with_service(steps, sequence=added(X))


def test_reasons_and_learned_ranks_are_of_the_fold_alone() -> None:
    async def steps(service: Service) -> None:
        reason = await service.error(
            422, "invalid_request", "GET", "/v1/users/ann/candidates",
            params={"profile": "sequence", "why": True},
        )  # fmt: skip
        assert "why" in reason
        for rank in ("blend", "mlp"):
            reason = await service.error(
                422, "invalid_request", "POST", "/v1/candidates",
                json={"user_ids": ["ann"], "profile": "sequence", "rank": rank},
            )  # fmt: skip
            assert rank in reason

    with_service(steps, sequence=added(X))

"""Several users at once, and the reasons behind candidates."""

from __future__ import annotations

from typing import Any

import pytest
from service_rig import Service, with_service
from store_fakes import X, Y, item_record, make_state, profile_record

from store.profile import Contribution


async def batch(service: Service, what: str, **asked: Any) -> list[dict[str, Any]]:
    answer = await service.http.post(f"/v1/{what}", json=asked)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def test_candidates_of_several_users_are_those_of_each() -> None:
    async def steps(service: Service) -> None:
        users = ["bob", "nobody", "ann", "zero", "ann"]
        for named in ({}, {"exclude_seen": False}, {"category": "film"}, {"k": 1}):
            results = await batch(service, "candidates", user_ids=users, **named)
            for user, one in zip(users, results, strict=True):
                alone = await service.http.get(f"/v1/users/{user}/candidates", params=named)
                if alone.status_code == 200:
                    assert one == alone.json()
                else:
                    assert one == {"user_id": user, "error": alone.json()["error"]}

    with_service(steps)


def test_users_without_a_profile_get_what_is_popular_if_asked_for() -> None:
    async def steps(service: Service) -> None:
        results = await batch(
            service, "candidates", user_ids=["nobody", "ann", "zero"], fallback="popular"
        )
        assert [one["source"] for one in results] == ["popular", "profile", "popular"]
        assert results[0]["candidates"] == results[2]["candidates"]
        assert results[0]["candidates"][0]["item_id"] == "x"

    with_service(steps)


def test_an_unknown_category_is_wrong_for_all() -> None:
    async def steps(service: Service) -> None:
        for users in (["ann"], ["nobody"]):
            asked = {"user_ids": users, "category": "none"}
            reason = await service.error(
                404, "unknown_category", "POST", "/v1/candidates", json=asked
            )
            assert "'none'" in reason

    with_service(steps)


def test_a_batch_is_one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(service: Service) -> None:
        await service.push(*(profile_record(f"u{n}", make_state(X)) for n in range(256)))
        jobs = []
        submit = service.owner.questions.submit

        def counting(job: Any, *named: Any) -> Any:
            jobs.append(job)
            return submit(job, *named)

        monkeypatch.setattr(service.owner.questions, "submit", counting)
        results = await batch(service, "candidates", user_ids=[f"u{n}" for n in range(256)])
        assert len(results) == 256
        assert len(jobs) == 1
        # unless it is so large that others would wait too long
        more = await batch(service, "candidates", user_ids=[f"u{n}" for n in range(256)], k=1000)
        assert [one["user_id"] for one in more] == [one["user_id"] for one in results]
        assert len(jobs) == 1 + 11

    with_service(steps)


def test_profiles_of_several_users_are_those_of_each() -> None:
    async def steps(service: Service) -> None:
        users = ["ann", "nobody", "zero"]
        results = await batch(service, "profiles", user_ids=users, include_vector=True)
        for user in (0, 2):
            path = f"/v1/users/{users[user]}/profile?include_vector=true"
            assert results[user] == (await service.http.get(path)).json()
        assert results[1]["error"]["code"] == "unknown_user"

    with_service(steps)


@pytest.mark.parametrize("what", ["candidates", "profiles"])
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"user_ids": []},
        {"user_ids": ["u"] * 257},
        {"user_ids": "ann"},
        {"user_ids": [""]},
        {"user_ids": [1]},
        {"user_ids": [None]},
        {"user_ids": ["ann"], "top": 3},
        {"user_ids": ["ann"], "k": 0},
        {"user_ids": ["ann"], "k": 1001},
        {"user_ids": ["ann"], "fallback": "random"},
        ["ann"],
    ],
)
def test_a_batch_that_makes_no_sense_is_refused(what: str, asked: object) -> None:
    async def steps(service: Service) -> None:
        await service.error(422, "invalid_request", "POST", f"/v1/{what}", json=asked)

    with_service(steps)


def test_why_names_the_actions_behind_a_candidate() -> None:
    async def steps(service: Service) -> None:
        answer = await service.http.get("/v1/users/ann/why", params={"item_id": "xy"})
        assert answer.status_code == 200, answer.text
        click = {
            "action": "click",
            "item_id": "x",
            "title": "Title of x",
            "weight": pytest.approx(0.4),
            "cosine": pytest.approx(2**-0.5),
            "part": pytest.approx(0.4 * 2**-0.5),
            "share": 1,
        }
        search = {
            "action": "search",
            "item_id": None,
            "title": None,
            "weight": pytest.approx(0.2),
            "cosine": None,
            "part": None,
            "share": None,
        }
        assert answer.json() == {
            "user_id": "ann",
            "item_id": "xy",
            "title": "Title of xy",
            "score": pytest.approx(2**-0.5),
            "because": [click, search],
        }
        named = {"why": True, "exclude_seen": False}
        found = (await service.http.get("/v1/users/ann/candidates", params=named)).json()
        assert [one["item_id"] for one in found["candidates"]] == ["x", "xy", "y"]
        assert found["candidates"][1]["because"] == [click, search]
        assert found["candidates"][0]["because"][0]["part"] == pytest.approx(0.4)
        assert found["candidates"][2]["because"][0]["share"] == 0

    with_service(steps)


def test_why_of_what_is_not_there() -> None:
    async def steps(service: Service) -> None:
        ann = "/v1/users/ann/why"
        await service.error(404, "unknown_item", "GET", f"{ann}?item_id=none")
        await service.error(404, "unknown_user", "GET", "/v1/users/nobody/why?item_id=x")
        await service.error(404, "unknown_user", "GET", "/v1/users/zero/why?item_id=x")
        await service.error(422, "invalid_request", "GET", ann)
        # popular items have no reasons of this user's
        path = "/v1/users/nobody/candidates?fallback=popular&why=true"
        popular = (await service.http.get(path)).json()["candidates"]
        assert all("because" not in one for one in popular)

    with_service(steps)


def test_why_speaks_of_any_ids() -> None:
    async def steps(service: Service) -> None:
        item = "a/candidates/b why?&"
        state = make_state(Y, contributions=[Contribution("view", item, 0.5, 1.0)])
        await service.push(item_record(item, Y), profile_record("u/why", state))
        answer = await service.http.get("/v1/users/u%2Fwhy/why", params={"item_id": item})
        assert answer.json()["because"][0]["item_id"] == item

    with_service(steps)

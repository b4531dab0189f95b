"""The dashboard as it is served: files, streams, and what the pages ask."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from service_rig import Service, listening, with_service
from store_fakes import X, Y, item_record, make_state, profile_record

from store.dashboard.parts import DashboardParts
from store.service import ServiceSettings
from store.tokens import Token, digest, new_token

QUICK = DashboardParts(refresh_seconds=0.2)


def events(answer: httpx.Response) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in answer.iter_lines():
        kind, _, value = line.partition(": ")
        if kind == "event":
            name = value
        elif kind == "data":
            yield name, json.loads(value)


def test_the_page_loads_nothing_from_elsewhere_and_is_kept_until_it_changes() -> None:
    async def steps(service: Service) -> None:
        page = await service.http.get("/dashboard")
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        policy = page.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers.get_list("cache-control") == ["no-cache"]
        for name in ("app.js", "vendor/uPlot.esm.js", "vendor/uPlot.LICENSE.txt", "icon.svg"):
            file = await service.http.get(f"/dashboard/{name}")
            assert file.status_code == 200, name
            assert file.headers["content-security-policy"] == policy
            headers = {"if-none-match": file.headers["etag"]}
            again = await service.http.get(f"/dashboard/{name}", headers=headers)
            assert (again.status_code, again.content) == (304, b"")
        assert file.headers["content-type"] == "image/svg+xml"
        packed = await service.http.get("/dashboard/vendor/uPlot.esm.js")
        assert packed.headers["content-encoding"] == "gzip"
        bare = await service.http.get(
            "/dashboard/vendor/uPlot.esm.js", headers={"accept-encoding": "identity"}
        )
        assert "content-encoding" not in bare.headers
        assert bare.content == packed.content

    with_service(steps)


@pytest.mark.parametrize(
    "path", ["nothing.js", "..%2Fparts.py", "%2e%2e/__init__.py", "vendor", "//etc/passwd"]
)
def test_there_are_no_other_files(path: str) -> None:
    async def steps(service: Service) -> None:
        await service.error(404, "not_found", "GET", f"/dashboard/{path}")

    with_service(steps)


def test_the_page_has_one_address() -> None:
    async def steps(service: Service) -> None:
        answer = await service.http.get("/dashboard/")
        assert answer.status_code == 308
        assert str(answer.next_request and answer.next_request.url) == "http://test/dashboard"

    with_service(steps)


def test_a_stream_begins_with_the_past_and_goes_on() -> None:
    with listening(dashboard=QUICK) as port:
        url = f"http://127.0.0.1:{port}"
        with httpx.stream("GET", f"{url}/v1/dashboard/stream") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers.get_list("cache-control") == ["no-store, no-transform"]
            found = list(itertools.islice(events(answer), 6))
    names = [name for name, _ in found]
    assert names[:3] == ["hello", "letters", "frame"]
    hello, letters, frame = (data for _, data in found[:3])
    assert hello["refresh_seconds"] == 0.2
    assert len({len(column) for column in hello["history"].values()}) == 1
    assert letters == {
        "topic": None, "reason": "this service follows no topic of dead letters", "letters": [],
        "replayed": [],
    }  # fmt: skip
    assert frame["workers"] == []
    assert frame["workers_configured"] is False
    assert {"actions", "encoder.tokens"} <= set(frame["absent"])
    assert frame["values"]["actions"] is None
    later = found[-1][1]
    assert later["service"]["ready"] is True
    assert (later["service"]["profiles"], later["service"]["items"]) == (3, 3)
    times = [data["t"] for name, data in found if name == "frame"]
    assert times == sorted(set(times))


def test_streams_are_bounded_and_hold_no_place_of_the_queries() -> None:
    parts = DashboardParts(refresh_seconds=0.2, most_streams=2)
    settings = ServiceSettings(max_waiting=1)
    with listening(settings, dashboard=parts) as port, httpx.Client() as http:
        url = f"http://127.0.0.1:{port}"
        with (
            http.stream("GET", f"{url}/v1/dashboard/stream") as one,
            http.stream("GET", f"{url}/v1/dashboard/stream") as two,
        ):
            reading = [events(one), events(two)]  # held: a reader that is let go closes its stream
            assert [next(each)[0] for each in reading] == ["hello", "hello"]
            refused = http.get(f"{url}/v1/dashboard/stream")
            assert refused.status_code == 429
            assert refused.json()["error"]["code"] == "too_many_requests"
            assert http.get(f"{url}/v1/users/ann/profile").status_code == 200
        deadline = time.monotonic() + 30
        while True:  # who has gone is noticed, and gives the place back
            with http.stream("GET", f"{url}/v1/dashboard/stream") as again:
                if again.status_code == 200:
                    break
            assert time.monotonic() < deadline
        metrics = http.get(f"{url}/metrics").text
        assert 'route="/v1/dashboard/stream",status="200"' in metrics


def test_a_stream_ends_when_the_service_does_and_says_so() -> None:
    with httpx.Client(timeout=30) as http:
        with listening(dashboard=QUICK, timeout_graceful_shutdown=25) as port:
            answer = http.send(
                http.build_request("GET", f"http://127.0.0.1:{port}/v1/dashboard/stream"),
                stream=True,
            )
            reading = events(answer)
            assert next(reading)[0] == "hello"
            begun = time.monotonic()
        # leaving the context stopped the service; it did not wait for its patience to end
        assert time.monotonic() - begun < 15
        assert list(reading)[-1] == ("bye", {"reason": "stopping"})
        answer.close()


def test_figures_are_for_operators_and_users_for_readers() -> None:
    secrets = {"read": new_token(), "admin": new_token()}
    tokens = (
        Token(digest(secrets["read"]), frozenset({"read"}), "r"),
        Token(digest(secrets["admin"]), frozenset({"admin"}), "a"),
    )
    with listening(ServiceSettings(tokens=tokens), dashboard=QUICK) as port:
        url = f"http://127.0.0.1:{port}/v1/dashboard"
        with httpx.Client(base_url=url) as http:
            bearer = {name: {"authorization": f"Bearer {one}"} for name, one in secrets.items()}
            for path, needs in (("/stream", "admin"), ("/map", "read"), ("/users", "read")):
                other = "read" if needs == "admin" else "admin"
                with http.stream("GET", path, headers=bearer[needs]) as answer:
                    assert answer.status_code == 200, path
                assert http.get(path, headers=bearer[other]).status_code == 403
                assert http.get(path).status_code == 401
                assert http.get(f"{path}?token={secrets[needs]}").status_code == 401


ODD = ["..", ".", "a/b", "a?b#c", "ü & +", "%2F", "x\ny"]


def test_users_of_any_id_can_be_looked_at() -> None:
    async def steps(service: Service) -> None:
        await service.push(*[profile_record(one, make_state(X, offset=9)) for one in ODD])
        for one in ODD:
            found = (await service.http.get("/v1/dashboard/user", params={"user": one})).json()
            assert found["user_id"] == one
            why = await service.http.get("/v1/dashboard/candidates", params={"user": one})
            assert why.json()["source"] == "profile"
            near = await service.http.get("/v1/dashboard/neighbours", params={"user": one})
            assert "ann" in [each["user_id"] for each in near.json()["neighbours"]]
            search = (await service.http.get("/v1/dashboard/users", params={"q": one})).json()
            assert search["found"][0] == one

    with_service(steps)


def test_a_user_as_the_page_shows_it() -> None:
    async def steps(service: Service) -> None:
        found = (await service.http.get("/v1/dashboard/user?user=ann")).json()
        assert [one["action"] for one in found["steps"]] == ["click", "search"]
        assert found["steps"][0]["title"] == "Title of x"
        assert found["steps"][1]["norm"] == pytest.approx(2)
        assert found["norm"] == pytest.approx(2)
        assert np.linalg.norm(found["direction"]) == pytest.approx(1, abs=1e-3)
        assert found["seen"] == [
            {"item_id": "x", "title": "Title of x"}, {"item_id": "gone", "title": None},
        ]  # fmt: skip
        zero = (await service.http.get("/v1/dashboard/candidates?user=zero")).json()
        assert zero["source"] == "popular"
        item = (await service.http.get("/v1/dashboard/item?item=x")).json()
        assert (item["title"], item["seen_by"]) == ("Title of x", 2)
        assert [one["item_id"] for one in item["like"]] == ["xy", "y"]
        assert {one["user_id"] for one in item["audience"]} == {"ann", "bob"}
        await service.error(404, "unknown_user", "GET", "/v1/dashboard/user?user=nobody")
        await service.error(404, "unknown_item", "GET", "/v1/dashboard/item?item=nothing")
        await service.error(422, "invalid_request", "GET", "/v1/dashboard/user")

    with_service(steps)


def test_users_are_searched_for_without_regard_to_case() -> None:
    async def steps(service: Service) -> None:
        await service.push(profile_record("Zoë", make_state(Y)))
        for asked, expected in (("ZO", ["Zoë"]), ("", ["Zoë", "zero", "bob", "ann"]), ("q", [])):
            found = (await service.http.get("/v1/dashboard/users", params={"q": asked})).json()
            assert found == {"found": expected, "looked_at": 4, "users": 4}

    with_service(steps)


def test_the_map_has_a_sample_and_says_of_how_many() -> None:
    async def steps(service: Service) -> None:
        rng = np.random.default_rng(0)
        await service.push(
            *(item_record(f"i{at}", rng.normal(size=4), categories=["c"]) for at in range(2_100))
        )
        found = (await service.http.get("/v1/dashboard/map")).json()
        assert found["total"] == {"users": 3, "items": 2_103}
        assert len(set(found["items"]["id"])) == 2_000
        assert found["users"]["id"] == ["ann", "bob"]  # zero has no direction
        for kind in ("users", "items"):
            assert len({len(column) for column in found[kind].values()}) == 1
        assert 0 < found["explained"][1] <= found["explained"][0] < 1
        again = (await service.http.get("/v1/dashboard/map")).json()
        assert again == found

    with_service(steps)


def test_before_the_history_is_read_users_are_refused_and_figures_are_not() -> None:
    async def steps(service: Service) -> None:
        for path in ("map", "users", "user?user=ann", "item?item=x"):
            await service.error(503, "not_ready", "GET", f"/v1/dashboard/{path}")

    with_service(steps, stock=False)
    with listening(stock=False, dashboard=QUICK) as port:
        with httpx.stream("GET", f"http://127.0.0.1:{port}/v1/dashboard/stream") as answer:
            frame = next(data for name, data in events(answer) if name == "frame")
        assert frame["service"]["ready"] is False
        assert "reading the history" in frame["service"]["reason"]

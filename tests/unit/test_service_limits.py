"""How long, how many at once, and what is noted of a request."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest
from service_rig import Service, with_service
from store_fakes import FakeRecord

from store.service import ServiceSettings, queries
from store.service.errors import ApiError

PROFILE = "/v1/users/ann/profile"
LIMIT = "x-request-timeout"


@contextmanager
def busy(service: Service) -> Iterator[None]:
    """The owner thread does something else."""
    free, begun = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        assert free.wait(20)

    done = service.owner.submit(hold)
    assert begun.wait(20)
    try:
        yield
    finally:
        free.set()
        done.result(20)


def counting(monkeypatch: pytest.MonkeyPatch, query: str = "profile") -> list[str]:
    """The users that a query was run for."""
    asked: list[str] = []
    whole = getattr(queries, query)

    def run(view: Any, user_id: str, **named: Any) -> Any:
        asked.append(user_id)
        return whole(view, user_id, **named)

    monkeypatch.setattr(queries, query, run)
    return asked


def test_after_the_deadline_the_answer_is_504_and_the_query_is_not_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = counting(monkeypatch)

    async def steps(service: Service) -> None:
        with busy(service):
            for headers in ({LIMIT: "0.05"}, {}):  # of the request, and of the settings
                await service.error(504, "deadline_exceeded", "GET", PROFILE, headers=headers)
        assert (await service.http.get("/v1/users/bob/profile")).status_code == 200
        assert asked == ["bob"]

    with_service(steps, settings=ServiceSettings(request_seconds=0.1))


def test_a_job_begun_after_the_deadline_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where what runs it could not take it back when it was cancelled."""
    asked = counting(monkeypatch)

    async def steps(service: Service) -> None:
        jobs: list[Callable[[], object]] = []

        def never(job: Callable[[], object]) -> Future[object]:
            jobs.append(job)
            return Future()

        with monkeypatch.context() as patch:
            patch.setattr(service.owner.questions, "submit", never)
            headers = {LIMIT: "0.05"}
            await service.error(504, "deadline_exceeded", "GET", PROFILE, headers=headers)
        (job,) = jobs
        with pytest.raises(ApiError, match="not there in time"):
            job()
        assert asked == []

    with_service(steps)


@pytest.mark.parametrize("given", ["0", "-1", "61", "soon", "nan", "inf", ""])
def test_a_deadline_that_makes_no_sense_is_refused(given: str) -> None:
    async def steps(service: Service) -> None:
        headers = {LIMIT: given}
        reason = await service.error(422, "invalid_request", "GET", PROFILE, headers=headers)
        assert "X-Request-Timeout" in reason

    with_service(steps)


def test_a_text_that_takes_too_long_to_encode() -> None:
    async def steps(service: Service) -> None:
        named = {"json": {"text": "slow"}, "headers": {LIMIT: "0.05"}}
        await service.error(504, "deadline_exceeded", "POST", "/v1/search", **named)

    with_service(steps)


def test_a_forget_waits_no_longer_than_its_deadline() -> None:
    async def steps(service: Service) -> None:
        path = "/v1/users/ann?wait=30"
        answer = await service.http.delete(path, headers={LIMIT: "0.3"})
        assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
        # of the settings' deadline its own wait is not a part
        answer = await service.http.delete("/v1/users/ann?wait=0.3")
        assert answer.status_code == 202

    with_service(steps, settings=ServiceSettings(request_seconds=0.2))


def test_a_body_that_does_not_come_in_time_is_given_up() -> None:
    async def trickle() -> AsyncIterator[bytes]:
        yield b'{"text": '
        await asyncio.sleep(20)

    async def steps(service: Service) -> None:
        named: dict[str, Any] = {"content": trickle(), "headers": {LIMIT: "0.05"}}
        await service.error(408, "body_too_slow", "POST", "/v1/search", **named)

    with_service(steps)


def test_one_request_too_many_is_sent_away() -> None:
    async def steps(service: Service) -> None:
        async with asyncio.TaskGroup() as tasks:
            with busy(service):
                waiting = [tasks.create_task(service.http.get(PROFILE)) for _ in range(2)]
                await settled()
                answer = await service.http.get(PROFILE)
                assert answer.status_code == 429
                assert answer.json()["error"]["code"] == "too_many_requests"
                assert answer.headers["retry-after"] == "1"
                # who watches the service is answered, and forgetting has places of its own
                assert (await service.http.get("/healthz")).status_code == 200
                assert (await service.http.get("/metrics")).status_code == 200
                forget = tasks.create_task(service.http.delete("/v1/users/ann?wait=0"))
                await settled()
        assert [task.result().status_code for task in waiting] == [200, 200]
        assert forget.result().status_code == 202
        assert (await service.http.get(PROFILE)).status_code == 200

    with_service(steps, settings=ServiceSettings(max_waiting=2))


async def settled() -> None:
    """Until every task has gone as far as it can without the owner thread."""
    for _ in range(100):
        await asyncio.sleep(0)


def test_a_place_is_given_back_whatever_became_of_the_request() -> None:
    async def steps(service: Service) -> None:
        for path, status in (
            ("/v1/users/nobody/profile", 404),
            ("/v1/users/ann/neighbours?k=0", 422),
            ("/nowhere", 404),
            (PROFILE, 200),
        ):
            for _ in range(3):
                assert (await service.http.get(path)).status_code == status

    with_service(steps, settings=ServiceSettings(max_waiting=1))


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("abc-1.2_X", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("", False),
        ("a b", False),
        ("a\tb", False),
        ("é", False),
        ("{}", False),
    ],
)
def test_a_request_has_an_id(given: str, taken: bool) -> None:
    async def steps(service: Service) -> None:
        headers = {b"x-request-id": given.encode("latin-1")}
        seen = set()
        for path in (PROFILE, "/nowhere"):
            answer = await service.http.get(path, headers=headers)
            seen.add(answer.headers["x-request-id"])
        assert (seen == {given}) is taken
        assert taken or len(seen) == 2

    with_service(steps)


def test_the_log_holds_no_id_text_or_vector(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object, user_id: str, **__: object) -> None:
        raise KeyError(user_id)

    async def steps(service: Service) -> None:
        http = service.http
        headers = {"x-request-id": "trace-7"}
        await http.get("/v1/users/secret-user/candidates", headers=headers)
        await http.post("/v1/candidates", json={"user_ids": ["secret-user"]})
        await http.post("/v1/search", json={"text": "broken secret words"})
        await http.post("/v1/search", json={"vector": [0.12345, 0, 0, 0]})
        await http.post("/v1/search", content=b"secret words", headers={"content-type": "a/b"})
        await http.delete("/v1/users/secret-user-gone?wait=0")
        await http.get("/v1/items/secret-item/audience")
        await http.get("/secret-path?secret=words")
        monkeypatch.setattr("store.service.queries.profile", broken)
        assert (await http.get("/v1/users/secret-user/profile")).status_code == 500
        service.tail.push(FakeRecord("profiles", b"secret-user", b"\xc1"))
        await service.tail.settled()

    caplog.set_level(logging.DEBUG)
    # the clients of this process, which log what they ask
    for name in ("httpx", "httpcore", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with_service(steps)
    lines = [record.getMessage() for record in caplog.records]
    assert sum("answered: " in line for line in lines) == 9
    assert any("request=trace-7 route=/v1/users/{user_id:id}/candidates" in one for one in lines)
    assert "KeyError" in caplog.text
    for secret in ("secret", "words", "0.12345"):
        assert secret not in caplog.text.replace("its words left out", "")

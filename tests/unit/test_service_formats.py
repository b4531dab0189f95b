"""JSON and MessagePack, asked for and sent."""

from __future__ import annotations

import msgspec
import pytest
from service_rig import Service, with_service

MSGPACK = "application/msgpack"


@pytest.mark.parametrize("media_type", [MSGPACK, "application/x-msgpack"])
@pytest.mark.parametrize(
    "path",
    [
        "/v1/users/ann/candidates?why=true",
        "/v1/users/ann/profile?include_vector=true",
        "/v1/users/ann/neighbours",
        "/v1/users/ann/why?item_id=x",
        "/v1/items/x/audience",
        "/v1/status",
        "/readyz",
        "/healthz",
    ],
)
def test_every_answer_comes_as_asked_for(media_type: str, path: str) -> None:
    async def steps(service: Service) -> None:
        plain = await service.http.get(path)
        assert plain.headers["content-type"] == "application/json"
        answer = await service.http.get(path, headers={"accept": media_type})
        assert answer.headers["content-type"] == media_type
        assert answer.headers["vary"] == "accept"
        assert msgspec.msgpack.decode(answer.content) == plain.json()

    with_service(steps)


def test_bodies_come_in_both_formats() -> None:
    async def steps(service: Service) -> None:
        for path, asked in (
            ("/v1/search", {"vector": [1.0, 0.0, 0.0, 0.0], "k": 2}),
            ("/v1/search", {"text": "y", "in": "profiles"}),
            ("/v1/candidates", {"user_ids": ["ann", "nobody"]}),
        ):
            plain = await service.http.post(path, json=asked)
            assert plain.status_code == 200
            body = msgspec.msgpack.encode(asked)
            for media_type in (MSGPACK, "application/x-msgpack; charset=utf-8"):
                headers = {"content-type": media_type}
                answer = await service.http.post(path, content=body, headers=headers)
                assert answer.status_code == 200, answer.text
                assert answer.json() == plain.json()

    with_service(steps)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xc1", "not MessagePack"),
        (b"{}", "not MessagePack"),
        (msgspec.msgpack.encode({"vector": [float("nan"), 0, 0, 0]}), "vector.0"),
        (msgspec.msgpack.encode({"vector": b"\x00" * 16}), "vector"),
        (msgspec.msgpack.encode({"text": "x", 5: 1}), "body.5"),
        (msgspec.msgpack.encode(["x"]), "body"),
    ],
)
def test_messagepack_that_makes_no_sense_is_refused(body: bytes, reason: str) -> None:
    async def steps(service: Service) -> None:
        headers = {"content-type": MSGPACK}
        said = await service.error(
            422, "invalid_request", "POST", "/v1/search", content=body, headers=headers
        )
        assert reason in said

    with_service(steps)


def test_other_formats_are_refused() -> None:
    async def steps(service: Service) -> None:
        headers = {"accept": "text/html, application/json;q=0"}
        path = "/v1/users/ann/profile"
        await service.error(406, "not_acceptable", "GET", path, headers=headers)
        # probes and scrapers are answered whatever they say
        for open_path in ("/healthz", "/readyz", "/metrics"):
            answer = await service.http.get(open_path, headers=headers)
            assert answer.status_code == 200
        named = {"content": b"<text/>", "headers": {"content-type": "text/xml"}}
        await service.error(415, "unsupported_media_type", "POST", "/v1/search", **named)

    with_service(steps)


def test_errors_too_come_as_asked_for() -> None:
    async def steps(service: Service) -> None:
        headers = {"accept": MSGPACK}
        for method, path, status in (
            ("GET", "/v1/users/nobody/profile", 404),
            ("GET", "/nowhere", 404),
            ("GET", "/v1/users/ann/neighbours?k=0", 422),
            ("DELETE", "/v1/status", 405),
        ):
            answer = await service.http.request(method, path, headers=headers)
            assert answer.status_code == status
            assert answer.headers["content-type"] == MSGPACK
            body = msgspec.msgpack.decode(answer.content)
            assert body["request_id"] == answer.headers["x-request-id"]
            assert set(body["error"]) == {"code", "reason", "hint"}

    with_service(steps)

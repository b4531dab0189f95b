"""Who may ask for what: tokens, their scopes, and what is open."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re

import pytest
from fastapi.routing import APIRoute
from service_rig import Service, serving, with_service
from starlette.routing import Mount, Route

from store import tokens
from store.dashboard.parts import DashboardParts
from store.service import ServiceSettings
from store.service.auth import scope_of
from store.tokens import Scope, Token, digest, find, new_token

SECRETS: dict[Scope, str] = {"read": new_token(), "write": new_token(), "admin": new_token()}
SETTINGS = ServiceSettings(
    tokens=tuple(
        Token(digest(secret), frozenset({scope}), f"the-{scope}")
        for scope, secret in SECRETS.items()
    )
)
#: What each endpoint needs.
NEEDS: dict[tuple[str, str], Scope | None] = {
    ("GET", "/v1/users/ann/candidates"): "read",
    ("GET", "/v1/users/ann/why"): "read",
    ("GET", "/v1/users/ann/profile"): "read",
    ("GET", "/v1/users/ann/neighbours"): "read",
    ("GET", "/v1/items/x/audience"): "read",
    ("POST", "/v1/candidates"): "read",
    ("POST", "/v1/profiles"): "read",
    ("POST", "/v1/search"): "read",
    ("DELETE", "/v1/users/ann"): "write",
    ("GET", "/v1/status"): "admin",
    ("GET", "/metrics"): "admin",
    ("GET", "/healthz"): None,
    ("GET", "/readyz"): None,
    ("GET", "/docs"): None,
    ("GET", "/redoc"): None,
    ("GET", "/openapi.json"): None,
    ("GET", "/docs/oauth2-redirect"): None,
    ("GET", "/dashboard"): None,
    ("GET", "/dashboard/"): None,
    ("GET", "/dashboard/x"): None,
    ("GET", "/v1/dashboard/stream"): "admin",
    ("GET", "/v1/dashboard/map"): "read",
    ("GET", "/v1/dashboard/users"): "read",
    ("GET", "/v1/dashboard/user"): "read",
    ("GET", "/v1/dashboard/candidates"): "read",
    ("GET", "/v1/dashboard/neighbours"): "read",
    ("GET", "/v1/dashboard/item"): "read",
}


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def test_every_endpoint_needs_its_scope_and_no_other() -> None:
    async def steps(service: Service) -> None:
        for (method, path), needed in NEEDS.items():
            bare = await service.http.request(method, path)
            assert (bare.status_code == 401) is (needed is not None), path
            for scope, secret in SECRETS.items():
                answer = await service.http.request(method, path, headers=bearer(secret))
                refused = answer.status_code in {401, 403}
                assert refused is (needed not in {None, scope}), (path, scope)
                if refused:
                    assert answer.json()["error"]["code"] == "forbidden"
                    assert f'scope="{needed}"' in answer.headers["www-authenticate"]

    # who is let in to the stream would stay
    with_service(steps, settings=SETTINGS, dashboard=DashboardParts(most_streams=0))


def test_no_endpoint_was_left_out_above() -> None:
    async def run() -> None:
        async with serving(settings=SETTINGS) as service:
            known = {(method, re.sub("/(ann|x)(?=/|$)", "/{}", path)) for method, path in NEEDS}
            for route in service.app.routes:
                if isinstance(route, APIRoute):
                    path = re.sub(r"\{.*?\}", "{}", route.path)
                    assert {(method, path) for method in route.methods or ()} <= known
                elif isinstance(route, Mount):
                    assert route.path == "/static-offline-docs"
                else:
                    assert isinstance(route, Route)
                    assert scope_of("GET", route.path) is None

    asyncio.run(asyncio.wait_for(run(), 30))


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nowhere"), ("GET", "//metrics"), ("GET", "/healthz/"), ("PUT", "/v1/users/ann")],
)
def test_what_is_not_there_needs_a_token_too(method: str, path: str) -> None:
    assert scope_of(method, path) == "read"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        "Bearer wrong",
        f"Bearer {SECRETS['read'][:-1]}",
        f"Bearer {SECRETS['read']}x",
        f"Bearer {digest(SECRETS['read'])}",
        f"Token {SECRETS['read']}",
        "Bearer \u00e9",
        f"Bearer {SECRETS['read']} {SECRETS['read']}",
    ],
    ids=range(11),  # tokens are other ones in each process
)
def test_what_is_no_token_is_refused_before_the_body_is_read(header: str) -> None:
    async def steps(service: Service) -> None:
        headers = {b"authorization": header.encode("latin-1")}
        large = b"x" * (2 * 1024 * 1024)
        answer = await service.http.post("/v1/search", content=large, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer ")
        assert answer.json()["error"]["code"] == "unauthorized"

    with_service(steps, settings=SETTINGS)


def test_the_scheme_is_written_in_any_case_and_the_log_names_the_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def steps(service: Service) -> None:
        headers = {"authorization": f"bearer   {SECRETS['read']} "}
        answer = await service.http.get("/v1/users/ann/profile", headers=headers)
        assert answer.status_code == 200

    caplog.set_level(logging.DEBUG)
    with_service(steps, settings=SETTINGS)
    assert any("token=the-read" in line for line in caplog.messages)
    assert not any(secret in caplog.text for secret in SECRETS.values())


def test_no_other_origin_is_let_in() -> None:
    async def steps(service: Service) -> None:
        headers = {"origin": "https://elsewhere.example", "access-control-request-method": "GET"}
        for method in ("GET", "OPTIONS"):
            answer = await service.http.request(method, "/v1/users/ann/profile", headers=headers)
            assert not any(name.startswith("access-control") for name in answer.headers)
        assert answer.status_code == 405

    with_service(steps)


def test_tokens_are_long_different_and_found_by_their_hashes() -> None:
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(len(one) == len(tokens.PREFIX) + 43 for one in made)
    kept = [Token(digest(one), frozenset({"read"}), str(at)) for at, one in enumerate(made)]
    assert [find(one, kept) for one in made] == kept
    assert find("another", kept) is None
    assert find("", kept) is None
    # of the token nothing is in what is kept
    assert digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_every_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []
    whole = hmac.compare_digest

    def counting(one: str, other: str) -> bool:
        compared.append((one, other))
        return whole(one, other)

    monkeypatch.setattr("store.tokens.hmac.compare_digest", counting)
    for secret in (*SECRETS.values(), "wrong"):
        compared.clear()
        find(secret, SETTINGS.tokens)
        assert [one for one, _ in compared] == [one.sha256 for one in SETTINGS.tokens]

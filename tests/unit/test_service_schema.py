"""Requests made up from the OpenAPI document, sensible ones and others, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import SkipTest

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from service_rig import listening
from store_fakes import DIM

from store.ranking.learner import Learner
from store.ranking.warm_up import warm_up
from store.service import ServiceSettings
from store.tokens import Token, digest, new_token

TOKEN = new_token()
SETTINGS = ServiceSettings(tokens=(Token(digest(TOKEN), frozenset({"read", "write", "admin"})),))
OPERATIONS = [
    "GET /v1/users/{user_id}/candidates",
    "GET /v1/users/{user_id}/why",
    "GET /v1/users/{user_id}/profile",
    "GET /v1/users/{user_id}/neighbours",
    "GET /v1/items/{item_id}/audience",
    "POST /v1/candidates",
    "POST /v1/profiles",
    "POST /v1/search",
    "DELETE /v1/users/{user_id}",
    "GET /v1/status",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
]
#: What there is: what is made up names others.
KNOWN = {
    "user_id": ["ann", "bob", "zero"],
    "item_id": ["x", "y", "xy"],
    "category": ["film"],
    "rank": ["nearest", "blend"],
    "profile": ["fold"],
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    warm_up(DIM)  # not while it is waited for
    with listening(SETTINGS, learner=Learner(DIM, partners=16)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def operations(url: str) -> dict[str, Any]:
    document = httpx.get(f"{url}/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    found: dict[str, Any] = {}
    for one in schema.get_all_operations():
        assert isinstance(one, Ok), one
        operation = one.ok()
        found[operation.label] = operation
    return found


def test_these_are_all_operations(operations: dict[str, Any]) -> None:
    assert sorted(operations) == sorted(OPERATIONS)


@pytest.mark.parametrize("label", OPERATIONS)
def test_every_answer_is_as_described_and_none_is_a_failure(
    label: str, url: str, operations: dict[str, Any]
) -> None:
    operation = operations[label]
    statuses: set[int] = set()
    # a forget would wait for a tombstone that nobody writes
    forgets = label.startswith("DELETE")
    hurry = {"X-Request-Timeout": "0.4"} if forgets else {}

    @settings(
        max_examples=30 if forgets else 60, derandomize=True, database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(data=st.data())
    def send(data: st.DataObject) -> None:
        mode = data.draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
        try:
            case = data.draw(operation.as_strategy(generation_mode=mode))
        except SkipTest:
            return  # there is nothing that could be wrong
        for place in (case.path_parameters or {}, case.query or {}):
            for name in place.keys() & KNOWN.keys():
                if data.draw(st.booleans()):
                    place[name] = data.draw(st.sampled_from(KNOWN[name]))
        headers = {"Authorization": f"Bearer {TOKEN}", **hurry}
        answer = case.call(base_url=url, headers=headers)
        statuses.add(answer.status_code)
        case.validate_response(
            answer,
            checks=[
                not_a_server_error,
                status_code_conformance,
                content_type_conformance,
                response_headers_conformance,
                response_schema_conformance,
            ],
        )

    send()
    assert statuses & {200, 202}, statuses

"""The commands' way to the retrieval service."""

from __future__ import annotations

import httpx
import uvicorn

from tidemark.client import KEPT_SECONDS, open_client
from tidemark.settings import load_settings


def test_idle_connections_are_let_go_of_before_the_service_closes_them() -> None:
    assert KEPT_SECONDS < uvicorn.Config("any:app").timeout_keep_alive
    with open_client(load_settings(None)) as client:
        transport = client._transport
        assert isinstance(transport, httpx.HTTPTransport)
        assert transport._pool._keepalive_expiry == KEPT_SECONDS

"""The commands' way to the retrieval service."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import uvicorn

from tidemark.client import KEPT_SECONDS, open_client
from tidemark.settings import load_settings


def test_idle_connections_are_let_go_of_before_the_service_closes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(httpx, "Client", lambda **options: given.update(options))
    open_client(load_settings(None))
    assert given["limits"].keepalive_expiry == KEPT_SECONDS
    assert uvicorn.Config("any:app").timeout_keep_alive > KEPT_SECONDS

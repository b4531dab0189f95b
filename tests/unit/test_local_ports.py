"""Which ports a system on this machine takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tidemark.errors import SettingsError
from tidemark.local import LocalSystem

if TYPE_CHECKING:
    from pathlib import Path


def test_the_worker_serves_its_metrics_where_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_WORKER__METRICS_PORT", "9123")
    system = LocalSystem(tmp_path)
    system.http.close()
    assert system.worker_url == "http://127.0.0.1:9123"


def test_a_system_on_any_port_leaves_the_settings_port_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_WORKER__METRICS_PORT", "9123")
    system = LocalSystem(tmp_path, port=0)
    system.http.close()
    assert system.metrics_port != 9123


def test_one_port_for_both_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_WORKER__METRICS_PORT", "9123")
    with pytest.raises(SettingsError, match="are both 9123; expected two ports"):
        LocalSystem(tmp_path, port=9123)

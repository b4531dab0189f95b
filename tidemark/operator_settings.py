"""Settings of what operators see: the dashboard, the log, traces."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tidemark.setting_types import Group, Positive

__all__ = ["DashboardSettings", "LogFormat", "LogLevelName", "LoggingSettings", "TracingSettings"]

LogLevelName = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^/\s]+(/\S*)?$")]


class DashboardSettings(Group):
    """The page at ``/dashboard``, and `tidemark top`."""

    workers: tuple[HttpUrl, ...] = ()
    refresh_seconds: Annotated[float, Field(ge=0.2, le=60)] = 1.0


class LoggingSettings(Group):
    """What the processes log, on standard error."""

    level: LogLevelName = "info"
    format: LogFormat = "text"


class TracingSettings(Group):
    """Traces of single actions, to a collector that speaks OTLP over HTTP."""

    enabled: bool = False
    endpoint: HttpUrl = "http://localhost:4318/v1/traces"
    timeout_seconds: Positive = 10.0

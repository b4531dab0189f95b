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
    """list of the workers' addresses, `http://host:9100`, that `/dashboard` and `tidemark top`
    read; a name with several addresses means each of them"""
    refresh_seconds: Annotated[float, Field(ge=0.2, le=60)] = 1.0
    """how often, from 0.2 to 60"""


class LoggingSettings(Group):
    """What the processes log, on standard error."""

    level: LogLevelName = "info"
    """or `debug`, `warning`, `error`"""
    format: LogFormat = "text"
    """one line an event; `json`: each a JSON object (logs.md)"""


class TracingSettings(Group):
    """Traces of single actions, to a collector that speaks OTLP over HTTP."""

    enabled: bool = False
    """follow actions that carry a `traceparent` header (tracing.md)"""
    endpoint: HttpUrl = "http://localhost:4318/v1/traces"
    """where spans are sent, by OTLP over HTTP"""
    timeout_seconds: Positive = 10.0
    """for sending a batch of them"""

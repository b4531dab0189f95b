"""Settings of what operators see: the dashboard, the log, traces."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from tidemark.setting_types import Group, Positive

__all__ = ["DashboardSettings", "LogFormat", "LogLevelName", "LoggingSettings", "TracingSettings"]

LogLevelName = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]


def _has_host_and_port(url: str) -> str:
    """An address that can be asked, without credentials: it is shown and logged."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} has a port that is none: {error}") from None
    if not parts.hostname or port == 0:
        raise ValueError(f"{url!r} names no host; expected http://HOST:PORT")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the address holds credentials; expected none")
    return url


HttpUrl = Annotated[
    str, Field(pattern=r"^https?://[^/\s]+(/\S*)?$"), AfterValidator(_has_host_and_port)
]


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

"""What the processes log: one line an event, as text or as JSON.

Events are written as ``"what happened: partition=%d read=%d"``. In JSON the named values are fields
of their own, too, so that a log store can search and add them up. Neither holds personal data: what
is logged names topics, partitions, offsets and routes, never users, items or their words.
"""

from __future__ import annotations

import copy
import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pythonjsonlogger.json import JsonFormatter

__all__ = ["Ids", "RepeatFilter", "fields_of", "setup_logging", "tell_no_tracebacks"]

#: What is being handled where a line is logged, such as a request or a micro-batch.
Ids = Callable[[], Mapping[str, str | int]]

#: Heard from warnings on: what they do is counted and told by our own.
_LIBRARIES = (
    "faust", "mode", "aiokafka", "kafka", "httpx", "streams.transport", "numba", "faiss",
    "opentelemetry",
)  # fmt: skip
_PLACEHOLDER = re.compile(r"(?:\b([a-z_]+)=)?%(?:%|[-+ #0]*\d*(?:\.\d+)?[a-zA-Z])")
#: A library's line that was just logged is not logged again for so long.
_REPEAT_SECONDS = 10.0
#: Lines beyond which those from longer ago are forgotten.
_REMEMBERED = 500
#: Normal while a group is joined or a broker restarts, and tried again by whoever says it.
_EXPECTED = re.compile(
    r"Group Coordinator Request failed|Heartbeat failed.*rebalanc|Failed fetch messages"
    r"|Unable (?:to update|connect)|OffsetCommit failed.*(?:rebalanc|not coordinator)"
    r"|Error sending (?:JoinGroup|SyncGroup)Request|Marking the coordinator dead"
)


def setup_logging(
    level: str,
    style: Literal["text", "json"] = "text",
    *,
    ids: Ids = dict,
    to: Any = None,
) -> None:
    """Log to standard error.

    Args:
        level: from debug to error.
        style: of the lines.
        ids: asked at each line, and put into it.
        to: another stream.
    """
    handler = _Stderr() if to is None else logging.StreamHandler(to)
    handler.setFormatter(_Json() if style == "json" else _Text())
    handler.addFilter(_AddIds(ids))
    handler.addFilter(RepeatFilter(time.monotonic))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    # Faust warns at each rebalance of a sensor that nobody set.
    logging.getLogger("faust.app.base").addFilter(
        lambda record: not record.getMessage().startswith("[^App]: Missing sensor state")
    )
    # Every commit of a producer warns of its event loop when the machine is busy.
    logging.getLogger("kafka.net").setLevel(logging.ERROR)


def tell_no_tracebacks() -> None:
    """From now on lines say what was raised and not where, unless the level is debug.

    For a process whose end is decided: what its parts raise while they are taken down comes of
    that, and would stand before the one line that says why it ends.
    """
    root = logging.getLogger()
    if root.level > logging.DEBUG:
        for handler in root.handlers:
            if isinstance(handler.formatter, _Text | _Json):
                handler.formatter.tracebacks = False


def _without_traceback(record: logging.LogRecord) -> logging.LogRecord:
    if not record.exc_info or record.exc_info[1] is None:
        return record
    told = copy.copy(record)  # other handlers may tell more of it
    told.msg, told.args = f"{record.getMessage()}: {record.exc_info[1]!r}", ()
    told.exc_info = told.exc_text = None
    return told


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The values that a record's message names.

    >>> line = logging.LogRecord("a", 20, "", 0, "read %s: items=%d in=%.1f", ("x", 3, 0.5), None)
    >>> fields_of(line)
    {'items': 3, 'in': 0.5}
    """
    if not isinstance(record.args, tuple) or not isinstance(record.msg, str):
        return {}
    found = [one for one in _PLACEHOLDER.finditer(record.msg) if one[0] != "%%"]
    if len(found) != len(record.args):
        return {}
    named = zip(found, record.args, strict=True)
    return {one[1]: _plain(value) for one, value in named if one[1]}


class RepeatFilter(logging.Filter):
    """Of a library's line that comes again and again one in ten seconds is let through.

    Clients try what fails many times a second, and say so each time. Of what is left out the next
    line says how often it came.

    Args:
        clock: seconds, from any beginning.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._last: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it."""
        if record.name.partition(".")[0] not in _LIBRARIES:
            return True
        if record.levelno > logging.WARNING and _EXPECTED.search(record.getMessage()):
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        now, like = self._clock(), (record.name, str(record.msg))
        at, left_out = self._last.get(like, (float("-inf"), 0))
        if now - at < _REPEAT_SECONDS:
            self._last[like] = at, left_out + 1
            return False
        if len(self._last) >= _REMEMBERED:  # what was said long ago may be said again
            self._last = {
                one: said for one, said in self._last.items() if now - said[0] < _REPEAT_SECONDS
            }
        self._last[like] = now, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out:,} more like it)", ()
        return True


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg] # of whatever it is at a line
    """To what standard error is at each line: a progress bar has its own stand above it."""

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, _: Any) -> None:
        """The base sets it once."""


class _Text(logging.Formatter):
    """``time level logger message``, then the ids; what has several lines is made one."""

    tracebacks = True

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 # the base's name
        said = super().formatMessage(record)
        ids = [f"{name}={value}" for name, value in getattr(record, "ids", {}).items()]
        return " ".join([said, *(one for one in ids if one not in said)])

    def format(self, record: logging.LogRecord) -> str:
        shown = record if self.tracebacks else _without_traceback(record)
        return super().format(shown).replace("\r", "\\r").replace("\n", "\\n")


class _Json(JsonFormatter):
    tracebacks = True

    def __init__(self) -> None:
        super().__init__(json_ensure_ascii=False)

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record if self.tracebacks else _without_traceback(record))

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        log_data |= {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
            **getattr(record, "ids", {}),
        }
        for name in ("exc_info", "stack_info"):
            if message_dict.get(name):
                log_data[name] = message_dict[name]


class _AddIds(logging.Filter):
    def __init__(self, ids: Ids) -> None:
        super().__init__()
        self._ids = ids

    def filter(self, record: logging.LogRecord) -> bool:
        record.ids = self._ids()
        return True


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | None) else str(value)

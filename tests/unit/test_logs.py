"""What the processes log: one line an event, for people and for programs."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from store.service.context import RequestContext, current_request, request
from streams.batch_id import batch_id, current_batch
from tidemark.logs import RepeatFilter, fields_of, setup_logging, tell_no_tracebacks


@pytest.fixture
def lines() -> Iterator[Callable[[], list[str]]]:
    """Logs as JSON of a request; what was logged since the last call."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    to = io.StringIO()
    setup_logging("info", "json", ids=current_request, to=to)

    def read() -> list[str]:
        said = to.getvalue()
        to.seek(0)
        to.truncate()
        return said.splitlines()

    yield read
    root.handlers[:], root.level = before[0], before[1]


def test_named_values_are_fields(lines: Callable[[], list[str]]) -> None:
    logging.getLogger("streams.partitions").info(
        "restored: partition=%d of=%s seconds=%.1f ok=%s", 3, "a\nb", 0.25, True
    )
    (line,) = lines()
    said = json.loads(line)
    assert said.pop("time").endswith("Z")
    assert said == {
        "level": "info", "logger": "streams.partitions",
        "message": "restored: partition=3 of=a\nb seconds=0.2 ok=True",
        "partition": 3, "of": "a\nb", "seconds": 0.25, "ok": True,
    }  # fmt: skip


def test_a_line_says_which_request_it_is_about(lines: Callable[[], list[str]]) -> None:
    token = request.set(RequestContext(id="trace-7"))
    logging.getLogger("store").warning("the index failed")
    request.reset(token)
    logging.getLogger("store").warning("nothing is asked")
    about, other = map(json.loads, lines())
    assert about["request"] == "trace-7"
    assert "request" not in other


def test_an_error_is_one_line_too(lines: Callable[[], list[str]]) -> None:
    try:
        int("two\nlines")
    except ValueError:
        logging.getLogger("store").exception("failed for good")
    (line,) = lines()
    assert json.loads(line)["exc_info"].endswith(r"with base 10: 'two\nlines'")


def test_what_comes_of_an_end_is_told_without_a_traceback(
    lines: Callable[[], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> str:
        try:
            int("two")
        except ValueError:
            logging.getLogger("asyncio").exception("task=%d ended at 100%% by", 7)
        (line,) = lines()
        return line

    assert "Traceback" in fail()
    tell_no_tracebacks()
    said = json.loads(fail())
    assert said["message"].startswith("task=7 ended at 100% by: ValueError(")
    assert "exc_info" not in said
    assert caplog.records[-1].exc_info  # whoever else listens is told all of it
    logging.getLogger("store").info("stopped: profiles=%d", 3)
    assert json.loads(lines()[0])["profiles"] == 3


def test_text_is_one_line_an_event_with_its_batch() -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    to = io.StringIO()
    setup_logging("debug", ids=current_batch, to=to)
    token = batch_id.set(17)
    logger = logging.getLogger("streams.outbox")
    logger.warning("publishing failed: %s", "no leader\nINFO forged line")
    logger.debug("published: batch=%d actions=%d", 17, 3)
    batch_id.reset(token)
    root.handlers[:], root.level = handlers, level
    first, second = to.getvalue().splitlines()
    assert first.endswith(
        "WARNING streams.outbox publishing failed: no leader\\nINFO forged line batch=17"
    )
    assert second.endswith("DEBUG streams.outbox published: batch=17 actions=3")


@pytest.mark.parametrize(
    ("message", "args", "fields"),
    [
        ("nothing to see", (), {}),
        ("in %.1f s: texts=%d error=%s", (0.5, 3, ValueError("x")), {"texts": 3, "error": "x"}),
        ("100%% of a=%d", (1,), {"a": 1}),
        ("a=%d b=%d", (1,), {}),  # it cannot be formatted either
        ("a=%(a)s", ({"a": 1},), {}),
    ],
)
def test_the_fields_of_a_message(message: str, args: Any, fields: dict[str, Any]) -> None:
    record = logging.LogRecord("a", logging.INFO, "", 0, message, args, None)
    assert fields_of(record) == fields


def record_of(name: str, message: str, *args: object, level: int = 30) -> logging.LogRecord:
    return logging.LogRecord(name, level, "", 0, message, args, None)


def test_a_library_that_says_the_same_over_and_over_is_heard_now_and_then() -> None:
    now = 100.0
    repeats = RepeatFilter(lambda: now)
    said = [repeats.filter(record_of("aiokafka.conn", "no leader for %s", n)) for n in range(700)]
    assert said.count(True) == 1
    assert repeats.filter(record_of("aiokafka.conn", "something else"))
    now = 111.0
    again = record_of("aiokafka.conn", "no leader for %s", 5)
    assert repeats.filter(again)
    assert again.getMessage() == "no leader for 5 (699 more like it)"
    # our own are all heard: they wait longer each time
    assert all(repeats.filter(record_of("streams.outbox", "trying again")) for _ in range(3))


def test_what_is_normal_while_a_group_forms_is_no_error() -> None:
    repeats = RepeatFilter(lambda: 0.0)
    name, level = "aiokafka.consumer.group_coordinator", logging.ERROR
    normal = record_of(name, "Group Coordinator Request failed: [Error 15]", level=level)
    assert repeats.filter(normal)
    assert (normal.levelno, normal.levelname) == (logging.WARNING, "WARNING")
    grave = record_of(name, "Topic authorization failed", level=level)
    assert repeats.filter(grave)
    assert grave.levelno == logging.ERROR


def test_lines_of_long_ago_are_forgotten() -> None:
    now = 0.0
    repeats = RepeatFilter(lambda: now)
    for number in range(5_000):
        now = number / 10
        assert repeats.filter(record_of("kafka", f"a line of its own: {number}"))
    assert len(repeats._last) <= 600  # noqa: SLF001

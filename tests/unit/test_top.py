"""Figures of two looks, and how they are shown."""

from __future__ import annotations

import io
import socket
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from rich.console import Console

from store.dashboard.exposition import look_at_text
from store.dashboard.figures import Look
from tidemark.cli.top.figures import Seen, figures
from tidemark.cli.top.scrape import addresses_of
from tidemark.cli.top.view import view


class Process:
    """Metrics as a process has them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.actions = Counter("tidemark_actions", "", ["type", "outcome"], registry=self.registry)
        self.batches = Histogram(
            "tidemark_batch_actions", "", buckets=[10, 100], registry=self.registry
        )
        self.lag = Gauge(
            "tidemark_consumer_lag_records", "", ["topic", "partition"], registry=self.registry
        )
        self.letters = Counter("tidemark_dead_letters", "", ["reason"], registry=self.registry)

    def look(self, at: float) -> Look:
        return look_at_text(generate_latest(self.registry).decode(), at)


def found() -> dict[str, Any]:
    process = Process()
    before = process.look(0.0)
    process.actions.labels("view\x1b[2J", "applied").inc(20)
    process.lag.labels("actions", "0").set(7)
    process.letters.labels("malformed").inc(3)
    up = Seen("http://a:9100", before, process.look(2.0))
    down = Seen("http://b:9100", error="[Errno 111] Connection refused")
    return figures([up, down], Seen("http://r:8080", error="refused"), 1_700_000_000_000)


def test_all_figures() -> None:
    told = found()
    assert told["throughput"]["actions_per_second"] == 10.0
    assert told["lag"]["records"] == 7
    assert told["dead_letters"] == {"malformed": {"total": 3.0, "per_second": 1.5}}
    assert [one["up"] for one in told["workers"]] == [True, False]
    assert told["retrieval"]["up"] is False
    assert told["freshness"]["p50_seconds"] is None
    assert told["index"] == {}


def test_an_index_that_looks_at_everything_has_no_recall() -> None:
    registry = CollectorRegistry()
    vectors = Gauge("tidemark_index_vectors", "", ["index"], registry=registry)
    recall = Gauge("tidemark_index_recall", "", ["index"], registry=registry)
    for name in ("items", "profiles"):
        vectors.labels(name).set(5)
    recall.labels("profiles").set(0.97)
    look = look_at_text(generate_latest(registry).decode(), 1.0)
    told = figures([], Seen("http://r:8080", None, look), 1_700_000_000_000)
    assert {name: one["recall"] for name, one in told["index"].items()} == {
        "items": None, "profiles": 0.97,
    }  # fmt: skip
    out = io.StringIO()
    Console(file=out, width=200, force_terminal=False).print(view(told, 200))
    assert "all" in out.getvalue()


def test_what_the_ranking_learned_is_shown() -> None:
    registry = CollectorRegistry()
    Counter("tidemark_ranking_choices_counted", "", registry=registry).inc(2_531)
    look = look_at_text(generate_latest(registry).decode(), 1.0)
    status = {"ranking": {"steps": 218}}
    told = figures([], Seen("http://r:8080", None, look, status=status), 1_700_000_000_000)
    assert told["quality"]["choices_counted"] == 2_531
    assert told["quality"]["ranking_steps"] == 218
    out = io.StringIO()
    Console(file=out, width=200, force_terminal=False).print(view(told, 200))
    assert "2,531" in out.getvalue()
    assert "218" in out.getvalue()


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_view_fits_any_width(width: int) -> None:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False).print(view(found(), width))
    said = out.getvalue()
    assert max(len(line) for line in said.splitlines()) <= width
    assert "\x1b" not in said
    if width >= 40:
        assert "Connection refused" in " ".join(said.split())
        assert "malformed" in said


def test_a_name_with_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if host == "gone":
            raise socket.gaierror("no such host")
        count = {"many": 3, "one": 1}[host]
        return [(socket.AF_INET, 1, 6, "", (f"10.0.0.{n}", port)) for n in range(count)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert addresses_of("http://many:9100") == [f"http://10.0.0.{n}:9100" for n in range(3)]
    assert addresses_of("http://one:9100") == ["http://one:9100"]
    assert addresses_of("http://gone:9100") == ["http://gone:9100"]
    assert addresses_of("https://many:9100") == ["https://many:9100"]

"""What a worker answers over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from encoders import EncoderService, HashingEncoder, VectorCache
from encoders.device_use import CpuUse, use_of
from encoders.metrics import EncoderCollector
from encoders.redaction import Redactor
from streams.health import Health
from streams.health_server import HealthServer
from streams.metrics import WorkerCollector
from streams.watchdog import Verdict


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def client(health: Health) -> Iterator[httpx.Client]:
    registry = CollectorRegistry()
    registry.register(WorkerCollector(health, lambda: 3, dict))
    with (
        HealthServer(health, registry, "127.0.0.1", 0) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=20.0) as client,
    ):
        yield client


def test_what_the_encoder_and_the_redactor_count() -> None:
    registry = CollectorRegistry()
    encoding = EncoderService(HashingEncoder(4), VectorCache(1024 * 1024))
    redactor = Redactor()
    registry.register(WorkerCollector(Health(), lambda: 3, lambda: redactor.found))
    registry.register(EncoderCollector(encoding.stats, use_of("cpu")))
    encoding.encode_now(["one", "one", "two"])
    encoding.encode_now(["two"])
    redactor.redact("ann@example.org, bob@example.org")
    encoding.close()
    said = generate_latest(registry).decode()
    assert "# TYPE tidemark_texts_requested_total counter\n" in said
    assert "tidemark_texts_requested_total 4.0\n" in said
    assert "tidemark_texts_encoded_total 2.0\n" in said
    assert "tidemark_cache_hits_total 1.0\n" in said
    assert 'tidemark_redactions_total{kind="email"} 2.0\n' in said
    assert 'tidemark_redactions_total{kind="card"} 0.0\n' in said
    assert "tidemark_profiles 3.0\n" in said
    device = {
        sample.name.removeprefix("tidemark_device_"): sample.value
        for family in text_string_to_metric_families(said)
        for sample in family.samples
        if sample.labels == {"device": "cpu"}
    }
    assert 0 <= device["utilization_ratio"] <= 1
    assert 0 < device["memory_bytes"] <= device["memory_limit_bytes"]


def answer(client: httpx.Client, path: str) -> tuple[int, str]:
    response = client.get(path)
    return response.status_code, response.text.removesuffix("\n")


def test_from_start_to_service(client: httpx.Client, health: Health) -> None:
    assert answer(client, "/healthz") == (200, "ok")
    assert answer(client, "/readyz") == (503, "starting")
    health.on_phase("joining the consumer group")
    assert answer(client, "/readyz") == (503, "joining the consumer group")
    health.on_restoring(3, 41_200, 50_000)
    health.on_restoring(1, 0, 9)
    line = "restoring partition 1: 0 of ~9 profiles; restoring partition 3: 41,200 of ~50,000"
    assert answer(client, "/readyz") == (503, f"{line} profiles")
    assert "tidemark_restoring_read_records 41200.0" in client.get("/metrics").text
    assert "tidemark_restoring_expected_records 50009.0" in client.get("/metrics").text
    health.on_restored(1)
    health.on_restored(3)
    health.on_serving()
    assert answer(client, "/readyz") == (200, "ok")
    assert "tidemark_restoring_read_records 0.0" in client.get("/metrics").text


def test_who_stands_still_is_neither_alive_nor_ready(client: httpx.Client, health: Health) -> None:
    health.on_serving()
    health.on_verdict(Verdict(61.0, False, False, "nothing advanced"))
    assert answer(client, "/healthz") == (503, "nothing advanced")
    assert answer(client, "/readyz") == (503, "nothing advanced")
    assert "tidemark_stalled_seconds 61.0" in client.get("/metrics").text
    health.on_verdict(Verdict(0.0, True, False, ""))
    assert answer(client, "/healthz") == (200, "ok")


def test_a_blocked_loop_is_answered_for(client: httpx.Client, health: Health) -> None:
    health.on_blocked("the event loop has not run for 70 s")
    assert answer(client, "/healthz") == (503, "the event loop has not run for 70 s")
    health.on_blocked(None)
    assert answer(client, "/healthz") == (200, "ok")


def test_other_paths_are_not_found(client: httpx.Client) -> None:
    assert answer(client, "/") == (404, "there is /healthz, /readyz and /metrics")


def test_it_listens_on_ipv6() -> None:
    try:
        server = HealthServer(Health(), CollectorRegistry(), "::1", 0)
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with server:
        assert httpx.get(f"http://[::1]:{server.port}/healthz").text == "ok\n"


def test_several_who_scrape_do_not_shorten_each_others_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, busy = 0.0, 0.0
    monkeypatch.setattr("encoders.device_use.os.sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(CpuUse, "_busy", lambda _: busy)
    use = CpuUse(lambda: now)
    for second in range(1, 41):  # one core of two for twenty seconds, then none
        now, busy = float(second), min(second, 20.0)
        shares = [use.read().utilization for _ in range(3)]
        assert shares[0] == shares[1] == shares[2]
        if second == 20:
            assert shares[0] == pytest.approx(0.5)
    assert shares[0] == 0

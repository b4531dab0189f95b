"""Workers that answer, and those that do not, each in its own way."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from metrics_server import metrics_server
from prometheus_client import CollectorRegistry, Counter

from store.dashboard.targets import Target, Targets
from streams.processes import free_port


def ask(*urls: str, timeout: float = 3.0, times: int = 1) -> list[Target]:
    async def run() -> list[Target]:
        targets = Targets(urls, timeout=timeout)
        try:
            for _ in range(times):
                found = await asyncio.wait_for(targets.ask(20), 30)
        finally:
            await targets.close()
        return found

    return asyncio.run(run())


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name there
            """Not on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(20)


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("tidemark_actions", "-", ["type", "outcome"], registry=registry).labels(
        "view", "applied"
    ).inc(3)
    return registry


def test_a_worker_that_answers_is_up(registry: CollectorRegistry) -> None:
    with metrics_server(registry) as url:
        (found,) = ask(url, times=2)
    assert found.trouble is None
    assert found.name == url.removeprefix("http://")
    assert found.look is not None
    assert found.look.samples["tidemark_actions_total"] == {
        (("outcome", "applied"), ("type", "view")): 3
    }
    assert 0 < found.cost < 10


def test_whoever_does_not_answer_is_down_and_says_why(registry: CollectorRegistry) -> None:
    with (
        metrics_server(registry) as good,
        answering(500, b"") as broken,
        answering(200, b"tidemark_x{ what\n") as other,
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        hanging = f"http://127.0.0.1:{silent.getsockname()[1]}"
        nobody = f"http://127.0.0.1:{free_port()}"
        nowhere = "http://no-such-host.invalid:9100"
        found = ask(good, broken, other, hanging, nobody, nowhere, timeout=1.0)
    reasons = {f"http://{one.name}": one.trouble for one in found}
    assert reasons[good] is None
    assert "status 500" in (reasons[broken] or "")
    assert "not Prometheus' text format" in (reasons[other] or "")
    assert reasons[hanging] == "no answer within 1 s"
    assert (reasons[nobody] or "").startswith("no connection")
    assert (reasons[nowhere] or "").startswith("the host name cannot be resolved")


def test_one_that_hangs_does_not_keep_the_others_waiting(registry: CollectorRegistry) -> None:
    async def run() -> None:
        with metrics_server(registry) as good, socket.create_server(("127.0.0.1", 0)) as silent:
            targets = Targets([good, f"http://127.0.0.1:{silent.getsockname()[1]}"], timeout=30)
            try:
                async with asyncio.timeout(20):
                    while True:
                        found = {one.name: one for one in await targets.ask(0.05)}
                        if found[good.removeprefix("http://")].trouble is None:
                            break
            finally:
                await targets.close()
            assert sorted(str(one.trouble) for one in found.values()) == [
                "None", "it was not asked yet",
            ]  # fmt: skip

    asyncio.run(run())


def test_a_name_with_several_addresses_is_several_workers(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = ["127.0.0.1", "127.0.0.2"]

    async def run() -> None:
        async def resolve(host: str, port: int, **_: object) -> list[object]:
            assert host == "worker"
            return [(socket.AF_INET, 1, 6, "", (one, port)) for one in addresses]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        with metrics_server(registry, "127.0.0.1") as url:
            port = url.rpartition(":")[2]
            targets = Targets([f"http://worker:{port}"], timeout=5)
            try:
                both = await targets.ask(20)
                assert [one.name for one in both] == [f"127.0.0.1:{port}", f"127.0.0.2:{port}"]
                assert both[0].trouble is None
                assert (both[1].trouble or "").startswith("no connection")
                addresses.remove("127.0.0.2")  # scaled down: it is resolved anew
                (one,) = await targets.ask(20)
                assert one.name == f"worker:{port}"
                assert one.trouble is None
            finally:
                await targets.close()

    asyncio.run(run())


def test_without_workers_there_is_nobody_to_ask() -> None:
    assert ask() == []
    assert not Targets([]).configured

"""From publishing an action to its profile being retrievable, at half of the most that is possible.

Worker, retrieval service, Apache Kafka and the publisher share the machine. First a publisher in a
process of its own sends as much as becomes retrievable, never more than some actions ahead: the
rate is the most that the four can do together. (A backlog that lies in Kafka is worked off
faster: nobody has to publish it.) Then it sends half of that at an even pace, and two clocks run:

- the retrieval service's: for each profile record that it made searchable, the time since the
  Kafka timestamp of the *oldest* action in it; its `/v1/status` has the quantiles. A record stands
  for its worst action, so this is at or above the quantiles over actions.
- a probe's: actions of users of its own, now and then, and `GET /v1/users/…/profile` asked until it
  answers. It includes the request, and does not trust what the service says of itself.

The worse of the two counts.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import msgspec
import numpy as np
from confluent_kafka import Producer

from benchmarks.common.broker import Bench, bench_broker
from benchmarks.common.load import load
from benchmarks.common.results import Bar, Measurement
from benchmarks.streams.deployment import (
    applied,
    running_worker,
    wait_until_ready,
)
from benchmarks.streams.running import watch
from benchmarks.streams.traffic import movielens_like, records_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.common.stopwatch import Progress
    from streams.processes import Child

__all__ = ["measure"]

_PARTITIONS = 4
#: Actions before anything is measured; the first 1,682 name every film.
_WARM = 4_000
#: Actions published and not retrievable yet, while the maximum is looked for: half a second's.
_AHEAD = 100_000
#: Asking is work for the service too: seldom enough not to slow down what is measured.
_PROBE_SECONDS = 0.01
_PROBE_PAUSE = 0.25
_PROBE_LIMIT = 30.0


@dataclass(frozen=True, slots=True)
class _Paced:
    """What a paced stretch gave: seconds, but for the rate."""

    rate: float
    publisher_latest: float
    service_p50: float
    service_p99: float
    probes: list[float]

    def as_json(self) -> dict[str, object]:
        return {
            "rate": round(self.rate, 1),
            "publisher_late_ms": round(1e3 * self.publisher_latest, 1),
            "service_p50_ms": round(1e3 * self.service_p50, 1),
            "service_p99_ms": round(1e3 * self.service_p99, 1),
            "probes_ms": [round(1e3 * one, 1) for one in self.probes],
        }


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module."""
    seconds = 6.0 if quick else 30.0
    outcome = Measurement("freshness", "Freshness at half of the maximum rate", "ms")
    with bench_broker() as bench:
        # The broker's code is compiled while it runs: the first stretch is not like the others.
        most = []
        for number in range(1 + (1 if quick else 3)):
            with _deployed(bench, f"saturated{number}") as deployed:
                most.append(_saturate(bench, deployed, seconds))
                print(f"saturated: {most[-1]:,.0f} actions/s retrievable")
        del most[0]
        rate = statistics.median(most) / 2
        paced = []
        for number in range(repetitions):
            with _deployed(bench, f"paced{number}") as deployed:
                paced.append(_pace(bench, deployed, rate, seconds))
                print(json.dumps({**paced[-1].as_json(), "probes_ms": len(paced[-1].probes)}))
    _fill(outcome, most, rate, paced)
    return outcome


@dataclass(frozen=True, slots=True)
class _Deployed:
    """A worker that knows every text, and a retrieval service that has caught up with it."""

    topic: str
    worker: Child
    retrieval: Child
    http: httpx.Client


@contextmanager
def _deployed(bench: Bench, topic: str) -> Iterator[_Deployed]:
    """A deployment of its own, with the default model and empty topics but for the warm-up."""
    bench.create_topic(topic, _PARTITIONS)
    load(bench.bootstrap, topic, records_of(movielens_like(_WARM)))
    with running_worker(bench, topic, _PARTITIONS, model="all-MiniLM-L6-v2") as deployed:
        watch(deployed.worker, deployed.committed, end=_WARM)
        # Started after the warm-up, its summary of freshness holds nothing of it.
        with (
            deployed.retrieval() as (retrieval, url),
            httpx.Client(base_url=url, timeout=30) as http,
        ):
            wait_until_ready(retrieval, http)
            yield _Deployed(topic, deployed.worker, retrieval, http)


def _saturate(bench: Bench, deployed: _Deployed, seconds: float) -> float:
    """Actions a second that become retrievable while as many are published as that."""
    url = str(deployed.http.base_url)
    with _publisher(bench, deployed, seconds, ahead=_AHEAD, url=url) as publisher:
        progress: Progress = []
        while publisher.poll() is None:
            progress.append((time.monotonic(), applied(deployed.http)))
            time.sleep(0.1)
        publisher.communicate(timeout=120)
    # It begins with an empty system, and ends before the publisher does.
    (begin, first), (end, last) = progress[len(progress) // 4], progress[-1]
    return (last - first) / (end - begin)


def _pace(bench: Bench, deployed: _Deployed, rate: float, seconds: float) -> _Paced:
    """Publish at a rate for so many seconds, and ask both clocks."""
    with _publisher(bench, deployed, seconds, rate=rate) as publisher:
        probes = _probe(bench, deployed, publisher)
        said, _ = publisher.communicate(timeout=120)
    published = json.loads(said)
    summary = deployed.http.get("/v1/status").raise_for_status().json()["freshness"]
    return _Paced(
        published["rate"],
        published["latest_seconds"],
        summary["p50_seconds"],
        summary["p99_seconds"],
        probes,
    )


@contextmanager
def _publisher(
    bench: Bench, deployed: _Deployed, seconds: float, **how: float | str
) -> Iterator[subprocess.Popen[str]]:
    """A publisher that has begun to publish; see `benchmarks.streams.paced`."""
    given = {"bootstrap": bench.bootstrap, "topic": deployed.topic, "seconds": seconds, **how}
    command = [sys.executable, "-m", "benchmarks.streams.paced", json.dumps(given)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as publisher:
        try:
            # Its preparations are over: before, the system is idle, which would flatter us.
            publisher.stdout.readline()  # type: ignore[union-attr] # it is a pipe
            yield publisher
        finally:
            publisher.kill()
    if publisher.returncode != 0:
        raise RuntimeError("the publisher failed; what it said is above")


def _probe(bench: Bench, deployed: _Deployed, publisher: subprocess.Popen[str]) -> list[float]:
    """Seconds from publishing an action to its new user's profile being answered, one by one."""
    producer = Producer(
        {"bootstrap.servers": bench.bootstrap, "linger.ms": 0, "partitioner": "murmur2_random"}
    )
    producer.list_topics(deployed.topic, timeout=30)  # connected before the first probe's clock
    pause = np.random.default_rng(3)
    found: list[float] = []
    while publisher.poll() is None:
        user = f"probe-{len(found)}"
        published = time.time()
        action: Mapping[str, object] = {
            "user_id": user, "action": "view", "ts": int(published * 1000), "item_id": "1",
        }  # fmt: skip
        producer.produce(deployed.topic, msgspec.msgpack.encode(action), user.encode())
        producer.poll(0)
        while deployed.http.get(f"/v1/users/{user}/profile").status_code != httpx.codes.OK:
            if time.time() - published > _PROBE_LIMIT:
                raise RuntimeError(
                    f"{user} cannot be retrieved {_PROBE_LIMIT:.0f} s after its action"
                )
            time.sleep(_PROBE_SECONDS)
        found.append(time.time() - published)
        time.sleep(pause.uniform(0, 2 * _PROBE_PAUSE))
    producer.flush(30)
    return found


def _fill(outcome: Measurement, most: list[float], rate: float, paced: list[_Paced]) -> None:
    probes = [one for run in paced for one in run.probes]
    worst = {}
    for quantile, name in ((0.5, "p50"), (0.99, "p99")):
        service = [1e3 * getattr(run, f"service_{name}") for run in paced]
        probed = [1e3 * float(np.quantile(run.probes, quantile)) for run in paced]
        outcome.values[f"Tidemark, {name} by the service"] = service
        outcome.values[f"Tidemark, {name} by probes"] = probed
        worst[name] = max(statistics.median(service), statistics.median(probed))
    outcome.bars = [
        Bar.at_most("freshness p50 at half of the maximum rate", 60, worst["p50"], "ms"),
        Bar.at_most("freshness p99 at half of the maximum rate", 250, worst["p99"], "ms"),
    ]
    outcome.runs = [{"maximum_rates": most}, *(run.as_json() for run in paced)]
    reached = statistics.median(run.rate for run in paced)
    late = max(run.publisher_latest for run in paced)
    outcome.notes = [
        f"maximum {2 * rate:,.0f} actions/s retrievable; published {reached:,.0f} actions/s",
        f"the publisher was at most {1e3 * late:.0f} ms behind its schedule",
        f"{len(probes)} probes",
    ]

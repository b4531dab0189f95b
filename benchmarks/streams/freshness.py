"""From publishing an action to its profile being retrievable, at half of the most that is possible.

Worker, retrieval service, Apache Kafka and the publisher share the machine. First the deployment is
saturated: a backlog is worked off, and the rate at which profiles become retrievable is the most it
can do. Then a publisher in its own process sends half of that at an even pace, and two clocks run:

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
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import msgspec
import numpy as np
from confluent_kafka import Producer

from benchmarks.common.broker import Bench, bench_broker
from benchmarks.common.load import load
from benchmarks.common.results import Bar, Measurement
from benchmarks.common.stopwatch import CpuSampler, stretch_of
from benchmarks.streams.deployment import Deployment, applied, running_worker, wait_until_ready
from benchmarks.streams.running import TAIL, watch
from benchmarks.streams.traffic import movielens_like, records_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["measure"]

_PARTITIONS = 4
_TOPIC = "actions"
_PROBE_SECONDS = 0.005
_PROBE_PAUSE = 0.1
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
    backlog = 40_000 if quick else 600_000
    seconds = 5.0 if quick else 30.0
    outcome = Measurement("freshness", "Freshness at half of the maximum rate", "ms")
    paced: list[_Paced] = []
    with bench_broker() as bench:
        bench.create_topic(_TOPIC, _PARTITIONS)
        with running_worker(bench, _TOPIC, _PARTITIONS, model="all-MiniLM-L6-v2") as deployed:
            bench.wait_for_group(deployed.group)
            most = [_saturate(bench, deployed, backlog) for _ in range(1 if quick else 3)]
            rate = statistics.median(most) / 2
            for number in range(repetitions):
                paced.append(_pace(bench, deployed, rate, seconds, number))
                print(json.dumps({**paced[-1].as_json(), "probes_ms": len(paced[-1].probes)}))
    _fill(outcome, most, rate, paced)
    return outcome


def _saturate(bench: Bench, deployed: Deployment, backlog: int) -> float:
    """Actions a second that become retrievable while a backlog is worked off."""
    with deployed.retrieval() as (retrieval, url), httpx.Client(base_url=url, timeout=30) as http:
        wait_until_ready(retrieval, http)
        before = applied(http)
        load(bench.bootstrap, _TOPIC, records_of(movielens_like(backlog + TAIL)))
        pids = {"worker": deployed.worker.pid, "retrieval": retrieval.pid, "broker": bench.pid}
        with CpuSampler(pids) as cpu:
            progress = watch(retrieval, lambda: applied(http) - before, end=backlog, every=0.2)
        # What was worked off while the backlog was still being published does not count.
        start = max(backlog // 5, progress[0][1])
        stretch = stretch_of(progress, cpu, start=start, end=backlog)
        watch(retrieval, lambda: applied(http) - before, end=backlog + TAIL)
    print(f"saturated: {stretch.rate:,.0f} actions/s retrievable")
    return stretch.rate


def _pace(bench: Bench, deployed: Deployment, rate: float, seconds: float, number: int) -> _Paced:
    """One stretch with a fresh retrieval service, whose summary then holds nothing else."""
    with deployed.retrieval() as (retrieval, url), httpx.Client(base_url=url, timeout=30) as http:
        wait_until_ready(retrieval, http)
        given = {
            "bootstrap": bench.bootstrap, "topic": _TOPIC, "rate": rate, "seconds": seconds,
        }  # fmt: skip
        command = [sys.executable, "-m", "benchmarks.streams.paced", json.dumps(given)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as publisher:
            try:
                # Its preparations are over: before, the system is idle, which would flatter us.
                publisher.stdout.readline()  # type: ignore[union-attr] # it is a pipe
                probes = _probe(bench, http, publisher, f"probe{number}")
                said, _ = publisher.communicate(timeout=120)
            finally:
                publisher.kill()
        if publisher.returncode != 0:
            raise RuntimeError("the paced publisher failed; what it said is above")
        published = json.loads(said)
        summary = http.get("/v1/status").raise_for_status().json()["freshness"]
    return _Paced(
        published["rate"],
        published["latest_seconds"],
        summary["p50_seconds"],
        summary["p99_seconds"],
        probes,
    )


def _probe(
    bench: Bench, http: httpx.Client, publisher: subprocess.Popen[str], prefix: str
) -> list[float]:
    """Seconds from publishing an action to its new user's profile being answered, one by one."""
    producer = Producer(
        {"bootstrap.servers": bench.bootstrap, "linger.ms": 0, "partitioner": "murmur2_random"}
    )
    pause = np.random.default_rng(3)
    found: list[float] = []
    while publisher.poll() is None:
        user = f"{prefix}-{len(found)}"
        published = time.time()
        action: Mapping[str, object] = {
            "user_id": user, "action": "view", "ts": int(published * 1000), "item_id": "1",
        }  # fmt: skip
        producer.produce(_TOPIC, msgspec.msgpack.encode(action), user.encode())
        producer.poll(0)
        while http.get(f"/v1/users/{user}/profile").status_code != httpx.codes.OK:
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

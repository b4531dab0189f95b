"""Publishes actions in a process of its own: at an even pace, or as many as are taken.

Without ``ahead`` it is an open loop: it never waits for the system that is measured, whatever
becomes of the actions. With it, it is never more than so many actions ahead of what can be
retrieved, and so publishes what the system can do. Each record's Kafka timestamp is the moment it
was handed to the client (CreateTime).
"""

from __future__ import annotations

import itertools
import json
import sys
import time

import httpx
from confluent_kafka import Producer

from benchmarks.streams.deployment import applied
from benchmarks.streams.traffic import movielens_like, records_of

__all__ = ["main"]

_SLICE_SECONDS = 0.005
#: Published again and again: a fence is by offset, so that none is a duplicate.
_RECORDS = 300_000


def main() -> None:
    """Publish; print a line when it begins, and at the end what was done as JSON.

    Its argument is JSON: ``bootstrap``, ``topic``, ``seconds``; ``rate`` in actions a second, or
    ``ahead`` with the ``url`` of the retrieval service.
    """
    given = json.loads(sys.argv[1])
    records = list(records_of(movielens_like(_RECORDS)))
    producer = Producer(
        {
            "bootstrap.servers": given["bootstrap"],
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 5,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    producer.list_topics(given["topic"], timeout=30)  # connected before the clock starts
    seconds = float(given["seconds"])
    with httpx.Client(base_url=given.get("url", "")) as http:
        before = applied(http) if "ahead" in given else 0

        def due(elapsed: float) -> int:
            if "ahead" in given:
                return int(applied(http)) - before + int(given["ahead"])
            return int(float(given["rate"]) * elapsed) + 1

        print("started", flush=True)
        started = time.perf_counter()
        endless = itertools.cycle(records)
        sent, latest = 0, 0.0
        while (elapsed := time.perf_counter() - started) < seconds:
            now = due(elapsed) - sent
            if "rate" in given:
                latest = max(latest, elapsed - sent / float(given["rate"]))
            for key, value in itertools.islice(endless, max(0, now)):
                producer.produce(given["topic"], value, key)
            sent += max(0, now)
            producer.poll(0)
            time.sleep(_SLICE_SECONDS)
        took = time.perf_counter() - started
    left = producer.flush(60)
    print(json.dumps({"sent": sent - left, "rate": sent / took, "latest_seconds": latest}))


if __name__ == "__main__":
    main()

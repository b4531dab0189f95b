"""Publishes actions at an even pace, whatever becomes of them.

An open loop in a process of its own: it never waits for the system that is measured. Each record's
Kafka timestamp is the moment it was handed to the client (CreateTime).
"""

from __future__ import annotations

import json
import sys
import time

from confluent_kafka import Producer

from benchmarks.streams.traffic import movielens_like, records_of

__all__ = ["main"]

_SLICE_SECONDS = 0.005


def main() -> None:
    """Publish; print a line when it begins, and at the end what was done as JSON."""
    given = json.loads(sys.argv[1])
    rate, seconds = float(given["rate"]), float(given["seconds"])
    records = list(records_of(movielens_like(int(rate * seconds))))
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
    print("started", flush=True)
    started = time.perf_counter()
    sent, latest = 0, 0.0
    while sent < len(records):
        elapsed = time.perf_counter() - started
        due = min(len(records), int(rate * elapsed) + 1)
        latest = max(latest, elapsed - sent / rate)
        for key, value in records[sent:due]:
            producer.produce(given["topic"], value, key)
        sent = due
        producer.poll(0)
        time.sleep(_SLICE_SECONDS)
    took = time.perf_counter() - started
    left = producer.flush(60)
    print(json.dumps({"sent": sent - left, "rate": sent / took, "latest_seconds": latest}))


if __name__ == "__main__":
    main()

"""confluent-kafka (librdkafka) without a framework: fetch and count."""

from confluent_kafka import Consumer
from meter import Meter, arguments

given = arguments()
meter = Meter(given["progress"])
consumer = Consumer(
    {
        "bootstrap.servers": given["bootstrap"],
        "group.id": given["group"],
        "auto.offset.reset": "earliest",
    }
)
consumer.subscribe([given["topic"]])
while True:
    meter.add(len(consumer.consume(10_000, 0.5)))

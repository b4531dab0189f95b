"""Kafka in and out: the wire format, topics, publishers, and the Faust worker.

Importing this package loads neither faust nor a Kafka client.
"""

from __future__ import annotations

from streams.decode import Limits
from streams.errors import RejectReason, StreamsError
from streams.schema import Action, Item

__all__ = ["Action", "Item", "Limits", "RejectReason", "StreamsError"]

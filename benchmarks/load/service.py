"""``python -m benchmarks.load.service``: the retrieval service on made-up data, without Kafka.

All of it but the encoder and the broker is what ``tidemark retrieval`` runs: the records of the two
topics come from memory, texts are encoded by hashing. Profiles go on being written meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import uvicorn
from prometheus_client import CollectorRegistry

from encoders import HashingEncoder
from store.follower import Follower
from store.generations import Generation, Generations
from store.indexes.factory import make_index
from store.item_vector import ItemVector
from store.metrics import PrometheusSensor
from store.owner import IndexOwner
from store.profile import Contribution, ProfileState, encode_profile
from store.ranking.learner import Learner
from store.ranking.sampling import CHANGES_AT_ONCE
from store.ranking.warm_up import warm_up as warm_up_ranking
from store.ranking.words import WORDS
from store.sensor import SwitchedSensor
from store.service import create_app
from store.state_scan import warm_up
from store.view import RetrievalView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from store.receipt import ForgetReceipt

__all__ = ["MadeUpTail"]

# As `tidemark.cli.services` has it, and before FAISS begins a thread.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

DIM = 384
_BATCH = 2_000
_POLL_SECONDS = 0.05
#: Items lie around so many directions, as films do around genres.
_TOPICS = 50
_SEEN, _CONTRIBUTIONS = 20, 10
#: Changed profiles are made before and only marked anew when their turn comes: making them would
#: take the time of the service, in whose process this is. The marks are what stands for version and
#: time in the pool, numbers that take as many bytes as those that replace them.
_POOL = 50_000  # at most
_VERSION, _FRESH = 0x7A5C3E19, 0x1122334455667788
_VERSION_BYTES, _FRESH_BYTES = _VERSION.to_bytes(4, "big"), _FRESH.to_bytes(8, "big")


@dataclass(frozen=True, slots=True)
class _Record:
    topic: str
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes | None]] = ()
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


class MadeUpTail:
    """A `store.follower.RecordSource`: items, then profiles, then profiles that change.

    Args:
        encoder_id: whose vectors they are said to be.
        profiles: how many.
        items: how many.
        writes: profiles a second that change once all are there.
        seed: of everything drawn.
    """

    waiting_for = None

    def __init__(
        self, encoder_id: str, *, profiles: int, items: int, writes: int, seed: int = 1
    ) -> None:
        self._encoder = encoder_id
        self._random = np.random.default_rng(seed)
        self._topics = _units(self._random.standard_normal((_TOPICS, DIM), dtype=np.float32))
        self._counts = {"item-vectors": items, "profiles": profiles}
        self._made = dict.fromkeys(self._counts, 0)
        self._writes = writes
        self._version = 1 << 24
        self._turns = itertools.count()
        self._pool: list[_Record] = []
        self._due = 0.0

    async def start(self) -> None:
        """Nothing to connect to."""

    async def stop(self) -> None:
        """Nothing to disconnect from."""

    def positions(self) -> dict[tuple[str, int], int]:
        """No snapshots are made."""
        return {}

    def lag(self) -> int | None:
        """Records still to be made up before all are there."""
        return sum(self._counts.values()) - sum(self._made.values())

    async def poll(self) -> Sequence[_Record]:
        """The next records."""
        for topic, count in self._counts.items():
            start = self._made[topic]
            if start < count:
                self._made[topic] = min(start + _BATCH, count)
                numbers = np.arange(start, self._made[topic])
                return self._items(numbers) if topic == "item-vectors" else self._states(numbers)
        if not self._pool:
            users = self._random.permutation(self._counts["profiles"])[:_POOL]
            self._pool = self._states(users, _VERSION, _FRESH)
        now = time.monotonic()
        self._due = max(self._due, now - 1.0)  # after a stop the lost writes are not made up for
        wait = self._due + _POLL_SECONDS - now
        if wait > 0:
            await asyncio.sleep(wait)
        self._due += _POLL_SECONDS
        return self._changed(int(self._writes * _POLL_SECONDS))

    def _changed(self, count: int) -> list[_Record]:
        """The next of the pool, as new versions published now."""
        self._version += 1
        version = self._version.to_bytes(4, "big")
        fresh = (time.time_ns() // 1_000_000).to_bytes(8, "big")
        taken = [next(self._turns) % len(self._pool) for _ in range(count)]
        return [
            _Record(
                one.topic,
                one.key,
                one.value.replace(_VERSION_BYTES, version).replace(_FRESH_BYTES, fresh),
            )
            for one in (self._pool[at] for at in taken)
        ]

    def _vectors(self, count: int) -> NDArray[np.float32]:
        """Around the topics, at about the cosines that texts of one genre have."""
        centres = self._topics[self._random.integers(0, _TOPICS, count)]
        noise = _units(self._random.standard_normal((count, DIM), dtype=np.float32))
        return _units(centres + noise)

    def _items(self, numbers: NDArray[np.int64]) -> list[_Record]:
        return [
            _Record(
                "item-vectors",
                f"i{number}".encode(),
                msgspec.msgpack.encode(
                    ItemVector(
                        encoder=self._encoder,
                        dim=DIM,
                        vector=vector.tobytes(),
                        title=f"Item number {number}",
                        categories=(f"genre-{number % 20}",),
                    )
                ),
            )
            for number, vector in zip(numbers.tolist(), self._vectors(len(numbers)), strict=True)
        ]

    def _states(
        self, numbers: NDArray[np.int64], version: int = 1, fresh_from: int = 0
    ) -> list[_Record]:
        seen = self._random.integers(0, self._counts["item-vectors"], (len(numbers), _SEEN))
        now = time.time_ns() // 1_000_000
        records = []
        for number, vector, row in zip(
            numbers.tolist(), self._vectors(len(numbers)), seen.tolist(), strict=True
        ):
            ids = list(dict.fromkeys(f"i{one}" for one in row))
            latest = [Contribution("view", one, 0.9, 0.3) for one in ids[-_CONTRIBUTIONS:]]
            state = ProfileState(
                encoder=self._encoder,
                policy="constant k=0.9",
                dim=DIM,
                vector=vector.tobytes(),
                count=50,
                last_ts=now,
                partition=0,
                applied={"actions": version},
                fresh_from=fresh_from,
                contributions=latest,
                seen=ids,
            )
            records.append(_Record("profiles", f"u{number}".encode(), encode_profile(state)))
        return records


def _units(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    units: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return units.astype(np.float32)


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load.service", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--profiles", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--writes", type=int, default=5_000)
    given = parser.parse_args()
    warm_up()
    encoder = HashingEncoder(DIM)
    registry = CollectorRegistry()
    sensor = PrometheusSensor(registry)
    warm_up_ranking(DIM)
    view = RetrievalView(
        DIM,
        encoder.encoder_id,
        lambda dim, _: make_index("faiss", dim),
        sensor=sensor,
        learner=Learner(DIM, words=HashingEncoder(WORDS)),
        learned_at_once=CHANGES_AT_ONCE,
        rank="blend",
    )
    tail = MadeUpTail(
        encoder.encoder_id, profiles=given.profiles, items=given.items, writes=given.writes
    )

    async def encode(text: str) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = encoder.encode([text])[0]
        return vector

    async def forget(_: str) -> ForgetReceipt:
        raise ConnectionError("there is no broker to publish to")

    with IndexOwner() as owner:
        follower = Follower(tail, view, owner, sensor=sensor)
        switched = SwitchedSensor(sensor, on=True)
        serving = Generation(
            "profiles", view, follower, owner.questions, encode, switched, view.close
        )
        app = create_app(
            generations=Generations(serving),
            forget=forget,
            registry=registry,
            sensor=sensor,
        )
        # as the service does
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 10, 10)
        uvicorn.run(app, port=given.port, log_config=None, access_log=False)


if __name__ == "__main__":
    main()

"""Bytes of what a deployment keeps, for docs/sizing.md.

Run by ``python -m benchmarks.footprint``. Each in a fresh process: resident memory without pages of
files, after filling it less before. Vectors are random, since sizes do not depend on what they say.
A user "with much" has all that is kept of one by default: 200 seen items, 10 contributions, 32
event ids; one "with some" a tenth of that. The results are in benchmarks/results/footprint.json, in
bytes, with the commit and the time.
"""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from benchmarks.common.results import commit, results_folder
from benchmarks.store.fresh import in_fresh_process, own_bytes
from encoders import HashingEncoder, Templates
from store.batch import ActionBatch, Vocabulary
from store.indexes import make_index
from store.interner import Interner
from store.item_vector import ItemVector
from store.policies import Policy
from store.profile import Contribution, ProfileState, encode_profile
from store.ranking.learner import Learner
from store.ranking.words import WORDS
from store.snapshot import save_table
from store.table import Identity, Memory, ProfileTable
from store.view import RetrievalView
from streams.catalogue import Catalogue
from streams.schema import Item

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIM = 384
_ITEMS = 100_000
_TITLE = "A title of some forty letters, and a year"
_SEEN = {"with some": 20, "with much": 200}
_BATCH = 2_000


class _Record(msgspec.Struct):
    partition: int
    offset: int
    key: bytes
    value: bytes
    topic: str
    timestamp: int = 0
    headers: tuple[()] = ()


def _state(row: int, seen: int, random: np.random.Generator) -> bytes:
    items = [f"item-{one}" for one in random.choice(_ITEMS, seen, replace=False)]
    state = ProfileState(
        encoder="all-MiniLM-L6-v2:9a5ab8faeba2-256:bfloat16", policy="constant:0.9", dim=_DIM,
        vector=random.standard_normal(_DIM).astype("<f4").tobytes(), count=seen,
        last_ts=1_800_000_000_000, partition=0, applied={"actions": 1_000_000 + row},
        fresh_from=1_800_000_000_000, seen=items,
        event_ids=random.integers(1, 2**63, max(1, 32 * seen // 200)).tolist(),
        contributions=[Contribution("view", one, 0.9, 0.3) for one in items[-min(10, seen // 2) :]],
    )  # fmt: skip
    return encode_profile(state)


def record_bytes(seen: int) -> float:
    """A profile's record, beside its vector, and with its key."""
    random = np.random.default_rng(0)
    sizes = [len(_state(row, seen, random)) for row in range(200)]
    return float(np.mean(sizes)) - 4 * _DIM + len("user-1234567")


def _records(users: int, seen: int) -> Iterator[list[_Record]]:
    random = np.random.default_rng(0)
    for start in range(0, users, _BATCH):
        yield [
            _Record(0, row, f"user-{row:07d}".encode(), _state(row, seen, random), "profiles")
            for row in range(start, start + _BATCH)
        ]


def _view() -> RetrievalView:
    def make(dim: int, name: str) -> object:
        return make_index("faiss", dim, growth="sketch" if name == "profiles" else "hnsw")

    return RetrievalView(_DIM, "all-MiniLM-L6-v2:9a5ab8faeba2-256:bfloat16", make)  # type: ignore[arg-type]


def retrieval_profile_bytes(seen: int, users: int) -> float:
    """What the retrieval service holds of a user, with the vector in bfloat16."""
    warm = _view()
    for batch in _records(_BATCH, seen):
        warm.apply_profiles(batch, lambda: 0)
    warm.close()
    view = _view()
    before = own_bytes()
    for batch in _records(users, seen):
        view.apply_profiles(batch, lambda: 0)
    found = own_bytes() - before
    if view.profile_count != users:
        raise RuntimeError(f"{view.profile_count:,} of {users:,} profiles were taken")
    view.close()
    return found / users


def retrieval_item_bytes() -> float:
    """What the retrieval service holds of an item, with the vector in bfloat16; no graph yet."""
    random, encode = np.random.default_rng(0), msgspec.msgpack.Encoder().encode

    def records(count: int) -> Iterator[list[_Record]]:
        for start in range(0, count, _BATCH):
            vectors = random.standard_normal((_BATCH, _DIM)).astype("<f4")
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            yield [
                _Record(
                    0, start + row, f"item-{start + row}".encode(),
                    encode(
                        ItemVector(
                            encoder="all-MiniLM-L6-v2:9a5ab8faeba2-256:bfloat16", dim=_DIM,
                            vector=vector.tobytes(), title=f"{_TITLE} {start + row}",
                            categories=("Drama", "War"), source_offset=start + row,
                        )
                    ),
                    "item-vectors",
                )
                for row, vector in enumerate(vectors)
            ]  # fmt: skip

    warm, view = _view(), _view()
    for batch in records(_BATCH):
        warm.apply_items(batch)
    warm.close()
    before = own_bytes()
    for batch in records(_ITEMS):
        view.apply_items(batch)
    found = own_bytes() - before
    if view.item_count != _ITEMS:
        raise RuntimeError(f"{view.item_count:,} of {_ITEMS:,} items were taken")
    view.close()
    return found / _ITEMS


def ranking_item_bytes() -> float:
    """What learning how to rank holds of an item that has gone with as many as are kept."""
    random = np.random.default_rng(0)

    def filled(items: int) -> Learner:
        learner = Learner(_DIM, words=HashingEncoder(WORDS))
        for start in range(0, items, _BATCH):
            rows = random.standard_normal((_BATCH, _DIM), np.float32)
            ids = [f"item-{row}" for row in range(start, start + _BATCH)]
            learner.put_items(ids, rows, [f"{_TITLE} {one}" for one in ids])
        held = learner.items
        for counts in (held.together.counts, held.follows.counts, held.popularity.T):
            counts[:items] = 1.0
        for column in (held.first, held.users, held.liked, held.rated):
            column[:items] = 1
        return learner

    filled(_BATCH)
    before = own_bytes()
    learner = filled(_ITEMS)
    found = own_bytes() - before
    if len(learner) != _ITEMS:
        raise RuntimeError(f"{len(learner):,} of {_ITEMS:,} items were taken")
    return found / _ITEMS


def worker_item_bytes() -> float:
    """What each worker holds of an item: what it says, its code, and the text made of it."""
    codes = Interner()
    catalogue = Catalogue(Templates({}), codes)
    before = own_bytes()
    for number in range(_ITEMS):
        title = f"{_TITLE} {number}"
        catalogue.put(Item(item_id=f"item-{number}", title=title, categories=("Drama", "War")))
    catalogue.texts("item", range(_ITEMS))
    return (own_bytes() - before) / _ITEMS


def worker_profile_bytes(seen: int, users: int) -> tuple[float, float]:
    """What a worker holds of a user, and writes to its snapshot."""
    vocabulary = Vocabulary(Interner(), Interner())
    vocabulary.actions.code(b"view")
    for number in range(_ITEMS):
        vocabulary.items.code(f"item-{number}".encode())
    table = ProfileTable(0, Identity("footprint", _DIM, Policy()), Memory(), vocabulary)
    vectors = np.random.default_rng(0).standard_normal((64, _DIM)).astype(np.float32)

    def act(start: int) -> None:
        """Each of some users does one thing after the other."""
        names = b"".join(f"user-{row:07d}".encode() for row in range(start, start + _BATCH))
        rows = np.arange(_BATCH)
        for one in range(seen):
            offsets = (start * seen + one * _BATCH + rows).astype(np.int64)
            table.apply(
                "actions",
                ActionBatch(
                    users=np.frombuffer(names, np.uint8),
                    user_starts=rows.astype(np.int64) * 12,
                    user_ends=(rows + 1).astype(np.int64) * 12,
                    offsets=offsets,
                    published=np.full(_BATCH, 1_800_000_000_000, np.int64),
                    ts=np.full(_BATCH, 1_800_000_000_000 + one, np.int64),
                    actions=np.zeros(_BATCH, np.int32),
                    items=(((start + rows) * 7 + one) % _ITEMS).astype(np.int32),
                    events=(offsets + 1).astype(np.uint64),
                    weights=np.ones(_BATCH),
                    strengths=np.ones(_BATCH),
                    rows=(rows % 64).astype(np.int32),
                ),
                vectors,
            )
            table.take_changes()

    act(0)  # what a batch needs is there
    before = own_bytes()
    for start in range(_BATCH, _BATCH + users, _BATCH):
        act(start)
    found = own_bytes() - before
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table"
        save_table(table, file, {})
        return found / users, file.stat().st_size / (users + _BATCH)


def main() -> None:
    """Measure, print and write."""
    values: dict[str, float] = {}
    for how, seen in _SEEN.items():
        values[f"record beside its vector, {how}"] = record_bytes(seen)
        held, kept = in_fresh_process(worker_profile_bytes, seen, 100_000)
        values[f"worker, a profile, {how}"] = held
        values[f"worker's snapshot, a profile, {how}"] = kept
        values[f"retrieval, a profile in bfloat16, {how}"] = in_fresh_process(
            retrieval_profile_bytes, seen, 100_000 if seen < 100 else 40_000  # noqa: PLR2004 # time
        )  # fmt: skip
    values["worker, an item"] = in_fresh_process(worker_item_bytes)
    values["retrieval, an item in bfloat16"] = in_fresh_process(retrieval_item_bytes)
    values["ranking, an item"] = in_fresh_process(ranking_item_bytes)
    outcome = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "name": "footprint",
        "unit": "bytes",
        "dim": _DIM,
        "values": {name: round(value) for name, value in values.items()},
    }
    for name, value in outcome["values"].items():  # type: ignore[attr-defined]
        print(f"{name}: {value:,}")
    file = results_folder(quick=False) / "footprint.json"
    file.write_text(json.dumps(outcome, indent=1) + "\n")


if __name__ == "__main__":
    main()

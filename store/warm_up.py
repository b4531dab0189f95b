"""Compiled code ready before the first action."""

from __future__ import annotations

import numpy as np

from store.batch import ActionBatch, Pairs, Vocabulary
from store.interner import Interner, hash_bytes
from store.policies import Policy
from store.profile import Fence, encode_profile
from store.snapshot import arrays_of
from store.table import Identity, Memory, ProfileTable

__all__ = ["warm_up"]


def warm_up(dim: int) -> Pairs:
    """Load or compile all loops of the store (a second, or half a minute the first time).

    It has a table do once what tables do, with the types that they do it with.

    Returns:
        Some of the changes that a table gives, to warm up what takes them.
    """
    vocabulary = Vocabulary(Interner(), Interner())
    table = ProfileTable(0, Identity("", dim, Policy()), Memory(), vocabulary)
    vocabulary.actions.code(b"view")
    n = 200  # more than a new table has room for
    batch = ActionBatch(
        users=np.frombuffer(bytes(range(n)), np.uint8),  # read-only, as they come
        user_starts=np.arange(n, dtype=np.int64),
        user_ends=np.arange(1, n + 1, dtype=np.int64),
        offsets=np.arange(n, dtype=np.int64),
        published=np.ones(n, np.int64),
        ts=np.ones(n, np.int64),
        actions=np.zeros(n, np.int32),
        items=np.full(n, -1, np.int32),
        events=np.ones(n, np.uint64),
        weights=np.ones(n),
        strengths=np.ones(n),
        rows=np.zeros(n, np.int32),
    )
    hash_bytes(batch.users, 0, 1)
    table.apply("", batch, np.zeros((1, dim), np.float32))
    changes = table.take_changes()
    table.take_over_many([b"a"], [encode_profile(table.state("b"))])
    table.take_over("b", Fence(partition=0, applied={}, forgotten_ts=1))
    for _ in arrays_of(table.copy()):
        pass
    return changes.states[0]

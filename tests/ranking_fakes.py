"""Profiles and changes of profiles, as a learner of the ranking is told of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from store_fakes import ENCODER, RecordingSensor, profile_record

from store.profile import Contribution, ProfileState
from store.ranking.changes import Change
from store.ranking.learner import Learner
from store.ranking.pairs import NOBODY, PairTable
from store.record import RecordTally
from store.user_profile import UserProfile, read_updates

__all__ = ["DIM", "NOW", "best", "came", "counted", "learner", "profile", "unit"]

DIM = 8
NOW = 1_700_000_000_000


def unit(*values: float) -> NDArray[np.float32]:
    row = np.zeros(DIM, np.float32)
    row[: len(values)] = values
    return row / np.float32(np.linalg.norm(row))


def profile(
    seen: Sequence[str], *, count: int | None = None, strength: float = 1.0, ts: int = NOW
) -> UserProfile:
    state = ProfileState(
        encoder=ENCODER, policy="constant k=0.9", dim=DIM, vector=unit(1.0).tobytes(),
        count=len(seen) if count is None else count, last_ts=ts, partition=0,
        applied={"actions": len(seen)}, seen=list(seen),
        contributions=[Contribution("rate", one, 0.5, strength) for one in seen[-10:]],
    )  # fmt: skip
    tally = RecordTally(ENCODER, RecordingSensor())
    updates, _, _ = read_updates([profile_record("u", state)], ENCODER, DIM, tally, lambda *_: None)
    found = updates[0].profile
    assert found is not None
    return found


def came(made: Learner, seen: Sequence[str], item: str, *, learns: bool = False) -> None:
    direction = unit(1.0) if learns else None
    made.observe([Change(profile(seen), profile([*seen, item]), direction)])


def learner(items: int = 40, *, seed: int = 0, partners: int = 64) -> Learner:
    made = Learner(DIM, partners=partners, seed=seed)
    rows = np.random.default_rng(1).normal(size=(items, DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    made.put_items([f"i{at}" for at in range(items)], rows)
    return made


def best(made: Learner, seen: Sequence[str], k: int = 5, near: Sequence[str] = ()) -> list[str]:
    found = made.best(
        profile(seen), unit(1.0), near, k, NOW + 1000, lambda one: one not in set(seen)
    )
    return [item_id for item_id, _ in found]


def counted(table: PairTable, item: int) -> dict[int, float]:
    return {
        int(code): float(count)
        for code, count in zip(table.partners[item], table.counts[item], strict=True)
        if code != NOBODY
    }

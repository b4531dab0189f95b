"""What every `VectorIndex` promises of snapshots."""

from __future__ import annotations

import numpy as np
import pytest
from index_makers import Make, filled

from store.errors import VectorIndexError
from store.indexes import Filter


def test_what_a_snapshot_gave_is_restored(make: Make) -> None:
    index, keys, vectors = filled(make, 200)
    index.upsert(keys[:50], vectors[:50], [{"tenant": [str(i % 2)]} for i in range(50)])
    again = make()
    again.restore(index.snapshot())
    assert len(again) == len(index)
    wanted = Filter(fields={"tenant": ["1"]})
    for where in (Filter(), wanted):
        for one, other in zip(
            again.search(vectors[:3], 20, where), index.search(vectors[:3], 20, where), strict=True
        ):
            assert set(one.keys) == set(other.keys)
            np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
    stored, before = again.get(["k7"]).get("k7"), index.get(["k7"]).get("k7")
    assert stored is not None
    assert before is not None
    np.testing.assert_array_equal(stored, before)


def test_a_snapshot_of_some_keys_is_one_part_of_those_held(make: Make) -> None:
    index, keys, _ = filled(make)
    (part,) = index.snapshot(["k3", "nobody", "k7"])
    assert sorted(part.keys) == ["k3", "k7"]
    again = make()
    again.restore([part])
    for key in part.keys:
        stored, expected = again.get([key]).get(key), index.get([key]).get(key)
        assert stored is not None
        assert expected is not None
        np.testing.assert_array_equal(stored, expected)
    (none,) = index.snapshot([])
    assert none.keys == []
    again.restore([none])
    assert len(again) == 2 < len(keys)


def test_writes_between_the_parts_of_a_snapshot_lose_no_key(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.indexes.rows._PART_KEYS", 16)
    monkeypatch.setattr("store.indexes.milvus._PART_KEYS", 16)
    index, keys, vectors = filled(make, 100)
    parts = []
    for number, part in enumerate(index.snapshot()):
        parts.append(part)
        index.delete([keys[2 * number]])  # the last row takes its place, which was written down
        index.upsert([f"new{number}"], vectors[:1])
    again = make()
    again.restore(parts)
    assert all(key in again for key in keys if key in index)


def test_a_part_of_another_index_is_refused(make: Make) -> None:
    index, keys, _ = filled(make)
    part = next(index.snapshot())
    again = make()
    with pytest.raises(VectorIndexError, match="float3"):
        again.restore([part._replace(precision="float3")])
    with pytest.raises(VectorIndexError, match="expected"):
        again.restore([part._replace(vectors=part.vectors[:, :-1])])
    with pytest.raises(VectorIndexError, match="expected"):
        again.restore([part._replace(keys=keys[1:])])
    assert len(again) == 0

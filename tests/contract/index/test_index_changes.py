"""Any sequence of changes of a `VectorIndex`, against a plain dict."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from index_makers import MAKERS, Make, Matrix, unit

from store.indexes import Filter


class IndexMachine(RuleBasedStateMachine):
    """Random upserts, deletes and searches on one index and on a dict."""

    make: Make
    tolerance: float

    def __init__(self) -> None:
        super().__init__()
        self.index = type(self).make()
        self.oracle: dict[str, Matrix] = {}

    # few keys, so that they meet; up to 150, so that the matrix grows
    keys = st.integers(0, 150).map(str)
    key_sets = st.sets(keys, max_size=60)

    @rule(chosen=st.lists(keys, max_size=100), seed=st.integers(0, 1000))
    def upsert(self, chosen: list[str], seed: int) -> None:
        vectors = unit(len(chosen), seed)
        self.index.upsert(chosen, vectors, [{"parity": [str(int(key) % 2)]} for key in chosen])
        self.oracle.update(zip(chosen, vectors, strict=True))

    @rule(chosen=st.lists(keys, max_size=40))
    def delete(self, chosen: list[str]) -> None:
        held = {key for key in chosen if key in self.oracle}
        assert self.index.delete(chosen) == len(held)
        for key in held:
            del self.oracle[key]

    @rule(
        seed=st.integers(0, 1000),
        k=st.integers(1, 200),
        exclude=key_sets,
        parity=st.none() | st.sampled_from(["0", "1", "2"]),
        count=st.sampled_from([1, 7]),
    )
    def search(self, seed: int, k: int, exclude: set[str], parity: str | None, count: int) -> None:
        queries = unit(count, seed)
        where = Filter(exclude, {} if parity is None else {"parity": [parity]})
        hits, query = self.index.search(queries, k, where)[-1], queries[-1]
        scores = {
            key: float(vector @ query)
            for key, vector in self.oracle.items()
            if key not in exclude and (parity is None or int(key) % 2 == int(parity))
        }
        best = sorted(scores.values(), reverse=True)[:k]
        assert len(set(hits.keys)) == len(hits.keys)
        np.testing.assert_allclose(hits.scores, best, atol=self.tolerance)
        np.testing.assert_allclose(
            hits.scores, [scores[key] for key in hits.keys], atol=self.tolerance
        )

    @invariant()
    def holds_the_same_keys(self) -> None:
        assert len(self.index) == len(self.oracle)
        assert all(key in self.index for key in self.oracle)


ODD = [
    "", " ", "a'b", 'a"b', "a\\", "\\n", "a\nb", "\r\t\x00\x1f\x7f", "%_", "{x}", "a=b=c", "%3D",
    "\u2028", "爱" * 256, "😀" * 256, "é", "e\u0301", "] or true or key in [",
]  # fmt: skip


def test_keys_and_metadata_may_be_any_text(make: Make) -> None:
    index, vectors = make(), unit(len(ODD))
    index.upsert(ODD, vectors, [{"is": [text], text: ["field"]} for text in ODD])
    again = make()
    again.restore(index.snapshot())
    for text, vector in zip(ODD, vectors, strict=True):
        for one in (index, again):
            assert one.search(vector[np.newaxis], 1)[0].keys == [text]
            assert text in one
            for fields in ({"is": [text]}, {text: ["field"]}):
                assert one.search(vectors[:1], 99, Filter(fields=fields))[0].keys == [text]
            others = one.search(vectors[:1], 99, Filter(exclude={text}))[0].keys
            assert sorted([*others, text]) == sorted(ODD)
        stored = again.get([text]).get(text)
        assert stored is not None
        np.testing.assert_array_equal(stored, index.get([text]).get(text))
    assert index.delete(ODD[::2]) == len(ODD[::2])
    assert sorted(index.search(vectors[:1], 99)[0].keys) == sorted(ODD[1::2])


@pytest.mark.parametrize("name", MAKERS)
def test_any_sequence_of_changes_agrees_with_a_dict(name: str) -> None:
    make, tolerance = MAKERS[name]
    machine = type("Machine", (IndexMachine,), {"make": staticmethod(make), "tolerance": tolerance})
    case = machine.TestCase  # type: ignore[attr-defined]
    # each example makes an index, which in Milvus takes half a second
    examples = 10 if name == "milvus" else 30
    case.settings = settings(max_examples=examples, stateful_step_count=20, deadline=None)
    case("runTest").debug()

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from encoders.models.batches import equal_lengths, plan_batches

lengths = st.lists(st.integers(1, 40), max_size=60)


@given(lengths, st.integers(1, 100), st.integers(1, 4))
def test_every_text_is_in_one_batch_within_the_budget(
    sizes: list[int], budget: int, lanes: int
) -> None:
    texts = [[row] * size for row, size in enumerate(sizes)]
    batches = plan_batches(texts, budget=budget, lanes=lanes)
    rows = [row for batch in batches for row in batch.rows.tolist()]
    assert sorted(rows) == list(range(len(texts)))
    for batch in batches:
        assert len(batch.ids) <= budget or len(batch.rows) == 1
        assert batch.ids.tolist() == [token for row in batch.rows for token in texts[row]]
        assert batch.lengths.tolist() == [sizes[row] for row in batch.rows]
    all_lengths = [length for batch in batches for length in batch.lengths.tolist()]
    assert all_lengths == sorted(sizes, reverse=True)


@given(st.lists(st.integers(1, 40), min_size=8, max_size=60), st.integers(1, 4))
def test_no_lane_stands_idle(sizes: list[int], lanes: int) -> None:
    batches = plan_batches([[0] * size for size in sizes], budget=10_000, lanes=lanes)
    assert len(batches) <= lanes
    longest = max(sum(batch.lengths.tolist()) for batch in batches)
    assert longest <= sum(sizes) / lanes + max(sizes)


@given(lengths)
def test_groups_are_runs_of_equal_lengths(sizes: list[int]) -> None:
    ordered = sorted(sizes, reverse=True)
    groups = equal_lengths(np.array(ordered, np.int64))
    assert [length for _, count, length in groups for _ in range(count)] == ordered
    assert len({length for _, _, length in groups}) == len(groups)
    ends = np.cumsum([count * length for _, count, length in groups]).tolist()
    assert [start for start, _, _ in groups] == [0, *ends][: len(groups)]


def test_halves_share_out_texts_and_tokens() -> None:
    (batch,) = plan_batches([[1], [2, 2], [3, 3, 3]], budget=10)
    first, second = batch.halves()
    assert (first.ids.tolist(), first.rows.tolist()) == ([3, 3, 3], [2])
    assert (second.ids.tolist(), second.rows.tolist()) == ([2, 2, 1], [1, 0])

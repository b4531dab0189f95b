"""A cap on a user's actions and a gate for outliers: what they count, and that restarts agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_fakes import NOW, VOCABULARY, apply, weighed
from streams_fakes import DIM, IDENTITY, unit_rows

from store.errors import PolicyError
from store.profile import decode_profile, encode_profile
from store.robustness import Robustness
from store.table import Memory, ProfileTable

VECTORS = unit_rows(6)
CAP = Robustness(actions_per_minute=3)


def table_of(robustness: Robustness) -> ProfileTable:
    return ProfileTable(0, IDENTITY, Memory(), VOCABULARY, robustness)


def at(offset: int, seconds: float, row: int = 0) -> object:
    return weighed(offset, ts=NOW + int(1000 * seconds), row=row)


def test_so_many_at_once_and_one_more_for_each_share_of_a_minute() -> None:
    table = table_of(CAP)
    actions = [at(i, 0) for i in range(5)] + [at(5, 19), at(6, 21), at(7, 21)]
    assert apply(table, actions, VECTORS) == {"applied": 4, "capped": 4}  # type: ignore[arg-type]
    assert table.state("ann").count == 4


def test_another_user_is_not_capped_and_a_late_action_is_no_sooner() -> None:
    table = table_of(CAP)
    late = weighed(3, ts=NOW - 3_600_000)
    actions = [weighed(0, ts=NOW), weighed(1, ts=NOW), weighed(2, "bob", ts=NOW), late]
    assert apply(table, actions, VECTORS) == {"applied": 4}
    assert apply(table, [weighed(4, ts=NOW - 3_600_000)], VECTORS) == {"capped": 1}


@given(
    st.lists(st.tuples(st.floats(0, 120), st.integers(0, 5)), min_size=1, max_size=40),
    st.integers(0, 40),
    st.sampled_from([CAP, Robustness(outlier_deviations=1.0), Robustness(2, 0.5)]),
)
def test_a_restart_anywhere_changes_nothing(
    steps: list[tuple[float, int]], cut: int, robustness: Robustness
) -> None:
    """State and bucket are one record; what is read again is fenced or capped again."""
    actions = [at(i, seconds, row) for i, (seconds, row) in enumerate(steps)]
    whole, first, second = (table_of(robustness) for _ in range(3))
    apply(whole, actions, VECTORS)  # type: ignore[arg-type]
    apply(first, actions[:cut], VECTORS)  # type: ignore[arg-type]
    if cut:
        second.take_over("ann", decode_profile(encode_profile(first.state("ann"))))
    apply(second, actions[max(0, cut - 3) :], VECTORS)  # type: ignore[arg-type]
    mine, other = whole.state("ann"), second.state("ann")
    mine.fresh_from = other.fresh_from = 0
    assert encode_profile(mine) == encode_profile(other)


def test_an_action_unlike_all_others_counts_less_and_a_turn_is_followed() -> None:
    table = table_of(Robustness(outlier_deviations=2.0))
    vectors = np.eye(2, DIM, dtype=np.float32)
    same = [weighed(i, row=0) for i in range(20)]
    assert apply(table, same, vectors) == {"applied": 20}
    assert apply(table, [weighed(20, row=1)], vectors) == {"outlier": 1}
    last = table.state("ann").contributions[-1]
    assert 0 < last.strength < 0.2
    turned = apply(table, [weighed(21 + i, row=1) for i in range(200)], vectors)
    assert turned["applied"] > 100
    p = table.state("ann").array()
    assert p[1] > 0.9 > p[0]


def test_without_guards_nothing_is_kept_of_them() -> None:
    table = table_of(Robustness())
    assert apply(table, [weighed(i, ts=NOW) for i in range(500)], VECTORS) == {"applied": 500}
    state = table.state("ann")
    assert (state.paced, state.cos_mean, state.cos_var) == (0.0, 0.0, 0.0)
    ((_, published),) = table.take_changes().listed()
    assert published is not None
    assert b"paced" not in published


@pytest.mark.parametrize("values", [{"actions_per_minute": -1}, {"outlier_deviations": -0.5}])
def test_what_is_below_nothing_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(PolicyError, match="expected 0 or more"):
        Robustness(**values)  # type: ignore[arg-type] # wrong on purpose

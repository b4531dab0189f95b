"""What is kept of the past."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from store.dashboard.history import History, Ledger, Span

SPAN = Span(fine_ms=10_000, coarse_ms=5_000, kept_ms=60_000)


def test_a_quarter_of_an_hour_is_kept_and_what_is_older_is_coarser() -> None:
    history = History(SPAN)
    for second in range(100):
        history.add(second * 1000, {"a": float(second), "lag.records": float(second % 5)})
    columns = history.columns()
    times = columns["t"]
    assert times[-11:] == [one * 1000 for one in range(89, 100)]
    assert times == sorted(times)  # type: ignore[type-var]
    coarse = [one for one in times if one is not None and one < 89_000]
    assert 8 <= len(coarse) <= 11
    assert coarse[0] >= 34_000
    # of five values the mean; of what is a trouble the worst
    assert columns["a"][2] == 47.0
    assert set(columns["lag.records"][1:-12]) == {4.0}


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9_000),
            st.dictionaries(st.sampled_from("abc"), st.none() | st.floats(0, 9)),
        ),
        max_size=60,
    )
)
def test_all_columns_have_one_length_whatever_comes_and_goes(
    points: list[tuple[int, dict[str, float | None]]],
) -> None:
    history, t = History(SPAN), 0
    for step, values in points:
        t += step
        history.add(t, values)
    columns = history.columns()
    assert len({len(one) for one in columns.values()}) == 1
    assert all(one is not None for one in columns["t"])
    if points:
        assert columns["t"][-1] == t
        for name, value in points[-1][1].items():
            assert (columns[name][-1] is None) is (value is None)


def test_a_value_that_is_not_known_stays_so() -> None:
    history = History(SPAN)
    for second in range(40):
        history.add(second * 1000, {"a": None, "b": None if second % 2 else 1.0})
    columns = history.columns()
    assert set(columns["a"]) == {None}
    assert columns["b"][0] == 1.0  # of those that were known


def test_a_clock_that_was_set_back_begins_anew() -> None:
    history = History(SPAN)
    history.add(5_000, {"a": 1.0})
    history.add(1_000, {"a": 2.0})
    assert history.columns() == {"t": [1_000], "a": [2.0]}


def test_a_ledger_tells_what_grew_within_its_time() -> None:
    ledger = Ledger(kept=100, step=10)
    for at in range(301):
        ledger.add(float(at), {"n": float(at)})
    grown = ledger.grown({"n": 300.0, "new": 4.0})
    assert 100 <= grown["n"] <= 110
    assert grown["new"] == 4.0


def test_a_young_ledger_tells_all_since_its_beginning() -> None:
    ledger = Ledger(kept=100, step=10)
    assert ledger.grown({"n": 7.0}) == {"n": 7.0}
    ledger.add(0.0, {"n": 5.0})
    assert ledger.grown({"n": 7.0}) == {"n": 2.0}

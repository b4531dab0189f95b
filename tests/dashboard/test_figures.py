"""Rates, sums and quantiles of counters and histograms."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.dashboard.figures import Labels, Look, Window, increase, quantile
from store.dashboard.looks import Looks

INF = math.inf
BOUNDS = (0.1, 0.5, 1.0)


def look(at: float, **samples: float | Mapping[str, float]) -> Look:
    """Samples by name: a number, or numbers by the label "kind"."""
    found: dict[str, dict[Labels, float]] = {}
    for name, given_ in samples.items():
        by_kind = given_ if isinstance(given_, Mapping) else {"": given_}
        found[name] = {((("kind", kind),) if kind else ()): one for kind, one in by_kind.items()}
    return Look(at, frozenset(name.removesuffix("_total") for name in samples), found)


def timed(at: float, *counts: float) -> Look:
    """A histogram ``h`` with cumulative counts at BOUNDS and infinity."""
    bounds = [*map(str, BOUNDS), "+Inf"]
    buckets: dict[Labels, float] = {
        (("le", bound),): count for bound, count in zip(bounds, counts, strict=True)
    }
    return Look(at, frozenset({"h"}), {"h_bucket": buckets, "h_count": {(): counts[-1]}})


@pytest.mark.parametrize(
    ("q", "counts", "expected"),
    [
        (0.5, (10, 10, 10, 10), 0.05),  # spread evenly in the first bucket, from 0 on
        (0.5, (0, 10, 10, 10), 0.3),
        (1.0, (0, 10, 10, 10), 0.5),
        (0.9, (5, 8, 10, 10), 0.75),
        (0.0, (0, 4, 10, 10), 0.1),
        (0.99, (0, 0, 0, 10), 1.0),  # beyond the last bound: that bound
        (0.5, (0, 0, 0, 0), None),
    ],
)
def test_a_quantile_is_what_prometheus_says(
    q: float, counts: tuple[float, ...], expected: float | None
) -> None:
    found = quantile(q, list(zip((*BOUNDS, INF), counts, strict=True)))
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_histogram_without_finite_bounds_has_no_quantile() -> None:
    assert quantile(0.5, [(INF, 10)]) is None
    assert quantile(0.5, []) is None


def test_a_first_bound_at_or_below_zero_is_itself_the_answer() -> None:
    assert quantile(0.2, [(-1.0, 5), (1.0, 10), (INF, 10)]) == -1.0


@given(
    values=st.lists(st.floats(0, 2), min_size=1, max_size=60),
    qs=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_quantiles_ascend_and_lie_in_the_bucket_of_the_true_one(
    values: list[float], qs: tuple[float, float]
) -> None:
    buckets = [(bound, float(sum(one <= bound for one in values))) for bound in (*BOUNDS, INF)]
    low, high = (quantile(q, buckets) for q in sorted(qs))
    assert low is not None
    assert high is not None
    assert low <= high <= BOUNDS[-1]
    rank = max(1, math.ceil(max(qs) * len(values)))
    true = sorted(values)[rank - 1]
    bound = next(one for one in (*BOUNDS, INF) if true <= one)
    below = max((one for one in (0.0, *BOUNDS) if one < bound), default=0.0)
    assert below <= high <= min(bound, BOUNDS[-1]) + 1e-9


def test_a_counter_that_began_anew_counts_from_zero() -> None:
    assert increase(100, 130) == 30
    assert increase(100, 7) == 7
    assert increase(None, 7) == 7


@given(st.lists(st.integers(0, 50), min_size=2, max_size=20), st.integers(0, 19))
def test_increases_add_up_across_a_restart(steps: list[int], restart: int) -> None:
    """Whatever was counted is told once: also where the process began anew in between."""
    counter, told, before = 0, 0.0, 0.0
    for at, step in enumerate(steps):
        if at == restart and step > 0:
            counter, before_restart = 0, before
            before = before_restart if step < before_restart else 0.0
        counter += step
        told += increase(before, counter)
        before = counter
    assert told == sum(steps)


def test_rates_are_summed_over_processes_and_by_label() -> None:
    window = Window(
        {
            "a": (look(0, n_total={"x": 0, "y": 5}), look(10, n_total={"x": 20, "y": 5})),
            "b": (look(0, n_total={"x": 100}), look(5, n_total={"x": 110})),
        }
    )
    assert window.rate("n_total") == pytest.approx(4)
    assert window.rate("n_total", kind="y") == 0
    assert window.rates("n_total", "kind") == {"x": 4, "y": 0}
    assert window.among({"a"}).rate("n_total") == 2
    assert window.totals("n_total", "kind") == {"x": 130, "y": 5}


def test_what_nobody_reports_is_none_and_what_was_not_counted_yet_is_zero() -> None:
    reported = Look(1, frozenset({"n"}))  # a counter with labels, none of them seen
    window = Window({"a": (Look(0, frozenset({"n"})), reported)})
    assert window.rate("n_total") == 0
    assert window.rates("n_total", "kind") == {}
    assert window.total("n_total") == 0
    assert window.totals("n_total", "kind") == {}
    for name in ("other_total", "other"):
        assert not window.reported(name)
        assert window.rate(name) is None
        assert window.rates(name, "kind") is None
        assert window.total(name) is None
        assert window.highest(name) is None
        assert window.mean(name) is None
        assert window.quantile(name, 0.5) is None


def test_before_the_second_look_there_is_no_rate() -> None:
    window = Window({"a": (None, look(1, n_total=5))})
    assert window.rate("n_total") is None
    assert window.total("n_total") == 5


def test_a_quantile_of_several_processes_is_that_of_all_their_values() -> None:
    window = Window(
        {
            "a": (timed(0, 5, 5, 5, 5), timed(1, 15, 15, 15, 15)),
            "b": (timed(0, 0, 0, 0, 0), timed(1, 0, 0, 10, 10)),
        }
    )
    assert window.quantile("h", 0.5) == pytest.approx(0.1)
    assert window.quantile("h", 0.75) == pytest.approx(0.75)
    assert window.rate("h_count") == 20


def test_shares_and_means() -> None:
    before = look(0, hit_total=0, miss_total=0, size_sum=0, size_count=0)
    now = look(2, hit_total=30, miss_total=10, size_sum=100, size_count=4)
    window = Window({"a": (before, Look(2, now.families | {"size"}, now.samples))})
    assert window.share("hit_total", "miss_total") == 0.75
    assert window.share("hit_total", "absent_total") is None
    assert window.mean("size") == 25
    assert Window({"a": (now, now)}).share("hit_total", "miss_total") is None


def test_a_window_reaches_back_so_far_and_not_much_further() -> None:
    looks = Looks(kept=30)
    for at in range(0, 101, 2):
        looks.add("a", look(at, n_total=at))
    assert looks.window(5).rate("n_total") == pytest.approx(1)
    assert looks.window(1000).rate("n_total") == pytest.approx(1)
    rare = Looks(kept=30)
    for at in (0, 100):
        rare.add("a", look(at, n_total=2 * at))
    assert rare.window(5).rate("n_total") == 2  # there is nothing nearer
    rare.add("a", look(100, n_total=999))  # the same look again
    assert rare.window(5).total("n_total") == 200
    rare.keep({"b"})
    assert rare.window(5).total("n_total") is None

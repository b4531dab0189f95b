"""What is told of the profiles' quality while they serve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from store_fakes import (
    DIM,
    NOW,
    FakeRecord,
    RecordingSensor,
    item_record,
    make_state,
    make_view,
    profile_record,
)

from store.errors import VectorIndexError
from store.profile import Contribution
from store.ranking.learner import Learner
from store.view import RetrievalView


class Sensor(RecordingSensor):
    def __init__(self) -> None:
        super().__init__()
        self.drifts: list[float] = []
        self.trials: list[Mapping[str, bool]] = []

    def on_drift(self, drift: NDArray[np.float64]) -> None:
        self.drifts += drift.tolist()

    def on_trial(self, hits: Mapping[str, bool]) -> None:
        self.trials.append(hits)


@pytest.fixture
def sensor() -> Sensor:
    return Sensor()


@pytest.fixture
def view(sensor: Sensor) -> RetrievalView:
    """Twenty items around the circle of the first two axes, ``i0`` at the first axis."""
    view = make_view(sensor, watched_per_second=10.0)
    view.apply_items([item_record(f"i{n}", vector=on_circle(n * 9)) for n in range(20)])
    view.live = True
    return view


def on_circle(degrees: float) -> NDArray[np.float32]:
    vector = np.zeros(4, np.float32)
    vector[:2] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return vector


def state(
    user: str, count: int, degrees: float, *latest: tuple[str | None, float], seen: str = ""
) -> FakeRecord:
    """A user's state after so many actions, the latest of which are told."""
    found = make_state(
        on_circle(degrees),
        offset=count,
        seen=seen.split(),
        contributions=[Contribution("view", item, 0.5, strength) for item, strength in latest],
    )
    return profile_record(user, msgspec.structs.replace(found, count=count))


def told(view: RetrievalView, *records: FakeRecord, at: int = NOW) -> None:
    view.apply_profiles(records, lambda: at)


def test_an_item_that_was_near_is_a_hit_and_one_that_was_far_is_none(
    view: RetrievalView, sensor: Sensor
) -> None:
    told(view, state("ann", 1, 0, ("i0", 1.0), seen="i0"))
    assert sensor.trials == []  # nothing was known of her before
    told(view, state("ann", 2, 4, ("i0", 1.0), ("i3", 1.0), seen="i0 i3"))
    told(view, state("ann", 3, 8, ("i3", 1.0), ("i19", 1.0), seen="i0 i3 i19"))
    assert [one["profile"] for one in sensor.trials] == [True, False]
    # the cosine of 4 degrees, twice; in the index vectors may be rounded
    assert sensor.drifts == pytest.approx([1 - np.cos(np.radians(4))] * 2, abs=1e-4)


def test_popularity_is_held_against_the_same_items(view: RetrievalView, sensor: Sensor) -> None:
    others = [state(f"u{n}", 1, 90, ("i19", 1.0), seen="i19 i18") for n in range(5)]
    told(view, *others, state("ann", 1, 0, ("i0", 1.0), seen="i0"))
    assert view.popularity.count("i19") == 5  # counted by now
    later = NOW + 60_000
    told(view, state("ann", 2, 4, ("i19", 1.0), seen="i0 i19"), at=later)
    assert sensor.trials == [{"served": False, "profile": False, "popularity": True}]


def test_the_blend_is_asked_before_it_learns_of_the_action(sensor: Sensor) -> None:
    """Whoever has seen i0 goes on to i19, on the other side: nobody before the first one does."""
    view = make_view(sensor, learner=Learner(DIM, partners=16), rank="blend")
    view.apply_items([item_record(f"i{n}", vector=on_circle(n * 9)) for n in range(20)])
    view.live = True
    for n in range(9):
        told(view, state(f"u{n}", 1, 0, ("i0", 1.0), seen="i0"), at=NOW + 2_000 * n)
        later = state(f"u{n}", 2, 0, ("i0", 1.0), ("i19", 1.0), seen="i0 i19")
        told(view, later, at=NOW + 2_000 * n + 1_000)
    assert [one["profile"] for one in sensor.trials] == [False] * 9
    assert not sensor.trials[0]["served"]
    assert sensor.trials[-1]["served"]


@pytest.mark.parametrize(
    ("count", "latest", "seen"),
    [
        (2, [("i3", -0.25)], "i0 i3"),  # disliked
        (2, [(None, 1.0)], "i0"),  # a search
        (2, [("i0", 1.0)], "i0"),  # seen before: it is not retrieved
        (2, [("elsewhere", 1.0)], "i0 elsewhere"),  # not in the catalogue
        (9, [("i3", 1.0)], "i0 i3"),  # the first of many, of which the last alone is told
        (1, [("i3", 1.0)], "i0 i3"),  # nothing new
    ],
)
def test_what_says_nothing_is_no_trial(
    view: RetrievalView, sensor: Sensor, count: int, latest: list[Any], seen: str
) -> None:
    told(view, state("ann", 1, 0, ("i0", 1.0), seen="i0"))
    told(view, state("ann", count, 4, *latest, seen=seen))
    assert sensor.trials == []


def test_of_several_at_once_the_first_is_asked(view: RetrievalView, sensor: Sensor) -> None:
    told(view, state("ann", 1, 0, ("i0", 1.0), seen="i0"))
    told(view, state("ann", 3, 4, ("i0", 1.0), ("i3", 1.0), ("i19", 1.0), seen="i0 i3 i19"))
    assert [one["profile"] for one in sensor.trials] == [True]


def test_the_history_is_no_trial(view: RetrievalView, sensor: Sensor) -> None:
    view.live = False
    told(view, state("ann", 1, 0, ("i0", 1.0), seen="i0"))
    told(view, state("ann", 2, 4, ("i0", 1.0), ("i3", 1.0), seen="i0 i3"))
    assert (sensor.trials, sensor.drifts) == ([], [])


def test_so_many_are_watched_a_second_and_no_more(view: RetrievalView, sensor: Sensor) -> None:
    def all_at(count: int) -> list[FakeRecord]:
        return [state(f"u{n}", count, count, ("i3", 1.0), seen="i3") for n in range(100)]

    told(view, *all_at(1))  # takes what a second allows: nobody knows who is new
    told(view, *all_at(2))
    assert sensor.drifts == []
    told(view, *all_at(3), at=NOW + 500)
    assert len(sensor.drifts) == 5
    told(view, *all_at(4), at=NOW + 60_000)
    assert len(sensor.drifts) == 15


def test_a_sample_that_fails_does_not_stop_what_is_followed(
    view: RetrievalView, sensor: Sensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(view, state("ann", 1, 0, ("i0", 1.0), seen="i0"))

    def broken(*_: object) -> list[str]:
        raise VectorIndexError("the index does not answer")

    monkeypatch.setattr(view._quality, "_search", broken)  # noqa: SLF001
    told(view, state("ann", 2, 4, ("i0", 1.0), ("i3", 1.0), seen="i0 i3"))
    assert sensor.trials == []
    assert view.profile("ann").count == 2

"""What a snapshot keeps of the ranking."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from ranking_fakes import DIM, best, came, counted, learner, unit

from store.ranking.image import parts_of_learner, put_part
from store.ranking.learner import Learner


def test_a_learner_put_back_from_its_parts_is_the_same() -> None:
    made = learner(2_500)
    for at in range(300):
        came(made, [f"i{at}", f"i{at + 1}"], f"i{(7 * at) % 2_500}", learns=True)
    parts = list(parts_of_learner(made))
    assert len(parts) == 3
    other = Learner(DIM, partners=64)
    assert all(put_part(other, part) for part in parts)
    other.put_items(made.ids(0, 2_500), made.items.vectors[:2_500])
    assert other.weights() == made.weights()
    assert np.array_equal(other.blend.maps, made.blend.maps)
    assert made.blend.maps.any()
    assert best(other, ["i3", "i4"], 20) == best(made, ["i3", "i4"], 20)


def test_items_that_came_while_it_was_written_leave_no_loose_ends() -> None:
    made = learner(1_100)
    parts = parts_of_learner(made)
    first = next(parts)
    made.put_items(["late"], unit(1.0)[np.newaxis])
    came(made, ["i1050"], "late")
    rest = list(parts)
    other = Learner(DIM, partners=64)
    for part in (first, *rest):
        put_part(other, part)
    assert len(other) == 1_100
    assert other.items.together.partners[:1_100].max() < 1_100
    assert other.items.follows.partners[:1_100].max() < 1_100


def test_behind_a_part_that_was_left_out_the_others_are_left_too() -> None:
    made = learner(2_500)
    for at in range(300):
        came(made, [f"i{at}", f"i{at + 1}"], f"i{(7 * at) % 2_500}")
    first, middle, last = parts_of_learner(made)
    other = Learner(DIM, partners=64)
    broken = msgspec.structs.replace(middle, columns={**middle.columns, "users": b""})
    assert [put_part(other, part) for part in (first, broken, last)] == [True, False, False]
    assert len(other) == len(first.ids)
    for table in (other.items.together, other.items.follows):
        assert 0 < table.partners.max() < len(other)


def test_in_a_wider_table_all_that_was_learned_is_put_back() -> None:
    made = learner(partners=64)
    for at in range(30):
        came(made, ["i0"], f"i{at + 1}", learns=True)
    (part,) = parts_of_learner(made)
    other = Learner(DIM, partners=128)
    assert put_part(other, part)
    np.testing.assert_array_equal(other.blend.weights, made.blend.weights)
    for was, now in zip(
        (made.items.together, made.items.follows),
        (other.items.together, other.items.follows),
        strict=True,
    ):
        assert all(counted(now, item) == counted(was, item) for item in range(31))


def test_in_a_narrower_table_the_most_frequent_ones_stay_as_they_were_counted() -> None:
    made = learner(200, partners=256)
    for at in range(150):
        for _ in range(1 + 60 // (at + 1)):
            came(made, ["i0"], f"i{at + 1}")
    (part,) = parts_of_learner(made)
    other = Learner(DIM, partners=64)
    assert put_part(other, part)
    was, now = (counted(one.items.together, 0) for one in (made, other))
    assert len(was) > 2 * len(now)
    assert all(now[one] == was[one] for one in now)
    frequent = sorted(was, key=lambda one: -was[one])
    assert set(frequent[:8]) <= set(now)
    assert len(now) > 50


def test_what_was_learned_of_vectors_of_another_length_is_left() -> None:
    (part,) = parts_of_learner(learner())
    other = Learner(DIM + 1, partners=64)
    assert not put_part(other, part)
    assert len(other) == 0


@pytest.mark.parametrize("name", ["users", "together.partners", "text_maps"])
def test_a_part_that_is_not_whole_is_left(name: str, caplog: pytest.LogCaptureFixture) -> None:
    (part,) = parts_of_learner(learner())
    for cut in ({name: b"1234"}, {}):
        kept = part.learned if name in part.learned else part.columns
        broken = {**{key: value for key, value in kept.items() if key != name}, **cut}
        where = "learned" if name in part.learned else "columns"
        other = Learner(DIM, partners=64)
        assert not put_part(other, msgspec.structs.replace(part, **{where: broken}))
        assert len(other) == 0
        assert f"the snapshot's has no whole {name}" in caplog.text


def test_a_part_without_a_width_is_left(caplog: pytest.LogCaptureFixture) -> None:
    (part,) = parts_of_learner(learner())
    pairs = {name: b"" for name in part.columns if "." in name}
    other = Learner(DIM, partners=64)
    broken = msgspec.structs.replace(part, width=0, columns={**part.columns, **pairs})
    assert not put_part(other, broken)
    assert len(other) == 0
    assert "the snapshot's has no whole width" in caplog.text

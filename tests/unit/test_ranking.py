"""The ranking's core: features, and what is learned."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from ranking_fakes import DIM, NOW, best, came, learner, profile, unit

from store.errors import RankingError
from store.ranking import choices, counting
from store.ranking.blend import FIRST_SCALE, FIRST_WEIGHTS, new_blend
from store.ranking.changes import Change
from store.ranking.columns import new_moment
from store.ranking.features import CONTEXTS, FEATURES, GROUPS, PRODUCTS
from store.ranking.learner import Learner
from store.ranking.pairs import NOBODY
from store.ranking.sources import going_together, partners_of
from store.ranking.warm_up import warm_up

DAY = 86_400_000


# --- the blend ---


def test_a_feature_that_there_is_not_is_refused() -> None:
    with pytest.raises(RankingError, match="there is no feature 'texts'; known: text_short, "):
        new_blend(DIM, without=("texts",))


def test_every_feature_has_a_first_weight() -> None:
    assert list(FIRST_WEIGHTS) == list(FEATURES)
    assert list(FIRST_SCALE) == list(FEATURES)
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(FEATURES)


def test_products_weigh_the_same_at_any_moment() -> None:
    product = [name in PRODUCTS for name in FEATURES]
    used = new_blend(DIM).used
    assert used[0].all()
    assert (used[1:] == ~np.array(product)).all()


# --- the learner ---


def test_what_users_came_to_after_an_item_is_suggested_to_who_has_seen_it() -> None:
    made = learner()
    for _ in range(20):
        came(made, ["i1", "i2"], "i3")
        came(made, ["i4"], "i5")
    assert best(made, ["i2"], 1) == ["i3"]
    assert best(made, ["i4"], 1) == ["i5"]


def test_an_item_that_was_seen_before_counts_no_second_time() -> None:
    made = learner()
    came(made, ["i1"], "i2")
    assert made.counted == 1
    came(made, ["i1", "i2"], "i2")
    assert made.counted == 1
    assert float(made.items.users[2]) == 1.0


def test_of_a_user_who_is_new_here_all_seen_items_count_in_their_order() -> None:
    made = learner()
    made.observe([Change(None, profile(["i1", "i2", "i3"]), None)])
    assert made.counted == 3
    assert made.items.users[1:4].tolist() == [1.0, 1.0, 1.0]
    follows = {int(code) for code in made.items.follows.partners[1] if code != NOBODY}
    assert follows == {2, 3}
    assert not (made.items.follows.partners[3] != NOBODY).any()


def test_items_that_the_catalogue_does_not_have_are_passed_over() -> None:
    made = learner()
    came(made, ["gone", "i1"], "gone too")
    came(made, ["gone", "i1"], "i2")
    assert made.counted == 1


def test_nothing_is_learned_from_what_was_not_liked_or_has_no_past() -> None:
    made = learner()
    before, now = profile(["i1"]), profile(["i1", "i2"], strength=0.2)
    made.observe([Change(before, now, unit(1.0))])
    made.observe([Change(profile([], count=1), profile(["i3"], count=2), unit(1.0))])
    assert (made.counted, made.learned) == (2, 0)
    came(made, ["i1"], "i4", learns=True)
    assert (made.counted, made.learned) == (3, 1)
    assert int(made.blend.steps[0]) == 1


def popularity_of(made: Learner) -> float:
    weights = made.weights()
    return sum(weights[name]["always"] for name in FEATURES if name.startswith("popular_"))


def test_weights_learn_what_foretells_and_change_by_bounded_steps() -> None:
    """Users always take what is most popular: popularity is to weigh more, by small steps."""
    made = learner(200)
    for _ in range(30):
        came(made, ["i1"], "i7")
    begun = popularity_of(made)
    random = np.random.default_rng(3)
    for _ in range(300):
        before = made.blend.weights.copy()
        came(made, [f"i{random.integers(8, 200)}"], "i7", learns=True)
        assert np.abs(made.blend.weights - before).max() <= 0.03 + 1e-9
    assert made.learned == 300
    assert popularity_of(made) > begun + 0.2


def test_a_spread_of_zero_at_the_beginning_freezes_no_weight() -> None:
    made = learner(200)
    for _ in range(50):
        came(made, ["i1"], "i2", learns=True)
    assert np.isfinite(made.blend.weights).all()
    assert (made.blend.squares[0] < 1e3).all()


def test_the_same_stream_gives_the_same_weights_to_the_bit() -> None:
    one, other = learner(100), learner(100)
    for made in (one, other):
        for at in range(50):
            came(made, [f"i{at}", f"i{at + 1}"], f"i{at + 2}", learns=True)
    assert one.blend.weights.tobytes() == other.blend.weights.tobytes()
    assert best(one, ["i3"]) == best(other, ["i3"])


@pytest.mark.parametrize("late", [100 * DAY, 600 * DAY, NOW - NOW // 1000])
def test_an_action_of_long_ago_does_no_harm_to_what_was_learned(late: int) -> None:
    made, punctual = learner(), learner()
    for one in (made, punctual):
        for at in range(150):
            came(one, [f"i{at % 10}"], f"i{10 + at % 30}", learns=True)
    before = profile(["i1"], ts=NOW - late - 5)
    made.observe([Change(before, profile(["i1", "i2"], ts=NOW - late), unit(1.0))])
    came(punctual, ["i1"], "i2", learns=True)
    assert made.learned == punctual.learned == 151
    for name in ("mean", "variance"):
        ours, theirs = getattr(made.blend.scale, name), getattr(punctual.blend.scale, name)
        assert ours == pytest.approx(theirs, rel=0.05, abs=0.05)
    assert made.items.popularity == pytest.approx(punctual.items.popularity, abs=1.0)
    assert np.isfinite(made.blend.weights).all()


def test_an_item_that_comes_twice_at_once_counts_once_for_the_mean() -> None:
    made, other = learner(), learner()
    rows = np.stack([unit(1.0), unit(0.0, 1.0)])
    made.put_items(["i1", "i1"], rows)
    other.put_items(["i1"], rows[1:])
    made.remove_items(["i3", "i3"])
    other.remove_items(["i3"])
    for one in (made, other):
        one.put_items([f"more{at}" for at in range(20)], np.tile(unit(1.0), (20, 1)))
    assert made.items.mean == pytest.approx(other.items.mean)
    assert made.items.vectors[1] == pytest.approx(rows[1])


def test_more_items_than_there_was_room_for_change_nothing_of_the_others() -> None:
    made = learner(40)
    for _ in range(20):
        came(made, ["i2"], "i3")
    rows = np.tile(unit(0.0, 1.0), (3_000, 1))
    made.put_items([f"new{at}" for at in range(3_000)], rows)
    came(made, ["new2999"], "new2998")
    assert best(made, ["i2"], 1) == ["i3"]
    assert best(made, ["new2999"], 40)[0:1] != []
    assert float(made.items.users[made.ids(0, 10**6).index("new2998")]) == 1.0


def test_popularity_fades_by_its_half_lives_also_after_years() -> None:
    made = learner()
    years = 5 * 365 * DAY
    made.observe([Change(profile(["i1"]), profile(["i1", "i2"]), None)])
    first = made.items.popularity[:, 2].copy()
    made.observe([Change(profile(["i1"]), profile(["i1", "i3"], ts=NOW + years), None)])
    assert np.isfinite(made.items.popularity).all()
    # of the year's popularity 2^-5 is left, of that of hours nothing
    ratio = made.items.popularity[3, 2] / made.items.popularity[3, 3]
    assert ratio == pytest.approx(2.0**-5)
    assert made.items.popularity[0, 2] < 1e-300
    assert (first > 0).all()


def test_a_log_of_long_ago_is_ranked_as_of_its_own_time() -> None:
    made = learner()
    for _ in range(20):
        came(made, ["i1"], "i7")
    then, now = NOW, NOW + 20 * 365 * DAY
    asked = (profile(["i2"]), unit(1.0), ["i7", "i8"], 2)
    at_its_time = made.best(*asked, then, lambda _: False)
    assert made.best(*asked, now, lambda _: False) == at_its_time
    assert at_its_time[0][0] == "i7"


def test_what_was_removed_is_suggested_no_more_and_comes_back_as_it_was() -> None:
    made = learner()
    for _ in range(20):
        came(made, ["i2"], "i3")
    made.remove_items(["i3", "never there"])
    held = {f"i{at}" for at in range(40)} - {"i3"}
    found = made.best(profile(["i2"]), unit(1.0), [], 3, NOW, held.__contains__)
    assert "i3" not in [one for one, _ in found]
    made.put_items(["i3"], unit(0.5, 0.5)[np.newaxis])
    assert best(made, ["i2"], 1) == ["i3"]


def test_choices_are_not_held_against_what_was_removed() -> None:
    """Of three items one was seen, one is taken, and there is but the third to hold it against."""
    for removed, learned in ([], 1), (["i2"], 0):
        made = learner(3)
        made.remove_items(removed)
        came(made, ["i0"], "i1", learns=True)
        assert (made.counted, made.learned) == (1, learned)


def test_texts_of_what_was_removed_say_nothing() -> None:
    """Not even where all texts are alike, and what is left of a vector without the mean is tiny."""
    made = Learner(DIM, partners=16)
    made.put_items([f"i{at}" for at in range(40)], np.tile(unit(1.0), (40, 1)))
    made.remove_items(["i38", "i39"])
    for at in range(30):
        came(made, [f"i{at % 20}", "i39"], f"i{20 + at % 10}", learns=True)
    assert made.learned == 30
    texts = [FEATURES.index(name) for name in ("text_short", "text_nearest", "text_last")]
    assert (made.blend.scale.variance[texts] < 0.1).all()
    assert max(made.text_maps().values()) < 1e-3


def test_of_what_was_removed_nothing_is_learned_though_it_is_counted() -> None:
    made = learner()
    made.remove_items(["i3"])
    came(made, ["i2"], "i3", learns=True)
    assert (made.counted, made.learned) == (1, 0)


def test_no_items_are_no_news() -> None:
    made = Learner(DIM, partners=16)
    made.put_items([], np.zeros((0, DIM), np.float32))
    assert np.isfinite(made.items.mean).all()


def test_scores_are_the_weights_times_the_features() -> None:
    """Of one item whose features can be said by hand: nothing is known of it but its text."""
    made = learner(2)
    (found,) = made.best(profile([], count=0), unit(1.0), ["i1"], 1, NOW, lambda _: False)
    vector, mean = made.items.vectors[1], made.items.mean
    along = float(unit(1.0) @ mean) / float(mean @ mean)
    rest = unit(1.0) - np.float32(along) * mean
    rest /= np.linalg.norm(rest)
    values = dict.fromkeys(FEATURES, 0.0)
    values["text_long"] = float(vector @ rest) / float(made.items.lengths[1])
    for name in ("popular_hours", "popular_days", "popular_month", "popular_year"):
        values[name] = math.log(0.3)
    values["age"] = math.log(2000.5)
    values["together"] = values["follows"] = values["together_far"] = math.log(0.01)
    values["together_lift"] = values["next"] = math.log(0.003)
    wanted = 0.0
    for name, value in values.items():
        middle, deviation = FIRST_SCALE[name]
        wanted += FIRST_WEIGHTS[name] * max(-6.0, min(6.0, (value - middle) / deviation))
    assert found[1] == pytest.approx(wanted, abs=1e-4)


def test_a_product_is_of_two_features_in_standard_deviations() -> None:
    made = learner(2)
    (before,) = made.best(profile([], count=0), unit(1.0), ["i1"], 1, NOW, lambda _: False)
    vector, mean = made.items.vectors[1], made.items.mean
    rest = unit(1.0) - np.float32(float(unit(1.0) @ mean) / float(mean @ mean)) * mean
    cosine = float(vector @ rest) / float(np.linalg.norm(rest)) / float(made.items.lengths[1])
    wanted = 1.0
    for name, value in (("text_long", cosine), ("popular_month", math.log(0.3))):
        middle, deviation = FIRST_SCALE[name]
        wanted *= (value - middle) / deviation
    made.blend.weights[0, FEATURES.index("text_long_month")] = 0.5
    (found,) = made.best(profile([], count=0), unit(1.0), ["i1"], 1, NOW, lambda _: False)
    assert found[1] - before[1] == pytest.approx(0.5 * wanted, abs=1e-4)
    assert abs(wanted) > 0.1


def test_of_few_actions_texts_say_more_than_that_somebody_was_there() -> None:
    """What a service gives that has just begun: nothing of the user's items goes with anything."""
    made = Learner(DIM, partners=64)
    made.put_items(
        ["alien", "thing", "emma", "ball"],
        np.stack([unit(1, 0), unit(1, 0.4), unit(0, 1), unit(0.2, 1)]),
    )
    came(made, [], "emma")
    found = made.best(profile(["alien"]), unit(1.0), ["thing", "ball"], 3, NOW, lambda _: True)
    ranked = [item_id for item_id, _ in found if item_id != "alien"]
    assert ranked[0] == "thing"


def test_what_goes_with_the_latest_items_is_found_once_each() -> None:
    made = learner(500)
    for at in range(400):
        came(made, [f"i{at}", f"i{at + 1}"], f"i{(7 * at) % 500}")
    moment = new_moment(DIM, len(made.items.users), len(FEATURES), len(CONTEXTS))
    moment.recent[:3], moment.counts[0] = [7, 8, 9], 3
    for number in (1, 2):  # marks of the first do not count for the second
        found = going_together(made.items, moment, number).tolist()
        tables = (made.items.together, made.items.follows)
        wanted = [np.unique(table.partners[[7, 8, 9]]) for table in tables]
        assert sorted(found) == sorted(
            code for codes in wanted for code in codes.tolist() if code != NOBODY
        )
        assert found


def test_what_is_popular_is_looked_up_again_as_time_goes_by() -> None:
    made = learner(300)
    for at in range(60):
        came(made, [], f"i{at}")
    asker = profile([], count=0)
    first = {one for one, _ in made.best(asker, unit(1.0), [], 300, NOW, lambda _: True)}
    assert len(first) >= 50
    for _ in range(3):
        came(made, [], "i200")
    assert "i200" not in first
    before = [codes.tolist() for codes in made.popular]
    for second in range(1, 5):
        later = made.best(asker, unit(1.0), [], 300, NOW + 1_000 * second, lambda _: True)
    assert "i200" in [one for one, _ in later]
    # also with a question a second all half-lives have their turn
    for old, new in zip(before, made.popular, strict=True):
        assert 200 not in old
        assert 200 in new.tolist()


def test_contexts_and_features_have_names_of_their_own() -> None:
    names = [*FEATURES, *CONTEXTS]
    assert len(set(names)) == len(names)


def test_warming_up_leaves_nothing_to_be_compiled() -> None:
    warm_up(DIM)
    loops: list[Any] = [
        choices.open_for, choices.close_for, choices.score_for, choices.take_changes,
        counting.put_lengths, partners_of,
    ]  # fmt: skip
    before = [len(loop.signatures) for loop in loops]
    assert all(before)
    made = learner()
    made.put_items(["one more"], unit(1.0)[np.newaxis])
    came(made, ["i1"], "i2", learns=True)
    best(made, ["i1"])
    assert [len(loop.signatures) for loop in loops] == before

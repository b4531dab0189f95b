"""What texts follow what texts, as the ranking learns it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from ranking_fakes import DIM, NOW, came, profile, unit

from store.compiled import compiled
from store.ranking.blend import Blend, new_blend
from store.ranking.columns import ItemColumns, Moment, new_items, new_moment
from store.ranking.counting import put_lengths
from store.ranking.features import (
    CONTEXTS,
    FEATURES,
    PRODUCTS,
    TEXT_MAPS,
    close_moment,
    open_moment,
    put_features,
)
from store.ranking.learner import Learner
from store.ranking.text_map import MOST_DIM, RATE, REACH, new_text_maps, point, pointed_at, turn

KINDS = ("teapot", "cup", "hammer", "nail")


def shop() -> Learner:
    """Twenty things of each kind, whose texts are alike within it and not beyond."""
    made = Learner(DIM, partners=64)
    noise = np.random.default_rng(3).normal(scale=0.1, size=(4, 20, DIM)).astype(np.float32)
    vectors = noise + np.eye(4, DIM, dtype=np.float32)[:, None]
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    for kind, rows in zip(KINDS, vectors, strict=True):
        made.put_items([f"{kind}{at}" for at in range(20)], rows)
    return made


def lead_of_the_cup(made: Learner) -> float:
    """A cup over a nail that nobody took yet, for who has a teapot."""
    for at in range(200):
        came(made, [f"teapot{at % 15}"], f"cup{(at * 7) % 15}", learns=True)
        came(made, [f"hammer{at % 15}"], f"nail{(at * 7) % 15}", learns=True)
    wanted = ["cup19", "nail19"]
    found = dict(
        made.best(profile(["teapot18"]), unit(1.0), wanted, 80, NOW, lambda one: one in wanted)
    )
    return found["cup19"] - found["nail19"]


def test_what_follows_is_known_of_things_that_nobody_took_yet() -> None:
    without = shop()
    without.blend = new_blend(DIM, without=(TEXT_MAPS,))
    assert lead_of_the_cup(shop()) > lead_of_the_cup(without) + 1.0


def test_their_norms_say_whether_anything_was_learned() -> None:
    made = shop()
    assert made.text_maps() == {"text_short": 0.0, "text_last": 0.0}
    came(made, ["teapot1"], "cup1", learns=True)
    assert all(norm > 0 for norm in made.text_maps().values())


@compiled
def step(
    maps: NDArray[np.float32], items: ItemColumns, moment: Moment, drawn: NDArray[np.int32],
    errors: NDArray[np.float64], scores: NDArray[np.float64],
) -> None:  # fmt: skip
    turn(maps, items, moment, drawn, errors, drawn.shape[0])
    point(maps, moment)
    for place in range(drawn.shape[0]):
        scores[place] = pointed_at(items, moment, drawn[place])


def test_a_step_is_the_gradient_of_the_softmax_and_a_score_the_bilinear_form() -> None:
    random = np.random.default_rng(5)
    items, moment = new_items(DIM, 5, 16), new_moment(DIM, 5, len(FEATURES), len(CONTEXTS))
    items.vectors[:] = random.normal(size=(5, DIM))
    items.mean[:] = random.normal(size=DIM)
    put_lengths(items, 0, 5)
    moment.short[:], moment.last[:] = random.normal(size=(2, DIM))
    maps = random.normal(size=(2, DIM, DIM)).astype(np.float32)
    before, scores = maps.copy(), np.zeros(4)
    drawn, errors = np.array([3, 0, 4, 1], np.int32), np.array([-0.7, 0.4, 0.2, 0.1])
    step(maps, items, moment, drawn, errors, scores)
    centred = (items.vectors - items.mean) / np.linalg.norm(
        items.vectors - items.mean, axis=1, keepdims=True
    )
    moved = errors @ centred[drawn]
    wanted = before - RATE * np.stack([np.outer(moved, moment.short), np.outer(moved, moment.last)])
    assert maps == pytest.approx(wanted, abs=1e-5)
    aim = maps[0] @ moment.short + maps[1] @ moment.last
    aim *= min(1.0, REACH / np.linalg.norm(aim))
    assert scores == pytest.approx(centred[drawn] @ aim, abs=1e-4)


def test_what_they_point_to_is_bounded_however_much_was_learned() -> None:
    items, moment = new_items(DIM, 2, 16), new_moment(DIM, 2, len(FEATURES), len(CONTEXTS))
    items.vectors[:] = np.eye(2, DIM)
    put_lengths(items, 0, 2)
    moment.short[0] = moment.last[0] = 1.0
    maps = np.full((2, DIM, DIM), 1e6, np.float32)
    scores = np.zeros(2)
    step(maps, items, moment, np.array([0, 1], np.int32), np.zeros(2), scores)
    assert np.linalg.norm(moment.aim) == pytest.approx(REACH)
    assert (np.abs(scores) <= REACH).all()


def test_long_vectors_have_no_maps_and_are_ranked_all_the_same() -> None:
    assert new_text_maps(MOST_DIM).shape == (2, MOST_DIM, MOST_DIM)
    dim = MOST_DIM + 1
    made = Learner(dim, partners=16)
    assert made.blend.maps.shape == (2, 0, 0)
    rows = np.zeros((3, dim), np.float32)
    rows[:, :3] = np.eye(3)
    made.put_items(["a", "b", "c"], rows)
    direction = rows[0]
    found = made.best(profile(["a"]), direction, ["b", "c"], 2, NOW, lambda _: True)
    assert {item_id for item_id, _ in found} == {"a", "b", "c"} - {"a"}
    assert made.text_maps() == {"text_short": 0.0, "text_last": 0.0}


@compiled
def features_of(
    items: ItemColumns, moment: Moment, blend: Blend, item: int, out: NDArray[np.float64]
) -> None:
    open_moment(items, moment, blend.scale, NOW)
    point(blend.maps, moment)
    put_features(items, moment, blend.scale, NOW, item, out)
    close_moment(items, moment)


def test_what_they_say_counts_by_how_well_known_an_item_is_too() -> None:
    random = np.random.default_rng(6)
    items, moment = new_items(DIM, 3, 16), new_moment(DIM, 3, len(FEATURES), len(CONTEXTS))
    items.vectors[:] = random.normal(size=(3, DIM))
    items.popularity[:] = random.uniform(1.0, 9.0, size=(4, 3))
    items.origin[0] = NOW
    put_lengths(items, 0, 3)
    moment.recent[0], moment.acts[0], moment.liked[0], moment.counts[:] = 0, 0, 1.0, 1
    blend = new_blend(DIM)
    blend.maps[:] = random.normal(size=blend.maps.shape)
    out, scores = np.zeros(len(FEATURES)), np.zeros(1)
    features_of(items, moment, blend, 2, out)
    step(blend.maps, items, moment, np.array([2], np.int32), np.zeros(1), scores)
    for name, pair in PRODUCTS.items():
        one, other = (
            scores[0]
            if factor == TEXT_MAPS
            else (out[at] - blend.scale.mean[at]) / np.sqrt(blend.scale.variance[at])
            for factor in pair
            for at in [FEATURES.index(factor) if factor in FEATURES else -1]
        )
        assert out[FEATURES.index(name)] == pytest.approx(one * other, rel=1e-5), name

"""What a score is made of."""

from __future__ import annotations

import numpy as np
import pytest
from store_fakes import X, Y, Z

from store.profile import Contribution, contribution_weights
from store.why import parts_of

VECTORS = {"x": X, "y": Y, "between": (X + Y) / np.float32(np.sqrt(2))}
#: k 0.5 each: weights 0.25·0.8, 0.5·(−0.25) and 0.5·1 … of the latest one 0.5.
ACTIONS = [
    Contribution("view", "x", 0.5, 0.8),
    Contribution("dislike", "y", 0.5, -0.25),
    Contribution("search", None, 0.5, 0.5),
    Contribution("purchase", "x", 0.5, 1.0),
    Contribution("view", "no longer held", 0.5, 0.3),
]


def test_the_parts_of_known_items_are_weight_times_cosine_best_first() -> None:
    items = np.stack([VECTORS["between"], Y, Z])
    between, second, third = parts_of(ACTIONS, VECTORS.get, items)
    weights = contribution_weights(ACTIONS)
    cosine = 2**-0.5
    assert [(one.contribution.action, one.contribution.item_id) for one in between] == [
        ("purchase", "x"),
        ("view", "x"),
        ("dislike", "y"),
        ("view", "no longer held"),
        ("search", None),
    ]
    told = between[:3]
    assert [one.weight for one in told] == [weights[3], weights[0], weights[1]]
    assert [one.cosine for one in told] == pytest.approx([cosine] * 3)
    assert [one.part for one in told] == pytest.approx([one.weight * cosine for one in told])
    amounts = sum(abs(one.weight) for one in told)
    assert [one.share for one in told] == pytest.approx([one.weight / amounts for one in told])
    assert told[2].share is not None
    assert told[2].share < 0
    assert [(one.cosine, one.part, one.share) for one in between[3:]] == [(None, None, None)] * 2
    # what is only disliked: its part is the only one, and speaks against
    assert second[-3].contribution.action == "dislike"
    assert second[-3].share == pytest.approx(-1)
    # nothing the user did points there: no share is made up, and nothing is divided by 0
    assert [one.share for one in third[:3]] == [0, 0, 0]


def test_the_parts_of_all_actions_sum_to_the_inner_product() -> None:
    random = np.random.default_rng(5)
    vectors = random.standard_normal((6, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    held = {f"i{at}": vector for at, vector in enumerate(vectors)}
    actions = [Contribution("view", f"i{at}", 0.8, 0.5) for at in range(6)]
    profile = np.array(contribution_weights(actions)) @ vectors
    (parts,) = parts_of(actions, held.get, vectors[2:3])
    assert sum(one.part or 0 for one in parts) == pytest.approx(float(profile @ vectors[2]))


def test_without_actions_there_is_nothing_to_say() -> None:
    assert parts_of([], VECTORS.get, np.stack([X, Y])) == [[], []]
    assert parts_of(ACTIONS, VECTORS.get, np.zeros((0, len(X)), np.float32)) == []

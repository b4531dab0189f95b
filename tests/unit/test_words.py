"""Items' words beside their vectors, in what the ranking holds of them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from ranking_fakes import DIM, NOW, came, profile, unit
from store_fakes import item_record, make_view

from encoders.hashing import HashingEncoder
from store.compiled import compiled
from store.errors import RankingError
from store.ranking.columns import ItemColumns, Moment, new_items, new_moment
from store.ranking.counting import put_lengths
from store.ranking.features import CONTEXTS, FEATURES, Scale, close_moment, open_moment
from store.ranking.learner import Learner
from store.ranking.words import WORDS, rows_of, words_of
from tidemark.compose.retrieval import build_learner
from tidemark.settings import load_settings

WORD_ENCODER = HashingEncoder(WORDS)


def with_words() -> Learner:
    return Learner(DIM, partners=16, words=WORD_ENCODER)


def test_words_are_of_title_and_categories() -> None:
    assert words_of("Heat (1995)", ["Crime", "Drama"]) == "Heat (1995) Crime Drama"


def test_of_a_long_title_the_beginning_counts() -> None:
    assert words_of("word " * 4_000, ["Crime"]) == words_of("word " * 60, ["Crime"])
    assert len(words_of("x" * 20_000, ["y" * 256] * 64)) == 256


def test_items_without_their_words_are_refused() -> None:
    with pytest.raises(RankingError, match="2 items came with 1 texts"):
        with_words().put_items(["a", "b"], np.eye(2, DIM, dtype=np.float32), ["one"])


def test_the_service_ranks_with_words_where_it_ranks_at_all() -> None:
    made = build_learner(load_settings(None, ranking={"partners": 16}), DIM)
    assert made is not None
    assert made.items.vectors.shape[1] == DIM + WORDS
    assert build_learner(load_settings(None, ranking={"enabled": False}), DIM) is None


def test_a_row_is_the_vector_with_its_words_at_half_their_length() -> None:
    rows = rows_of(unit(1.0)[np.newaxis], WORD_ENCODER.encode(["Heat (1995)"]))
    assert rows.shape == (1, DIM + WORDS)
    assert rows.dtype == np.float32
    assert rows[0, :DIM].tolist() == unit(1.0).tolist()
    assert np.linalg.norm(rows[0, DIM:]) == pytest.approx(0.5)


def test_what_shares_words_with_the_latest_items_is_ranked_higher_though_vectors_are_alike() -> (
    None
):
    made = with_words()
    titles = {"seen": "Zyx 2013", "like": "Wvu 2013", "unlike": "Wvu 1954", "else": "Tsr 1987"}
    rows = np.tile(unit(1.0), (4, 1))
    made.put_items(list(titles), rows, list(titles.values()))
    ranked = made.best(profile(["seen"]), unit(1.0), ["unlike", "like"], 3, NOW, lambda _: False)
    assert [item_id for item_id, _ in ranked] == ["like", "unlike"]


def test_there_are_maps_of_words_too() -> None:
    made = with_words()
    rows = np.eye(3, DIM, dtype=np.float32)
    made.put_items(["a", "b", "c"], rows, ["one", "two", "three"])
    came(made, ["a"], "b", learns=True)
    assert made.blend.maps.shape == (2, DIM + WORDS, DIM + WORDS)
    assert made.blend.maps[:, DIM:].any()


@compiled
def opened(items: ItemColumns, moment: Moment, scale: Scale, ts: int) -> None:
    open_moment(items, moment, scale, ts)
    close_moment(items, moment)


def profile_at(words: NDArray[np.float32]) -> NDArray[np.float32]:
    """The long-term profile without the mean, of a moment among items with these words."""
    random = np.random.default_rng(2)
    vectors = random.normal(size=(6, DIM)).astype(np.float32)
    rows = np.concatenate((vectors, words), axis=1)
    dim = rows.shape[1]
    items = new_items(dim, 6, 16)
    moment = new_moment(dim, 6, len(FEATURES), len(CONTEXTS), beside=words.shape[1])
    items.vectors[:] = rows
    items.mean[:] = rows.mean(axis=0)
    put_lengths(items, 0, 6)
    moment.profile[:] = random.normal(size=DIM)
    opened(items, moment, Scale(np.zeros(len(FEATURES)), np.ones(len(FEATURES))), NOW)
    return moment.profile


def test_words_leave_the_long_term_profile_as_it_is() -> None:
    words = np.random.default_rng(4).normal(size=(6, 5)).astype(np.float32)
    assert profile_at(words) == pytest.approx(profile_at(words[:, :0]), abs=1e-6)


def test_more_items_than_there_was_room_for_keep_their_words() -> None:
    made = with_words()
    ids = [f"i{at}" for at in range(3_000)]
    for begin in range(0, 3_000, 700):
        some = ids[begin : begin + 700]
        made.put_items(some, np.tile(unit(1.0), (len(some), 1)), some)
    wanted = rows_of(np.tile(unit(1.0), (3_000, 1)), WORD_ENCODER.encode(ids))
    assert np.array_equal(made.items.vectors[:3_000], wanted)
    came(made, ["i1"], "i2", learns=True)
    assert made.learned == 1


def test_the_catalogue_tells_them_when_items_come_and_when_they_are_put_back() -> None:
    dim = 4  # of the fakes
    learner = Learner(dim, partners=16, words=WORD_ENCODER)
    view = make_view(learner=learner)
    view.apply_items([
        item_record("a", title="Heat", categories=["Crime"]), item_record("b", title="Alien")
    ])  # fmt: skip
    view.apply_items([item_record("b", title="Aliens", categories=["Horror", "Action"])])
    wanted = WORD_ENCODER.encode(["Heat Crime", "Aliens Horror Action"]) / 2
    assert learner.items.vectors[:2, dim:] == pytest.approx(wanted)
    again = Learner(dim, partners=16, words=WORD_ENCODER)
    other = make_view(learner=again)
    for part in view.parts():
        other.put(part)
    assert np.array_equal(again.items.vectors[:2], learner.items.vectors[:2])

"""SASRec and GRU4Rec: they learn an order, look at nothing to come, and are the same each time."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
from numpy.typing import NDArray
from sequence_logs import circle

from encoders.training.sequence.chunks import batches_of, cut
from encoders.training.sequence.id_model import IdModelSettings
from tidemark.evaluation.log import ActionLog
from tidemark.evaluation.protocol import Recommender
from tidemark.evaluation.trained import Schedule, TrainedBaseline, gru4rec, sasrec

SMALL = {
    "sasrec": IdModelSettings(net="sasrec", dim=16, length=8, tokens=128, epochs=30, rate=5e-3),
    "gru4rec": IdModelSettings(
        net="gru4rec", dim=16, length=8, layers=1, tokens=128, epochs=30, rate=5e-3
    ),
}
NETS = pytest.mark.parametrize("net", list(SMALL))


def made(net: str, log: ActionLog, schedule: Schedule | None = None) -> TrainedBaseline:
    return TrainedBaseline(log, np.ones(len(log), np.bool_), SMALL[net], schedule)


def replayed(one: Recommender, places: range) -> list[NDArray[np.float32]]:
    found, done = [], 0
    for place in places:
        one.learn(done, place)
        done = place
        found.append(one.scores(place))
    return found


@NETS
def test_it_learns_an_order_that_popularity_does_not_have(net: str) -> None:
    log = circle()
    places = range(len(log) // 2, len(log), 7)
    hits = popular = 0
    for place, scores in zip(places, replayed(made(net, log), places), strict=True):
        counts = np.bincount(log.items[:place], minlength=len(log.catalogue))
        hits += int(scores.argmax() == log.items[place])
        popular += int(counts.argmax() == log.items[place])
    assert hits > 0.8 * len(places)
    assert popular < 0.2 * len(places)


@NETS
def test_what_is_to_come_changes_nothing_before_it(net: str) -> None:
    log = circle(users=20)
    middle = len(log) * 2 // 3
    after = np.arange(len(log)) > middle
    other = dataclasses.replace(
        log,
        items=np.where(after, (log.items + 5) % len(log.catalogue), log.items).astype(np.int32),
        users=np.where(after, log.users[::-1], log.users).astype(np.int32),
    )
    places = range(len(log) // 2, middle + 1, 5)
    schedule = Schedule(growth=0.05)
    one, another = (replayed(made(net, each, schedule), places) for each in (log, other))
    assert [scores.tobytes() for scores in one] == [scores.tobytes() for scores in another]


@NETS
def test_a_seed_decides_all(net: str) -> None:
    log = circle(users=20)
    places = range(len(log) // 2, len(log), 31)

    def scored(seed: int) -> list[bytes]:
        settings = dataclasses.replace(SMALL[net], seed=seed, epochs=2)
        one = TrainedBaseline(log, np.ones(len(log), np.bool_), settings)
        return [scores.tobytes() for scores in replayed(one, places)]

    assert scored(1) == scored(1)
    assert scored(1) != scored(2)


def test_it_is_trained_when_first_asked_then_daily_at_most_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = circle(users=20)  # an action an hour
    one = made("gru4rec", log, Schedule(growth=0.0))
    one.learn(0, 100)
    assert one.trained == 0
    with caplog.at_level(logging.INFO, "tidemark.evaluation.trained"):
        done, trainings = 100, []
        for place in range(100, 172, 4):
            one.learn(done, place)
            done = place
            one.scores(place)
            trainings.append(one.trained)
    assert trainings == [1] * 6 + [2] * 6 + [3] * 6
    assert len([line for line in caplog.messages if "was trained" in line]) == 3


def test_it_waits_until_the_log_has_grown() -> None:
    log = circle(users=20)
    one = made("gru4rec", log, Schedule(every_ms=0, growth=0.5))
    for begin, end in ((0, 100), (100, 149), (149, 150), (150, 151)):
        one.learn(begin, end)
        one.scores(end)
    assert one.trained == 2


def test_a_user_without_items_gets_all_alike() -> None:
    log = circle(users=20)
    place = int(np.flatnonzero(log.users == log.users[0])[0])
    assert made("sasrec", log).scores(place).tolist() == [0.0] * len(log.catalogue)


def test_the_two_of_reports_are_trained_as_they_stand() -> None:
    log = circle(users=20)
    positive = np.ones(len(log), np.bool_)
    found = [one(log, positive) for one in (sasrec, gru4rec)]
    assert [one.name for one in found] == ["sasrec", "gru4rec"]
    for one in found:
        scores = replayed(one, range(200, 201))[0]
        assert scores.shape == (len(log.catalogue),)
        assert one.trained == 1


def test_each_item_after_a_user_s_first_is_foretold_once() -> None:
    rng = np.random.default_rng(0)
    users = rng.integers(0, 5, 200).astype(np.int32)
    items = np.arange(200, dtype=np.int32)
    chunks = cut(users, items, np.ones(200, np.bool_), 7, rng)
    assert all(len(one.inputs) <= 7 for one in chunks)
    targets = np.concatenate([one.targets for one in chunks])
    firsts = [int(np.flatnonzero(users == user)[0]) for user in range(5)]
    assert sorted(targets.tolist()) == sorted(set(range(200)) - set(firsts))
    for one in chunks:
        assert one.newest == one.targets[-1]
        for item, after in zip(one.inputs.tolist(), one.targets.tolist(), strict=True):
            assert users[item] == users[after]
            assert not (users[item + 1 : after] == users[item]).any()


def test_batches_hold_every_chunk_and_no_more_than_asked() -> None:
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(30), 12).astype(np.int32)
    chunks = cut(users, np.arange(360, dtype=np.int32), np.ones(360, np.bool_), 5, rng)
    batches = list(batches_of(chunks, 40, rng))
    assert all(inputs.size <= 40 for inputs, _ in batches)
    learned = np.concatenate([targets[targets >= 0] for _, targets in batches])
    assert sorted(learned.tolist()) == sorted(
        np.concatenate([one.targets for one in chunks]).tolist()
    )

"""A real log through a real broker gives what folding it one at a time gives, whatever happens."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from system_helpers import (
    Deployment,
    ProfilesProbe,
    assert_same_profiles,
    on_one_broker,
    reference_profiles,
)

from encoders import load_encoder
from store.policies import Policy
from streams.schema import Action, Item
from tidemark.movielens import find_movielens, read_films, read_ratings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

KILLS = 5
#: Small fetches, so that a kill finds batches in every stage.
SMALL_FETCHES = {"TIDEMARK_KAFKA__POLL_RECORDS": "500", "TIDEMARK_WORKER__BATCH_ACTIONS": "1000"}


@pytest.fixture(scope="module")
def films() -> list[Item]:
    return read_films(find_movielens())


@pytest.fixture(scope="module")
def ratings() -> list[Action]:
    return read_ratings(find_movielens())


@on_one_broker
def test_profiles_survive_five_kills(
    deployment: Deployment, films: list[Item], ratings: list[Action]
) -> None:
    """100,000 ratings; the worker is killed by SIGKILL five times while they are on their way."""
    deployment.publish_items(films)
    # Beside the actions applied, a chance moment: seeded, so that a failure can be looked at.
    moments = random.Random(7)
    edges = [round(part * len(ratings) / (KILLS + 1)) for part in range(KILLS + 2)]

    async def main() -> None:
        async with ProfilesProbe(deployment.bootstrap, deployment.names.profiles) as probe:
            for start, end in pairwise(edges):
                with deployment.worker(**SMALL_FETCHES) as worker:
                    # Half of this part before the worker has joined, half while it works.
                    middle = (start + end) // 2
                    await asyncio.to_thread(publish, deployment, ratings[start:middle])
                    await probe.wait_applied(start + 1, worker.check)
                    publishing = asyncio.create_task(
                        asyncio.to_thread(publish, deployment, ratings[middle:end])
                    )
                    if end == len(ratings):
                        await publishing
                        await probe.wait_applied(end, worker.check)
                        assert worker.stop() == 0
                    else:
                        await probe.wait_applied(start + moments.randrange(1, end - start))
                        worker.kill()
                        await publishing
            assert_same_profiles(probe.states(), reference_profiles(films, ratings))

    asyncio.run(main())


def test_two_workers_that_come_and_go(
    deployment: Deployment, films: list[Item], ratings: list[Action]
) -> None:
    """Partitions move under load: a second worker joins, then the first leaves."""
    log = ratings[:40_000]
    deployment.publish_items(films)
    policy = {"TIDEMARK_POLICY__NAME": "adaptive"}

    async def main() -> None:
        async with ProfilesProbe(deployment.bootstrap, deployment.names.profiles) as probe:
            with deployment.worker(**SMALL_FETCHES, **policy) as first:
                await asyncio.to_thread(publish, deployment, log[:10_000])
                await probe.wait_applied(5_000, first.check)
                with deployment.worker(**SMALL_FETCHES, **policy) as second:
                    for start in range(10_000, 30_000, 1_000):
                        await asyncio.to_thread(publish, deployment, log[start : start + 1_000])
                        await probe.applied()
                    assert first.stop() == 0
                    await asyncio.to_thread(publish, deployment, log[30_000:])
                    await probe.wait_applied(len(log), second.check)
            assert_same_profiles(
                probe.states(), reference_profiles(films, log, policy=Policy("adaptive"))
            )

    asyncio.run(main())


def test_with_the_real_model(
    embedded_broker: str, tmp_path: Path, films: list[Item], ratings: list[Action]
) -> None:
    """The same with all-MiniLM-L6-v2, encoded in the worker in batches and here by itself."""
    deployment = Deployment(embedded_broker, tmp_path)
    log = ratings[:5_000]
    rated = {action.item_id for action in log}
    shown = [film for film in films if film.item_id in rated][:300]
    known = {film.item_id for film in shown}
    log = [action for action in log if action.item_id in known]
    deployment.publish_items(shown)

    async def main() -> None:
        async with ProfilesProbe(deployment.bootstrap, deployment.names.profiles) as probe:
            with deployment.worker(
                TIDEMARK_ENCODER__MODEL="all-MiniLM-L6-v2", TIDEMARK_POLICY__NAME="decay"
            ) as worker:
                await asyncio.to_thread(publish, deployment, log)
                await probe.wait_applied(len(log), worker.check)
            encoder = load_encoder("all-MiniLM-L6-v2")
            assert_same_profiles(
                probe.states(),
                reference_profiles(shown, log, encoder=encoder, policy=Policy("decay")),
            )

    asyncio.run(main())


def publish(deployment: Deployment, actions: Sequence[Action]) -> None:
    with deployment.actions() as publisher:
        for action in actions:
            publisher.publish_action(action)

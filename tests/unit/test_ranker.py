"""A trained order of candidates: the same in NumPy as in torch, refused where it does not fit."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import torch
from service_rig import serving
from store_fakes import DIM, ENCODER, X, Y, Z, item_record, make_state, profile_record
from streams_fakes import unit_rows
from threadpoolctl import threadpool_info, threadpool_limits

from encoders.errors import EncoderError
from encoders.training.ranker import RankerNet, RankerPlan, Served, scores, train_ranker_net
from store import mean_vector
from store.errors import EncoderMismatchError, NoRankerError
from store.indexes.exact import ExactIndex
from store.question import answered
from store.ranker import Ranker
from store.view import RetrievalView
from tidemark.errors import RankerError
from tidemark.ranker_file import load_ranker, save_ranker

if TYPE_CHECKING:
    from pathlib import Path

VECTORS = unit_rows(60, 8)


def a_net(dim: int = 8) -> RankerNet:
    torch.manual_seed(4)
    net = RankerNet(dim, 6, 5)
    torch.nn.init.normal_(net.out.weight)
    return net


def some_served(m: int = 40, c: int = 7) -> Served:
    """Users take, of what was served, what is first in the fifth coordinate."""
    draw = np.random.default_rng(1)
    items = np.stack([draw.permutation(60)[:c] for _ in range(m)])
    users = VECTORS[draw.integers(0, 60, m)]
    return Served(users, items, VECTORS[items][:, :, 4].argmax(axis=1))


def test_numpy_computes_what_torch_does() -> None:
    net, served = a_net(), some_served()
    ranker = Ranker(ENCODER, mean_removal=True, **net.arrays())
    expected = scores(net, served, VECTORS)
    for user, items, row in zip(served.users, served.items, expected, strict=True):
        np.testing.assert_allclose(ranker.scores(user, VECTORS[items]), row, atol=1e-5)


def test_before_training_it_is_nearness() -> None:
    ranker = Ranker(ENCODER, mean_removal=True, **RankerNet(8, 6, 5).arrays())
    np.testing.assert_allclose(ranker.scores(VECTORS[0], VECTORS), VECTORS @ VECTORS[0], atol=1e-6)


def test_what_is_left_out_while_it_learns_is_there_when_it_scores() -> None:
    torch.manual_seed(0)
    net, served = RankerNet(8, 6, 5, dropout=0.5).train(), some_served()
    torch.nn.init.normal_(net.out.weight)
    users, items = torch.from_numpy(served.users), torch.from_numpy(VECTORS[served.items])
    assert not torch.equal(net(users, items), net(users, items))
    ranker = Ranker(ENCODER, mean_removal=True, **net.arrays())
    for user, chosen, row in zip(
        served.users, served.items, scores(net, served, VECTORS), strict=True
    ):
        np.testing.assert_allclose(ranker.scores(user, VECTORS[chosen]), row, atol=1e-5)


def test_it_begins_at_the_likeliest_scale_of_nearness(tmp_path: Path) -> None:
    given = some_served(300)
    near = np.einsum("md,mcd->mc", given.users, VECTORS[given.items])
    chances = np.exp(8 * near) / np.exp(8 * near).sum(axis=1, keepdims=True)
    draw = np.random.default_rng(3)
    taken = np.array([draw.choice(len(row), p=row / row.sum()) for row in chances.astype(float)])
    plan = RankerPlan(hidden=4, inner=4, epochs=0)
    net, _ = train_ranker_net(
        replace(given, taken=taken), given, VECTORS, plan, checkpoint=tmp_path / "c"
    )
    assert net.nearness.item() == 8


def test_it_learns_goes_on_where_it_was_stopped_and_keeps_the_best(tmp_path: Path) -> None:
    served = some_served(300)
    plan = RankerPlan(hidden=16, inner=8, epochs=6, rate=1e-2, seed=2)
    whole, history = train_ranker_net(served, served, VECTORS, plan, checkpoint=tmp_path / "whole")
    losses = [one.validation for one in history]
    assert min(losses) < 0.8 * losses[0]

    class StoppedError(Exception):
        pass

    def stop(epoch: object) -> None:
        if getattr(epoch, "number", 0) == 4:
            raise StoppedError

    with pytest.raises(StoppedError):
        train_ranker_net(served, served, VECTORS, plan, checkpoint=tmp_path / "c", on_epoch=stop)
    again, told = train_ranker_net(
        served, served, VECTORS, plan, checkpoint=tmp_path / "c", resume=True
    )
    assert told == history
    for name, array in whole.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)
    with pytest.raises(EncoderError, match="of another training"):
        train_ranker_net(
            served, served, VECTORS, replace(plan, hidden=4),
            checkpoint=tmp_path / "c", resume=True,
        )  # fmt: skip
    with pytest.raises(EncoderError, match="without --resume"):
        train_ranker_net(served, served, VECTORS, plan, checkpoint=tmp_path / "none", resume=True)


def test_a_file_is_read_as_it_was_written_and_refused_where_damaged(tmp_path: Path) -> None:
    ranker = Ranker(ENCODER, mean_removal=True, **a_net().arrays())
    save_ranker(ranker, tmp_path / "r", "made")
    found = load_ranker(tmp_path / "r")
    assert (found.version, found.encoder_id) == (ranker.version, ENCODER)
    assert found.mean_removal
    data = bytearray((tmp_path / "r").read_bytes())
    data[-2] ^= 1
    (tmp_path / "r").write_bytes(data)
    with pytest.raises(RankerError, match="it is damaged"):
        load_ranker(tmp_path / "r")
    with pytest.raises(RankerError, match="tidemark train ranker"):
        load_ranker(tmp_path / "none")


# In the view, and over HTTP


class Watched(np.ndarray[Any, Any]):
    """Notes how many threads BLAS has where it is multiplied."""

    threads: ClassVar[list[int]] = []

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **more: Any) -> Any:
        found = threadpool_info()
        self.threads.extend(one["num_threads"] for one in found if one["user_api"] == "blas")
        plain = [one.view(np.ndarray) if isinstance(one, Watched) else one for one in inputs]
        return getattr(ufunc, method)(*plain, **more)


def test_one_thread_computes_it_beside_whatever_else_is_busy() -> None:
    items = np.zeros((4, DIM), np.float32).view(Watched)
    with threadpool_limits(2, "blas"):
        a_ranker().scores(X, items)
    assert Watched.threads
    assert set(Watched.threads) == {1}


def a_ranker(*, encoder: str = ENCODER, mean_removal: bool = True) -> Ranker:
    """Likes what points along Z, and nearness hardly."""
    zeros = np.zeros((1, DIM), np.float32)
    return Ranker(
        encoder, mean_removal=mean_removal, of_user=zeros,
        of_item=Z[np.newaxis].copy(), bias=np.zeros(1, np.float32),
        inner=np.ones((1, 1), np.float32), inner_bias=np.zeros(1, np.float32),
        out=np.ones(1, np.float32), nearness=np.full(1, 0.01, np.float32),
    )  # fmt: skip


def a_view(ranker: Ranker | None) -> RetrievalView:
    view = RetrievalView(DIM, ENCODER, lambda dim, _: ExactIndex(dim), ranker=ranker)
    view.apply_items(
        [
            item_record("x", X), item_record("y", Y),
            item_record("xz", (X + Z) / np.sqrt(2)), item_record("z", Z),
        ]
    )  # fmt: skip
    view.apply_profiles(
        [
            profile_record("ann", make_state(3 * X, seen=["z"])),
            profile_record("bob", make_state(Y)),
        ],
        lambda: 0,
    )
    return view


def test_the_best_of_the_nearest_are_in_its_order() -> None:
    view = a_view(a_ranker())
    assert [one.item_id for one in answered(view.answers.ask_candidates("ann", 2))] == ["x", "xz"]
    best = answered(view.answers.ask_candidates("ann", 2, rank="mlp"))
    assert [one.item_id for one in best] == ["xz", "x"]
    assert best[0].score == pytest.approx(1.01 / np.sqrt(2), abs=1e-6)
    both = view.answers.candidates_of(["ann", "bob"], 1, rank="mlp", exclude_seen=False)
    assert [[one.item_id for one in found] for found in both if isinstance(found, list)] == [
        ["z"], ["z"],
    ]  # fmt: skip


def test_without_a_ranker_it_cannot_be_asked_for() -> None:
    view = a_view(None)
    with pytest.raises(NoRankerError, match=r"retrieval\.ranker"):
        answered(view.answers.ask_candidates("ann", 1, rank="mlp"))
    with pytest.raises(NoRankerError, match=r"retrieval\.ranker"):
        view.answers.candidates_of(["ann"], 1, rank="mlp")


def test_one_for_another_encoder_is_refused() -> None:
    with pytest.raises(EncoderMismatchError, match="'other'"):
        a_view(a_ranker(encoder="other"))


def test_one_for_profiles_that_are_searched_for_otherwise_is_refused() -> None:
    with pytest.raises(EncoderMismatchError, match=r"retrieval\.mean_removal = false, and .* true"):
        a_view(a_ranker(mean_removal=False))


def test_it_is_given_the_profile_as_the_items_are_searched_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mean_vector, "LEAST_ITEMS", 4)
    only_near = replace(a_ranker(), out=np.zeros(1, np.float32), nearness=np.ones(1, np.float32))
    view = a_view(only_near)
    by_ranker = answered(view.answers.ask_candidates("bob", 4, rank="mlp"))
    nearest = answered(view.answers.ask_candidates("bob", 4))
    assert [one.score for one in by_ranker] == pytest.approx([one.score for one in nearest])
    assert by_ranker[0].score < 1  # bob is Y, and the mean is off it


def test_the_service_orders_as_it_is_asked_to() -> None:
    asyncio.run(_ask_in_both_orders())


async def _ask_in_both_orders() -> None:
    likes_y = replace(a_ranker(), of_item=Y[np.newaxis].copy())
    async with serving(ranker=likes_y) as service:
        path = "/v1/users/ann/candidates"

        async def ids(**params: str) -> list[str]:
            answer = (await service.http.get(path, params=params)).raise_for_status().json()
            return [one["item_id"] for one in answer["candidates"]]

        assert await ids() == await ids(rank="nearest") == ["xy", "y"]
        assert await ids(rank="mlp") == ["y", "xy"]
        answer = await service.http.post(
            "/v1/candidates", json={"user_ids": ["ann", "nobody"], "k": 1, "rank": "mlp"}
        )
        first, second = answer.raise_for_status().json()["results"]
        assert [one["item_id"] for one in first["candidates"]] == ["y"]
        assert second["error"]["code"] == "unknown_user"
        await service.error(422, "invalid_request", "GET", path, params={"rank": "best"})
        status = (await service.http.get("/v1/status")).json()
        assert status["ranker"] == likes_y.version
    async with serving() as service:
        await service.error(409, "no_ranker", "GET", path, params={"rank": "mlp"})

"""What retrieval holds, written down beside serving and put back."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest
from store_fakes import (
    ENCODER,
    NOW,
    FakeRecord,
    RecordingSensor,
    X,
    Y,
    Z,
    item_record,
    make_state,
    make_view,
    profile_record,
    tombstone,
)

from store import view_snapshot
from store.catalogue import Wanted
from store.errors import SnapshotError, UnknownUserError
from store.item_vector import ITEM_OFFSET_HEADER
from store.profile import Contribution
from store.question import answered
from store.view import RetrievalView
from store.view_snapshot import read_manifest, read_parts
from store.view_snapshots import ViewSnapshots

DAY = 86_400_000


@dataclass(frozen=True)
class OneTopic:
    name: str
    topic_id: str = "id-1"
    tombstone_ms: int = DAY


TOPICS = [OneTopic("profiles"), OneTopic("item-vectors")]
POSITIONS = {("profiles", 0): 40, ("profiles", 1): 7, ("item-vectors", 0): 3}


class Clock:
    now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def owner() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def snapshots(tmp_path: Path, clock: Clock) -> ViewSnapshots:
    return ViewSnapshots(tmp_path / "state" / "view.tmv", TOPICS, clock, clock_skew_ms=5_000)


def apply(view: RetrievalView, *records: FakeRecord) -> None:
    view.apply_profiles(records, lambda: NOW)


def filled() -> RetrievalView:
    view = make_view()
    view.apply_items(
        [
            item_record("a", X, title="Alien", categories=["Horror", "SF"], source_offset=4),
            item_record("b", Y, categories=["Drama"], source_offset=5),
            item_record("c", Z),
            item_record("gone", Z, source_offset=9),
        ]
    )
    view.apply_items(
        [FakeRecord("item-vectors", b"gone", None, headers=((ITEM_OFFSET_HEADER, b"10"),))]
    )
    part = Contribution(action="view", item_id="a", k=0.5, strength=1.0)
    apply(
        view,
        profile_record(
            "ann", make_state(2 * X + Y, offset=11, seen=["a"], contributions=[part], partition=1)
        ),
        profile_record("bob", make_state(Y, offset=8, seen=["a", "b"])),
        profile_record("nil", make_state(0 * X, offset=9)),
        profile_record("cid", make_state(Z, offset=3)),
        tombstone("cid", 12),
    )
    return view


def same(one: RetrievalView, other: RetrievalView) -> None:
    assert (one.profile_count, one.item_count) == (other.profile_count, other.item_count)
    assert one.applied == other.applied
    assert one.popularity.counts() == other.popularity.counts()
    for user in ("ann", "bob", "nil"):
        assert one.profile(user) == other.profile(user)
        np.testing.assert_array_equal(one.vector(user), other.vector(user))
    assert answered(one.answers.ask_candidates("ann", 5, exclude_seen=False)) == answered(
        other.answers.ask_candidates("ann", 5, exclude_seen=False)
    )
    assert answered(one.answers.ask_candidates("ann", 5, wanted=Wanted("Drama"))) == answered(
        other.answers.ask_candidates("ann", 5, wanted=Wanted("Drama"))
    )
    assert one.fence("cid") == other.fence("cid")


def test_what_was_written_is_there_again(
    snapshots: ViewSnapshots, owner: Executor, tmp_path: Path
) -> None:
    view = filled()
    snapshots.save(view, owner, POSITIONS)
    again, positions = snapshots.load(make_view)
    assert positions == POSITIONS
    same(again, view)
    # What is older stays so, of deleted items and of forgotten users.
    again.apply_items([item_record("gone", Z, source_offset=9)])
    apply(again, profile_record("cid", make_state(Z, offset=4)))
    assert again.item("gone") is None
    assert again.profile_count == 3
    manifest = read_manifest(tmp_path / "state" / "view.tmv")
    assert manifest.kinds == {"items": "exact float32", "profiles": "exact float32"}
    assert manifest.counts == {"items": 3, "profiles": 3}
    assert manifest.topic_ids == {"profiles": "id-1", "item-vectors": "id-1"}
    assert [one.name for one in (tmp_path / "state").iterdir()] == ["view.tmv"]


def test_without_a_snapshot_the_beginning_is_read(snapshots: ViewSnapshots) -> None:
    view, positions = snapshots.load(make_view)
    assert positions == {}
    assert view.profile_count == 0


def test_changes_between_the_parts_are_made_good_by_the_topics(
    snapshots: ViewSnapshots, owner: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("profiles", "catalogue"):
        monkeypatch.setattr(f"store.{module}._PART", 1)
    view = filled()
    late: list[Callable[[], None]] = [
        lambda: view.apply_items([item_record("c", X, title="New c")]),
        lambda: view.apply_items([FakeRecord("item-vectors", b"a", None)]),
        lambda: apply(view, tombstone("ann", 20)),
        lambda: apply(view, profile_record("bob", make_state(Z, offset=30))),
        lambda: apply(view, profile_record("dan", make_state(X, offset=31))),
        lambda: apply(view, profile_record("cid", make_state(Y, offset=32))),
    ]
    log = list(late)
    parts = view.parts()

    def stepwise() -> Iterator[object]:
        for part in parts:
            yield part
            if late:
                late.pop(0)()

    monkeypatch.setattr(view, "parts", stepwise)
    snapshots.save(view, owner, POSITIONS)
    assert not late
    again, _ = snapshots.load(make_view)
    view, before = again, view
    for change in log:  # as the topics tell them again, to the one that was loaded
        change()
    assert view.item("a") is None
    assert [one.title for one in answered(view.answers.ask_items(X, 1))] == ["New c"]
    with pytest.raises(UnknownUserError):
        view.profile("ann")
    assert view.profile_count == before.profile_count == 4
    assert {one.user_id for one in answered(view.answers.ask_profiles(X, 9))} == {
        "bob",
        "cid",
        "dan",
    }
    np.testing.assert_array_equal(view.vector("bob"), Z)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data[: len(data) // 2], "torn"),
        (lambda data: data[:-3], "torn"),
        (lambda data: data[:3], "no snapshot"),
        (lambda _: b"", "no snapshot"),
        (lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:], "checksum"),
        (lambda data: data + b"x", "goes on"),
        (lambda data: b"X" + data[1:], "no snapshot"),
    ],
)
def test_a_damaged_file_is_refused(
    change: Callable[[bytes], bytes],
    reason: str,
    snapshots: ViewSnapshots,
    owner: Executor,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    snapshots.save(filled(), owner, POSITIONS)
    path = tmp_path / "state" / "view.tmv"
    path.write_bytes(change(path.read_bytes()))
    with caplog.at_level(logging.WARNING, "store"):
        view, positions = snapshots.load(make_view)
    assert (view.profile_count, view.item_count, positions) == (0, 0, {})
    assert reason in caplog.text
    assert "reading the topics from the beginning" in caplog.text


@pytest.mark.parametrize(
    ("encoder", "topics", "later", "reason"),
    [
        ("another", TOPICS, 0, "of encoder 'test-encoder'; expected 'another'"),
        (ENCODER, [TOPICS[0], OneTopic("item-vectors", "id-2")], 0, "not the one it was made of"),
        (ENCODER, [*TOPICS, OneTopic("third")], 0, "not the one it was made of"),
        (ENCODER, TOPICS, DAY // 2 + 1, "older than half"),
        (ENCODER, TOPICS, -6_000, "6.0 s in the future"),
    ],
)
def test_a_snapshot_of_something_else_is_refused(
    encoder: str,
    topics: list[OneTopic],
    later: int,
    reason: str,
    snapshots: ViewSnapshots,
    owner: Executor,
    clock: Clock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    snapshots.save(filled(), owner, POSITIONS)
    clock.now += later
    others = ViewSnapshots(tmp_path / "state" / "view.tmv", topics, clock, clock_skew_ms=5_000)

    def make() -> RetrievalView:
        view = make_view()
        view.encoder_id = encoder
        return view

    with caplog.at_level(logging.WARNING, "store"):
        assert others.load(make)[1] == {}
    assert reason in caplog.text


def test_another_format_is_refused_in_words(
    snapshots: ViewSnapshots, owner: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots.save(filled(), owner, POSITIONS)
    monkeypatch.setattr(view_snapshot, "VIEW_FORMAT", 4)
    with pytest.raises(SnapshotError, match="is of format 3; this program reads 4"):
        read_manifest(tmp_path / "state" / "view.tmv")


def test_an_error_leaves_the_one_before(
    snapshots: ViewSnapshots,
    owner: Executor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    view, path = filled(), tmp_path / "state" / "view.tmv"
    snapshots.save(view, owner, POSITIONS)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(view_snapshot, "_write", full)
    with pytest.raises(OSError, match="No space"):
        snapshots.save(view, owner, POSITIONS)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["view.tmv"]


def test_one_is_given_up_when_the_service_ends(
    snapshots: ViewSnapshots, owner: Executor, tmp_path: Path
) -> None:
    view, path = filled(), tmp_path / "state" / "view.tmv"
    snapshots.save(view, owner, POSITIONS)
    before, stopping = path.read_bytes(), threading.Event()
    stopping.set()
    with pytest.raises(SnapshotError, match="given up"):
        snapshots.save(view, owner, POSITIONS, stopping)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["view.tmv"]


def test_one_is_written_every_so_often_and_an_error_is_told(
    snapshots: ViewSnapshots,
    owner: Executor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[float | None] = []

    class Sensor(RecordingSensor):
        def on_snapshot(self, seconds: float | None) -> None:
            told.append(seconds)

    snapshots._sensor = Sensor()  # noqa: SLF001
    view, positions = filled(), dict(POSITIONS)

    async def main() -> None:
        task = asyncio.create_task(snapshots.run(view, owner, lambda: positions, 0.01))
        await _until(lambda: len(told) == 1)
        for _ in range(5):  # nothing came since
            await asyncio.sleep(0.01)
        assert len(told) == 1
        with monkeypatch.context() as patched:
            patched.setattr(Path, "mkdir", _refuse)
            positions["profiles", 0] = 41
            await _until(lambda: None in told)
        await _until(lambda: told[-1] is not None)
        task.cancel()

    asyncio.run(main())
    assert read_manifest(tmp_path / "state" / "view.tmv").positions["profiles"][0] == 41
    assert "cannot be written: PermissionError" in caplog.text


def _refuse(*_: object, **__: object) -> None:
    raise PermissionError("not here")


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 # what it looks at has no event
            await asyncio.sleep(0.005)


def test_parts_are_msgpack_that_others_can_read(
    snapshots: ViewSnapshots, owner: Executor, tmp_path: Path
) -> None:
    snapshots.save(filled(), owner, POSITIONS)
    found = [msgspec.to_builtins(part)[0] for part in read_parts(tmp_path / "state" / "view.tmv")]
    assert found == ["items", "items", "profiles", "fences"]

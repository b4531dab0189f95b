"""A table's file: what comes back, what is refused, and that nothing half written is left."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_fakes import Given, forget, make_batch, take, weighed
from streams_fakes import unit_rows

from store.errors import SnapshotError
from store.interner import Interner
from store.policies import Policy
from store.profile import Fence, ProfileState
from store.snapshot import load_table, save_table
from store.table import Identity, Memory, ProfileTable, Vocabulary

VECTORS = unit_rows(6)
IDENTITY = Identity("fake-encoder", 4, Policy("constant", k=0.7))
MEMORY = Memory(seen=6, contributions=4, event_ids=5)
META = {"profiles_offset": 71, "created_ms": 1_750_000_000_000}
USERS = ["ann", "bob", "cid", "dan"]


def new_vocabulary(*items: str) -> Vocabulary:
    """Of a process of its own: codes follow the order in which its strings came."""
    vocabulary = Vocabulary(Interner(), Interner())
    vocabulary.actions.code(b"never used")
    for item in items:
        vocabulary.items.code(item.encode())
    return vocabulary


def log(length: int = 60) -> list[Given]:
    actions = [
        weighed(
            n,
            USERS[n % 3],
            row=n % 6,
            action=("view", "click")[n % 2],
            item_id=None if n % 5 == 0 else f"i{n % 9}",
            event_id=None if n % 4 == 0 else f"e{n}",
            strength=(1.0, -0.3)[n % 2],
        )
        for n in range(length)
    ]
    actions[7] = forget(7, "cid")
    actions[length - 1] = forget(length - 1, "dan")
    return actions


def filled(vocabulary: Vocabulary, actions: list[Given]) -> ProfileTable:
    table = ProfileTable(2, IDENTITY, MEMORY, vocabulary)
    table.apply("orders", make_batch([weighed(3, "ann", item_id="order")], vocabulary), VECTORS)
    table.apply("actions", make_batch(actions, vocabulary), VECTORS)
    return table


def content(table: ProfileTable) -> dict[str, object]:
    return {u: table.state(u) if u in table else table.fence(u) for u in USERS}


def load(
    path: Path,
    vocabulary: Vocabulary | None = None,
    *,
    partition: int = 2,
    identity: Identity = IDENTITY,
    memory: Memory = MEMORY,
) -> tuple[ProfileTable, dict[str, object]]:
    return load_table(path, partition, identity, memory, vocabulary or new_vocabulary())


def test_a_table_comes_back_under_other_codes(tmp_path: Path) -> None:
    table = filled(new_vocabulary("i8", "i3"), log())
    save_table(table, tmp_path / "t", META)
    loaded, meta = load(tmp_path / "t", new_vocabulary("x", "y", "i1", "z"))
    assert content(loaded) == content(table)
    assert isinstance(content(loaded)["dan"], Fence)
    assert meta == META
    assert len(loaded) == len(table) == 3
    assert take(loaded) == ([], [])
    assert [one.name for one in tmp_path.iterdir()] == ["t"]


@given(st.integers(0, 60))
def test_going_on_after_a_load_gives_the_same_as_without(cut: int) -> None:
    actions = log()
    vocabulary, other = new_vocabulary(), new_vocabulary("i5", "i2")
    whole = filled(vocabulary, actions)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t"
        save_table(filled(vocabulary, actions[:cut]), path, META)
        loaded, _ = load(path, other)
    loaded.apply("actions", make_batch(actions[cut:], other), VECTORS)
    assert without_freshness(content(loaded)) == without_freshness(content(whole))


def without_freshness(content: dict[str, object]) -> dict[str, object]:
    """A load begins a new stretch between publications."""
    for found in content.values():
        if isinstance(found, ProfileState):
            found.fresh_from = 0
    return content


def test_a_copy_does_not_change_with_its_table(tmp_path: Path) -> None:
    vocabulary = new_vocabulary()
    table = filled(vocabulary, log())
    before = content(table)
    copy = table.copy()
    table.apply(
        "actions",
        make_batch(
            [weighed(100 + n, f"u{n % 70}", item_id=f"n{n}") for n in range(500)], vocabulary
        ),
        VECTORS,
    )
    table.apply("actions", make_batch([forget(700, "ann")], vocabulary), VECTORS)
    save_table(copy, tmp_path / "t", META)
    assert content(load(tmp_path / "t")[0]) == before


def test_lowered_bounds_keep_the_latest(tmp_path: Path) -> None:
    table = filled(new_vocabulary(), log())
    save_table(table, tmp_path / "t", META)
    loaded, _ = load(tmp_path / "t", memory=Memory(seen=2, contributions=1, event_ids=3))
    for user_id in ("ann", "bob", "cid"):
        had, has = table.state(user_id), loaded.state(user_id)
        assert has.seen == had.seen[-2:]
        assert has.contributions == had.contributions[-1:]
        assert has.event_ids == had.event_ids[-3:]


def test_an_empty_table_comes_back(tmp_path: Path) -> None:
    save_table(ProfileTable(2, IDENTITY, MEMORY, new_vocabulary()), tmp_path / "t", {})
    loaded, meta = load(tmp_path / "t")
    assert (len(loaded), meta) == (0, {})


# What is refused


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "t"
    save_table(filled(new_vocabulary(), log()), path, META)
    return path.read_bytes()


@given(st.data())
def test_a_changed_byte_anywhere_is_refused(saved: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(saved) - 1))
    bits = data.draw(st.integers(1, 255))
    damaged = bytearray(saved)
    damaged[at] ^= bits
    refuse(bytes(damaged), "damaged|no snapshot")


@given(st.data())
def test_a_torn_file_is_refused(saved: bytes, data: st.DataObject) -> None:
    refuse(saved[: data.draw(st.integers(0, len(saved) - 1))], "torn")


def refuse(content: bytes, reason: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t"
        path.write_bytes(content)
        with pytest.raises(SnapshotError, match=reason):
            load(path)


@pytest.mark.parametrize(
    ("partition", "identity", "reason"),
    [
        (3, IDENTITY, "of partition 2; expected 3"),
        (2, Identity("other", 4, IDENTITY.policy), "of encoder 'fake-encoder'; expected 'other'"),
        (2, Identity("fake-encoder", 8, IDENTITY.policy), "of dim 4; expected 8"),
        (2, Identity("fake-encoder", 4, Policy("decay")), r"of policy 'constant\(k=0.7\)'"),
    ],
)
def test_what_was_made_otherwise_is_refused(
    saved: bytes, tmp_path: Path, partition: int, identity: Identity, reason: str
) -> None:
    (tmp_path / "t").write_bytes(saved)
    with pytest.raises(SnapshotError, match=reason):
        load(tmp_path / "t", partition=partition, identity=identity)


def test_another_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.snapshot.SNAPSHOT_FORMAT", 9)
    save_table(filled(new_vocabulary(), log()), tmp_path / "t", META)
    monkeypatch.undo()
    with pytest.raises(SnapshotError, match="format 9; this program reads 2"):
        load(tmp_path / "t")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="cannot be read"):
        load(tmp_path / "none")


# What is left behind

_SAVE_WITH_LITTLE_SPACE = """
import resource, signal, sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from test_snapshot import META, filled, log, new_vocabulary
from store.snapshot import save_table
table = filled(new_vocabulary(), log())
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    save_table(table, Path(sys.argv[1]), META)
except OSError as error:
    print(error.errno)
"""


def test_a_full_disk_leaves_the_file_of_before(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(b"of before")
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1]), str(Path.cwd())]
    done = subprocess.run(
        [sys.executable, "-c", _SAVE_WITH_LITTLE_SPACE, str(path), *folders],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ},
    )
    assert done.stdout.split() == [str(errno.EFBIG)], done.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["t"]
    assert path.read_bytes() == b"of before"


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        save_table(filled(new_vocabulary(), log()), tmp_path / "none" / "t", META)

from __future__ import annotations

import logging
import os
import resource
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import lmdb
import numpy as np
import pytest

from encoders import (
    CacheError,
    DiskCache,
    HashingEncoder,
    disk_cache,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

DIM = 64
MEBIBYTE = 1024 * 1024


def vectors_of(texts: list[str]) -> NDArray[np.float32]:
    rows = [np.random.default_rng(list(text.encode())).normal(size=DIM) for text in texts]
    return np.array(rows, np.float32).reshape(len(texts), DIM)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[DiskCache]:
    found = DiskCache(tmp_path / "vectors", MEBIBYTE, "model:1:float32", DIM)
    yield found
    found.close()


def test_what_was_put_is_there_for_the_next_process(tmp_path: Path, cache: DiskCache) -> None:
    texts = ["a", "ü 日本語", "\ud800"]
    cache.put_many(texts, vectors_of(["a", "b", "c"]))
    cache.close()
    code = (
        "import sys, json; from pathlib import Path; from encoders import DiskCache; "
        f"c = DiskCache(Path(sys.argv[1]), {MEBIBYTE}, 'model:1:float32', {DIM}); "
        "print(json.dumps([None if v is None else v.tolist() for v in "
        "c.get_many(['a', 'ü 日本語', '\\ud800', 'other'])])); print(c.hits, c.misses)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "vectors")],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    rows, counts = done.stdout.splitlines()
    expected = [*vectors_of(["a", "b", "c"]).tolist(), None]
    assert rows == str(expected).replace("None", "null")
    assert counts == "3 1"


def test_vectors_are_read_only_and_outlive_the_cache(cache: DiskCache) -> None:
    cache.put_many(["a"], vectors_of(["a"]))
    (found,) = cache.get_many(["a"])
    assert found is not None
    assert not found.flags.writeable
    cache.close()
    np.testing.assert_array_equal(found, vectors_of(["a"])[0])


def test_another_encoders_vectors_are_not_found(tmp_path: Path, cache: DiskCache) -> None:
    cache.put_many(["a"], vectors_of(["a"]))
    cache.close()
    other = DiskCache(tmp_path / "vectors", MEBIBYTE, "model:2:float32", DIM)
    assert other.get_many(["a"]) == [None]
    other.put_many(["a"], vectors_of(["b"]))
    np.testing.assert_array_equal(other.get_many(["a"])[0], vectors_of(["b"])[0])
    other.close()


def test_nothing_and_the_same_again(cache: DiskCache) -> None:
    cache.put_many([], vectors_of([]))
    cache.put_many(["a", "a"], vectors_of(["a", "a"]))
    cache.put_many(["a"], vectors_of(["a"]))
    assert len(cache) == 1
    assert cache.get_many([]) == []


def test_the_oldest_leave_and_the_file_stays_small(tmp_path: Path, cache: DiskCache) -> None:
    texts = [f"text {i}" for i in range(40_000)]
    for start in range(0, len(texts), 500):
        part = texts[start : start + 500]
        cache.put_many(part, vectors_of(part))
    assert cache.failures == 0
    assert cache.bytes_used <= MEBIBYTE
    assert len(cache) > 800
    assert cache.evictions == len(texts) - len(cache)
    newest = cache.get_many(texts[-500:])
    np.testing.assert_array_equal(np.array(newest), vectors_of(texts[-500:]))
    assert cache.get_many(texts[:1]) == [None]
    # Deleted pages are used again: 10 MB went through.
    assert (tmp_path / "vectors" / "data.mdb").stat().st_size < 4 * MEBIBYTE


@pytest.mark.parametrize("dim", [32, 64, 256, 384, 768, 1024])
@pytest.mark.parametrize("shrunk", [False, True])
def test_a_full_cache_goes_on_taking_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dim: int, shrunk: bool
) -> None:
    """With little slack, as a cache of the default size has in proportion."""
    monkeypatch.setattr(disk_cache, "_SLACK", MEBIBYTE // 2)
    rng = np.random.default_rng(0)
    size = 4 * MEBIBYTE
    per_call = max(1, size // (40 * 4 * dim))
    cache = DiskCache(tmp_path, size, "model", dim)
    for call in range(100):
        if shrunk and call == 60:
            cache.close()
            cache = DiskCache(tmp_path, size // 2, "model", dim)
        rows = rng.normal(size=(per_call, dim)).astype(np.float32)
        texts = [f"{call} {i}" for i in range(per_call)]
        cache.put_many(texts, rows)
        assert cache.failures == 0, call
        np.testing.assert_array_equal(np.array(cache.get_many(texts)), rows)
    assert cache.bytes_used <= 1.05 * cache.max_bytes
    cache.close()


def test_more_than_the_cache_holds_in_one_call(cache: DiskCache) -> None:
    texts = [f"text {i}" for i in range(10_000)]
    cache.put_many(["first"], vectors_of(["first"]))
    cache.put_many(texts, vectors_of(texts))
    assert cache.failures == 0
    np.testing.assert_array_equal(cache.get_many(texts[-1:])[0], vectors_of(texts[-1:])[0])
    cache.put_many(["later"], vectors_of(["later"]))
    assert cache.bytes_used <= 1.02 * MEBIBYTE  # a page or two may be split


WRITER = """
import sys
from pathlib import Path
import numpy as np
from encoders import DiskCache
cache = DiskCache(Path(sys.argv[1]), 1 << 22, "model:1:float32", 64)
print("ready", flush=True)
number = 0
while True:
    texts = [f"{sys.argv[2]} {number + i}" for i in range(50)]
    rows = np.arange(number, number + 50, dtype=np.float32)
    cache.put_many(texts, np.repeat(rows[:, None], 64, 1))
    assert cache.failures == 0
    number += 50
    if number == 500:
        print("written", flush=True)
"""


def test_two_writers_killed_leave_a_whole_file(tmp_path: Path) -> None:
    folder = tmp_path / "vectors"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), name], stdout=subprocess.PIPE, text=True
        )
        for name in ("a", "b")
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert [writer.stdout.readline().strip() for _ in range(2)] == ["ready", "written"]
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert [writer.returncode for writer in writers] == [-signal.SIGKILL] * 2
    cache = DiskCache(folder, 1 << 22, "model:1:float32", DIM)
    found = 0
    for name in ("a", "b"):
        for number, vector in enumerate(cache.get_many([f"{name} {i}" for i in range(100_000)])):
            if vector is not None:
                found += 1
                assert (vector == number).all()
    assert found == len(cache) > 0
    cache.put_many(["after"], vectors_of(["after"]))
    assert cache.failures == 0
    cache.close()


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on file sizes here")
def test_a_full_disk_costs_hits_and_nothing_else(
    cache: DiskCache, caplog: pytest.LogCaptureFixture
) -> None:
    cache.put_many(["before"], vectors_of(["before"]))
    texts = [f"text {i}" for i in range(2_000)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        with caplog.at_level(logging.WARNING, "encoders"):
            for _ in range(3):
                cache.put_many(texts, vectors_of(texts))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert cache.failures == 3
    assert len(caplog.records) == 1, "said once a minute"
    assert "could not be written" in caplog.text
    np.testing.assert_array_equal(cache.get_many(["before"])[0], vectors_of(["before"])[0])
    cache.put_many(texts, vectors_of(texts))
    assert cache.failures == 3
    np.testing.assert_array_equal(cache.get_many(texts[-1:])[0], vectors_of(texts[-1:])[0])


def test_a_file_that_is_no_cache_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(os.urandom(64 * 1024))
    with pytest.raises(CacheError, match=r"cannot be opened .*delete the folder"):
        DiskCache(tmp_path, MEBIBYTE, "model", DIM)
    with pytest.raises(CacheError, match="cannot be opened"):
        DiskCache(tmp_path / "data.mdb" / "below", MEBIBYTE, "model", DIM)


@pytest.mark.parametrize("left", [0.5, 0.9, 4096])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, left: float) -> None:
    cache = DiskCache(tmp_path, MEBIBYTE, "model", DIM)
    texts = [f"text {i}" for i in range(500)]
    cache.put_many(texts, vectors_of(texts))
    cache.close()
    file = tmp_path / "data.mdb"
    os.truncate(file, int(left if left > 1 else file.stat().st_size * left) // 4096 * 4096)
    # In a process of its own, which is what it would kill.
    code = (
        "import sys; from pathlib import Path; from encoders import DiskCache; "
        f"DiskCache(Path(sys.argv[1]), {MEBIBYTE}, 'model', {DIM}).get_many(['text 1'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done
    assert "CacheError" in done.stderr
    assert "delete the folder, while no process uses it" in done.stderr


def test_a_process_of_the_same_id_elsewhere_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_(*_: object, **__: object) -> None:
        raise lmdb.Error("mdb_txn_begin: Resource temporarily unavailable")

    monkeypatch.setattr(lmdb, "open", open_)
    with pytest.raises(CacheError, match="same id, in another container: give each container"):
        DiskCache(tmp_path, MEBIBYTE, "model", DIM)


FROZEN = """
import sys, lmdb
file = lmdb.open(sys.argv[1], map_size=1 << 27, max_dbs=2)
with file.begin(write=True):
    print("writing", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that stands still in the middle of a write to ``tmp_path / "vectors"``."""
    folder = tmp_path / "vectors"
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", FROZEN, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGSTOP)
    yield process
    process.kill()
    process.communicate()


PEER = """
import logging, sys
from pathlib import Path
from encoders import DiskCache, EncoderService, HashingEncoder, VectorCache
logging.basicConfig()
encoder = HashingEncoder(64)
disk = DiskCache(Path(sys.argv[1]), 1 << 20, encoder.encoder_id, encoder.dim)
service = EncoderService(encoder, VectorCache(0), disk)
service.encode_now(["known"])
print("open", flush=True)
sys.stdin.readline()
for text in ("known", "new", "newer"):
    assert service.encode_now([text]).errors == {}
service.close()
service.close()
stats = service.stats()
print(stats.disk_hits, stats.disk_failures)
"""


def test_a_peer_that_stands_still_holds_up_no_end(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    encoder = HashingEncoder(64)
    disk = DiskCache(tmp_path / "vectors", MEBIBYTE, encoder.encoder_id, encoder.dim)
    disk.put_many(["known"], encoder.encode(["known"]))
    disk.close()
    peer = subprocess.Popen(
        [sys.executable, "-c", PEER, str(tmp_path / "vectors")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert peer.stdout is not None
        assert peer.stdout.readline() == "open\n"
        request.getfixturevalue("frozen")
        said, complained = peer.communicate("go on\n", timeout=60)
    finally:
        peer.kill()
    assert peer.returncode == 0, complained
    assert said == "2 2\n", "what is there is read; one write stands still, one is behind it"
    assert "2 batches of vectors could not be written on disk within 1 s" in complained


@pytest.mark.usefixtures("frozen")
def test_a_start_waits_for_a_peer_only_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_cache, "_OPEN_SECONDS", 0.2)
    with pytest.raises(CacheError, match=r"held by another process.*end that process, or name"):
        DiskCache(tmp_path / "vectors", MEBIBYTE, "model", DIM)

"""What a load needs: workers, GPUs, memory, disk, partitions, brokers. docs/sizing.md explains it.

Pure arithmetic on the constants of `tidemark.sizing_constants`. A deployment is one set of topics
with its workers and retrieval services. Where one retrieval service cannot follow all profiles
that change, users are divided among several deployments, here called cells.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Literal

from tidemark.errors import SettingsError
from tidemark.sizing_constants import VECTOR_BYTES, History, Precision, value

__all__ = ["GIBIBYTE", "Load", "Plan", "plan"]

GIBIBYTE = 1024**3
_MEBIBYTE = 1024**2
_DAY_SECONDS = 86_400
_MICROSECOND = 1e-6
#: Workers' cores; the encoder's rate on processors counts these.
_WORKER_CORES = 2
_FEWEST_PARTITIONS = 8
#: A second of each is there while the first is replaced.
_FEWEST_WORKERS = _FEWEST_REPLICAS = 2
_FEWEST_BROKERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked for.

    Attributes:
        actions_per_second: at the busiest hour.
        users: with a profile.
        items: in the catalogue.
        dim: of the vectors.
        precision: of the retrieval service's vectors (``retrieval.precision``).
        index: ``retrieval.index``.
        device: of the encoder.
        new_texts: share of the actions whose text was not encoded before: words of users' own, and
            items for the first time.
        history: whether most users have ``some`` (20) seen items kept, or ``much`` (200).
        queries_per_second: of candidates and the like.
        worker_memory: bytes that one worker may take.
        takeover_seconds: in which another worker is to have read a lost one's profiles back from
            the topic; a longer time allows fewer and larger workers.
        action_bytes: of a record of ``actions``, compressed as it is.
        retention_days: how long actions are kept.
        replication: copies of each topic.
    """

    actions_per_second: float
    users: int
    items: int
    dim: int = 384
    precision: Precision = "bfloat16"
    index: Literal["faiss", "milvus"] = "faiss"
    device: Literal["cpu", "cuda"] = "cpu"
    new_texts: float = 0.02
    history: History = "some"
    queries_per_second: float = 50.0
    worker_memory: int = 16 * GIBIBYTE
    takeover_seconds: float = 120.0
    action_bytes: int = 110
    retention_days: float = 7.0
    replication: int = 3

    def __post_init__(self) -> None:
        for name, given in asdict(self).items():
            if isinstance(given, float) and not math.isfinite(given):
                raise SettingsError(f"{name} is {given}; expected a number")
        for name in (
            "actions_per_second",
            "users",
            "items",
            "dim",
            "takeover_seconds",
            "replication",
        ):
            if getattr(self, name) <= 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; expected more than 0")
        for name in ("queries_per_second", "retention_days", "worker_memory", "action_bytes"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; expected 0 or more")
        if not 0 <= self.new_texts <= 1:
            raise SettingsError(f"new_texts is {self.new_texts}; expected a share, 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is needed. Bytes, seconds; all but what says so is of one cell.

    Attributes:
        records_per_action: profiles that are published for an action.
        profiles_per_second: of all cells.
        cells: deployments that the users are divided among; 1 is an ordinary one.
        workers, partitions: see the page.
        gpus: of all workers of a cell.
        worker_bytes, worker_disk_bytes: of each worker.
        takeover_seconds: until another worker has read a lost one's profiles from the topic.
        replicas: of the retrieval service.
        replica_bytes, replica_disk_bytes: of each.
        start_seconds: of a replica, from its snapshot; with Milvus from the topics.
        milvus_bytes: of the collections of one replica.
        brokers: of a cell's topics.
        broker_cores: of these together.
        kafka_disk_bytes: of these together, with all copies.
        kafka_in, kafka_out: bytes a second that clients write and read.
    """

    records_per_action: float
    profiles_per_second: float
    cells: int
    workers: int
    partitions: int
    gpus: int
    worker_bytes: int
    worker_disk_bytes: int
    takeover_seconds: float
    replicas: int
    replica_bytes: int
    replica_disk_bytes: int
    start_seconds: float
    milvus_bytes: int
    brokers: int
    broker_cores: float
    kafka_disk_bytes: int
    kafka_in: float
    kafka_out: float


def plan(load: Load) -> Plan:
    """What a load needs.

    Raises:
        SettingsError: one worker cannot hold even the catalogue.
    """
    records = records_per_action(load.actions_per_second, load.users)
    changing = load.actions_per_second * records
    cells = _up(changing / (value(f"follow.{load.index}") * value("busy")))
    actions, users = load.actions_per_second / cells, load.users / cells
    workers = _workers(load, actions, users, records)
    partitions = max(_FEWEST_PARTITIONS, 2 ** math.ceil(math.log2(2 * workers)))
    replicas = max(_FEWEST_REPLICAS, _up(load.queries_per_second / cells / value("queries")))
    record = 4 * load.dim + value(f"record.{load.history}")
    cores = _broker_cores(load, actions, records)
    written = actions * load.action_bytes + actions * records * record
    read = actions * load.action_bytes + actions * records * record * replicas
    return Plan(
        records_per_action=records,
        profiles_per_second=changing,
        cells=cells,
        workers=workers,
        partitions=partitions,
        gpus=workers if load.device == "cuda" else 0,
        worker_bytes=round(_worker_base(load) + users / workers * _worker_profile(load)),
        worker_disk_bytes=round(_worker_disk(load, users / workers)),
        takeover_seconds=users / workers * value("topic.copies") / value("restore.topic"),
        replicas=replicas,
        replica_bytes=round(_replica_bytes(load, users)),
        replica_disk_bytes=round(_replica_disk(load, users)),
        start_seconds=_start_seconds(load, users),
        milvus_bytes=round(_milvus_bytes(load, users)),
        brokers=max(
            _FEWEST_BROKERS if load.replication > 1 else 1,
            _up(cores / value("broker.cores")),
            _up((written * load.replication + read) / value("broker.network")),
        ),
        broker_cores=cores,
        kafka_disk_bytes=round(_kafka_disk(load, actions, users, records, partitions)),
        kafka_in=written,
        kafka_out=read,
    )


def records_per_action(actions_per_second: float, users: int) -> float:
    """Profiles published for an action: different users of a micro-batch, divided by its actions.

    With n actions of U users who are all as busy, each user has n/U on average and none with a
    probability of e^(-n/U): (1 - e^(-x)) / x with x = n/U. Users of whom some are busier than
    others make it less.
    """
    x = actions_per_second * value("micro-batch") / users
    return -math.expm1(-x) / x


def _up(number: float) -> int:
    return max(1, math.ceil(number))


def _workers(load: Load, actions: float, users: float, records: float) -> int:
    texts = actions * load.new_texts
    folding = actions * (value("action") + records * value("profile")) * _MICROSECOND
    if load.device == "cpu":  # the same cores do both
        busy = folding + texts / (_WORKER_CORES * value("texts.core"))
    else:
        busy = max(folding, texts / value("texts.gpu"))
    room = load.worker_memory - _worker_base(load)
    if room <= 0:
        raise SettingsError(
            f"a worker with {load.worker_memory / GIBIBYTE:.0f} GiB cannot hold the catalogue of "
            f"{load.items:,} items, which takes {_worker_base(load) / GIBIBYTE:.1f} GiB; give it "
            "more memory"
        )
    return max(
        _FEWEST_WORKERS,
        _up(busy / value("busy")),
        _up(users * _worker_profile(load) / room),
        _up(users * value("topic.copies") / value("restore.topic") / load.takeover_seconds),
    )


def _worker_base(load: Load) -> float:
    return value("base") * _MEBIBYTE + load.items * value("worker.item")


def _worker_profile(load: Load) -> float:
    return 4 * load.dim + value(f"worker.profile.{load.history}")


def _worker_disk(load: Load, users: float) -> float:
    snapshots = users * (4 * load.dim + value(f"worker.snapshot.{load.history}"))
    cached = load.items * (4 * load.dim + value("cached.text"))
    # A new snapshot is written beside the old one; a quarter of LMDB's file is room for pages.
    return 2 * snapshots + 1.25 * cached


def _index_bytes(load: Load) -> int:
    """Of a vector in the replica's own memory."""
    return 0 if load.index == "milvus" else VECTOR_BYTES[load.precision] * load.dim


def _replica_bytes(load: Load, users: float) -> float:
    profile = value(f"retrieval.profile.{load.history}") + _index_bytes(load)
    item = value("retrieval.item") + _index_bytes(load)
    if load.index == "faiss":
        profile += value("sketch") if users > value("accelerate") else 0
        item += value("graph") if load.items > value("accelerate") else 0
    item += _ranking_bytes(load)
    return value("base") * _MEBIBYTE + users * profile + load.items * item


def _ranking_bytes(load: Load) -> float:
    """Of an item, for the learned blend: each replica has its vector in float32 as well."""
    return 4 * load.dim + value("ranking.item")


def _replica_disk(load: Load, users: float) -> float:
    if load.index == "milvus":
        return 0.0  # it reads the topics at each start
    more = value(f"record.{load.history}") - value("record.some")
    profiles = users * (value("retrieval.snapshot") + more + _index_bytes(load))
    # the blend's vectors are the index's, put back with its items
    items = load.items * (value("retrieval.item") + _index_bytes(load) + value("ranking.snapshot"))
    return 2 * (profiles + items)  # a new one is written beside the old one


def _start_seconds(load: Load, users: float) -> float:
    if load.index == "milvus":
        return users * value("topic.copies") / value("follow.milvus")
    return users / value("restore.view") + load.items / value("restore.item")


def _milvus_bytes(load: Load, users: float) -> float:
    if load.index != "milvus":
        return 0.0
    return (users + load.items) * (4 * load.dim + value("graph")) * value("milvus.room")


def _broker_cores(load: Load, actions: float, records: float) -> float:
    leading = actions * (value("broker.action") + records * value("broker.profile")) * _MICROSECOND
    return leading * (1 + (load.replication - 1) * value("broker.copy")) / value("busy")


def _kafka_disk(load: Load, actions: float, users: float, records: float, partitions: int) -> float:
    record = 4 * load.dim + value(f"record.{load.history}")
    kept = actions * load.action_bytes * load.retention_days * _DAY_SECONDS
    changing = actions * records * record
    # Not compacted: what is younger than the topic's lag, and the segment that is written to.
    open_segments = min(partitions * GIBIBYTE, changing * 7 * _DAY_SECONDS)
    profiles = value("topic.copies") * users * record + changing * value("lag") + open_segments
    items = value("topic.copies") * load.items * (4 * load.dim + value("retrieval.item"))
    return (kept + profiles + items) * load.replication

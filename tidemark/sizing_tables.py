"""The tables of docs/sizing.md, made of `tidemark.sizing`.

``python -m tidemark.sizing_tables`` writes them into the page, between its markers; a test holds
the page to them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tidemark.sizing import GIBIBYTE, Load, Plan, plan
from tidemark.sizing_constants import CONSTANTS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["EXAMPLES", "PAGE", "amount", "page_with_tables", "rows"]

PAGE = Path(__file__).parents[1] / "docs/sizing.md"

#: The page's worked examples.
EXAMPLES: dict[str, Load] = {
    "small": Load(actions_per_second=1_000, users=1_000_000, items=100_000),
    "medium": Load(
        actions_per_second=20_000, users=10_000_000, items=1_000_000, queries_per_second=500,
        history="much", worker_memory=32 * GIBIBYTE,
    ),
    "many users, few changes": Load(
        actions_per_second=3_000, users=100_000_000, items=1_000_000, index="milvus",
        queries_per_second=100, worker_memory=32 * GIBIBYTE, takeover_seconds=600,
    ),
    "largest": Load(
        actions_per_second=1_000_000, users=100_000_000, items=1_000_000, device="cuda",
        queries_per_second=20_000, new_texts=0.1,
    ),
    "largest, Milvus": Load(
        actions_per_second=1_000_000, users=100_000_000, items=1_000_000, device="cuda",
        queries_per_second=20_000, new_texts=0.1, index="milvus",
    ),
}  # fmt: skip


def amount(count: float) -> str:
    """Bytes in GiB or TiB, two figures that count."""
    if not count:
        return "none"
    gibibytes = count / GIBIBYTE
    if gibibytes >= 1_000:  # noqa: PLR2004 # where GiB have four digits
        return f"{gibibytes / 1024:.2g} TiB"
    return f"{gibibytes:.0f} GiB" if gibibytes >= 9.5 else f"{gibibytes:.1f} GiB"  # noqa: PLR2004


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 7_200 else f"{seconds:,.0f} s"  # noqa: PLR2004


def rows(found: Plan) -> list[tuple[str, str]]:
    """What a plan says, a line each."""
    return [
        ("profiles published per action", f"{found.records_per_action:.2f}"),
        ("profiles that change, per second", f"{found.profiles_per_second:,.0f}"),
        ("cells", f"{found.cells:,}"),
        ("workers in each", f"{found.workers:,} of 2 cores"),
        ("GPUs in each", f"{found.gpus:,}"),
        ("memory of a worker", amount(found.worker_bytes)),
        ("disk of a worker", amount(found.worker_disk_bytes)),
        ("takeover without a snapshot", _time(found.takeover_seconds)),
        ("partitions of each topic", f"{found.partitions:,}"),
        ("retrieval replicas in each", f"{found.replicas:,}"),
        ("memory of a replica", amount(found.replica_bytes)),
        ("disk of a replica", amount(found.replica_disk_bytes)),
        ("start of a replica", _time(found.start_seconds)),
        ("Milvus' memory for each replica", amount(found.milvus_bytes)),
        ("brokers in each", f"{found.brokers:,}, {found.broker_cores:.2g} cores together"),
        ("Kafka's disk in each, all copies", amount(found.kafka_disk_bytes)),
        (
            "written to and read from Kafka",
            f"{found.kafka_in / 1e6:,.0f} and {found.kafka_out / 1e6:,.0f} MB/s",
        ),
    ]


def page_with_tables(page: str) -> str:
    """The page with its tables as they are to be.

    Raises:
        ValueError: a table has no place in it.
    """
    for name, made in (
        ("constants", _constants()), ("loads", _loads()), ("examples", _examples()),
    ):  # fmt: skip
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, found, rest = page.partition(begin)
        _, ended, after = rest.partition(end)
        if not found or not ended:
            raise ValueError(f"docs/sizing.md: expected the markers of {name!r}")
        page = f"{before}{begin}{made}{end}{after}"
    return page


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    made = [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines)]
    return "\n".join(made) + "\n"


def _constants() -> str:
    return _table(
        ["what", "value", "kind", "source"],
        [
            [one.what, f"{_number(one.value)} {one.unit}".strip(), one.kind, one.source]
            for one in CONSTANTS.values()
        ],
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:g}"  # noqa: PLR2004 # with commas


def _loads() -> str:
    head = [
        "", "actions/s", "users", "items", "queries/s", "new texts", "history", "index",
        "encoder on", "a worker",
    ]  # fmt: skip
    lines = [
        [
            name,
            f"{one.actions_per_second:,.0f}",
            f"{one.users:,}",
            f"{one.items:,}",
            f"{one.queries_per_second:,.0f}",
            f"{one.new_texts:.0%}",
            one.history,
            one.index,
            one.device,
            f"{amount(one.worker_memory)}, {one.takeover_seconds:.0f} s",
        ]
        for name, one in EXAMPLES.items()
    ]
    return _table(head, lines)


def _examples() -> str:
    found = {name: rows(plan(load)) for name, load in EXAMPLES.items()}
    labels = [label for label, _ in next(iter(found.values()))]
    lines = [[label, *(each[i][1] for each in found.values())] for i, label in enumerate(labels)]
    return _table(["", *found], lines)


if __name__ == "__main__":
    PAGE.write_text(page_with_tables(PAGE.read_text()))

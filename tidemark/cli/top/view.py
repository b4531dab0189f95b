"""The figures as a person reads them, on a terminal of any width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.columns import Columns
from rich.console import Group
from rich.panel import Panel
from rich.table import Table

from tidemark.cli.common import moment, seconds, shown

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["view"]

_MEBIBYTE = 1024 * 1024
#: Columns that the whole table of processes needs.
_WIDE = 72


def view(found: dict[str, Any], width: int) -> RenderableType:
    """Panels beside each other where there is room, else below.

    Args:
        found: from `figures`.
        width: of the terminal, in columns.
    """
    columns = max(1, min(3, width // 40))
    panel = width // columns - (1 if columns > 1 else 0)
    panels = [
        _panel("Throughput", _throughput(found), panel),
        _panel("Freshness", _freshness(found["freshness"]), panel),
        _panel("Lag", _lag(found), panel),
        _panel("Batches, median", _batches(found["batches"]), panel),
        _panel("Encoder", _encoder(found["encoder"]), panel),
        _panel("Dead letters", _dead_letters(found["dead_letters"]), panel),
        _panel("Index", _index(found["index"]), panel),
        _panel("Online quality", _quality(found["quality"]), panel),
    ]
    head = f"[bold]tidemark[/]  {moment(found['at'])}  [dim]q leaves[/]"
    return Group(head, _processes(found, width), Columns(panels, padding=(0, 1), expand=False))


def _panel(title: str, rows: list[tuple[str, str]], width: int) -> Panel:
    table = Table(show_header=False, box=None, pad_edge=False, expand=True)
    table.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for name, value in rows:
        table.add_row(name, value)
    return Panel(table, title=title, title_align="left", width=width, border_style="dim")


def _processes(found: dict[str, Any], width: int) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim")
    named = ("process", "state", "partitions", "actions/s", "cpu", "memory")
    kept = len(named) if width >= _WIDE else 2  # what a narrow terminal has room for
    for name in named[:kept]:
        left = name in {"process", "state"}
        table.add_column(
            name, justify="left" if left else "right", overflow="fold", no_wrap=not left
        )
    for one in found["workers"]:
        stalled = one["stalled_seconds"] or 0
        state = "[green]up[/]" if one["up"] else f"[red]down[/]: {shown(one['error'] or '')}"
        if stalled:
            state = f"[yellow]stalled for {seconds(stalled)}[/]"
        memory = one["memory_bytes"]
        cells = (
            f"worker {_address(one)}", state, _count(one["partitions"]),
            _rate(one["actions_per_second"]), _percent(one["cpu_ratio"]),
            "–" if memory is None else f"{memory / _MEBIBYTE:,.0f} MiB",
        )  # fmt: skip
        table.add_row(*cells[:kept])
    if not found["workers"]:
        table.add_row("workers", "[yellow]none are named[/]: --worker URL or dashboard.workers")
    if (service := found["retrieval"]) is not None:
        table.add_row(f"retrieval {_address(service)}", _service_state(service))
    return table


def _address(one: dict[str, Any]) -> str:
    return shown(one["url"].partition("://")[2].rstrip("/") or one["url"])


def _service_state(service: dict[str, Any]) -> str:
    if not service["up"]:
        return f"[red]down[/]: {shown(service['error'] or '')}"
    if service["ready"] is False:
        return f"[yellow]not ready[/]: {shown(service['reason'] or '')}"
    generation = f", {shown(service['generation'])}" if service["generation"] else ""
    state = f"[green]up[/]{generation}"
    return state + (f"; [yellow]{shown(service['error'])}[/]" if service["error"] else "")


def _throughput(found: dict[str, Any]) -> list[tuple[str, str]]:
    told = found["throughput"]
    rows = [("actions/s", f"[bold]{_rate(told['actions_per_second'])}[/]")]
    rows += [(f"  {shown(kind)}", _rate(rate)) for kind, rate in told["by_type"].items() if rate]
    rows += [
        (f"  [dim]{shown(outcome)}[/]", _rate(rate))
        for outcome, rate in told["skipped_per_second"].items()
        if rate
    ]
    service = found["retrieval"] or {}
    rows.append(("requests/s", _rate(service.get("requests_per_second"))))
    rows.append(("  p99", _time(service.get("request_p99_seconds"))))
    return rows


def _freshness(told: dict[str, Any]) -> list[tuple[str, str]]:
    within, wanted = told["within_slo_ratio"], told["objective_ratio"]
    colour = "red" if within is not None and wanted is not None and within < wanted else "green"
    limit = "" if told["slo_seconds"] is None else f" {seconds(told['slo_seconds'])}"
    return [
        ("p50", _time(told["p50_seconds"])),
        ("p99", _time(told["p99_seconds"])),
        (f"within{limit}", f"[{colour}]{_percent(within)}[/]"),
        ("promised", _percent(wanted)),
    ]


def _lag(found: dict[str, Any]) -> list[tuple[str, str]]:
    follower = (found["retrieval"] or {}).get("lag_records")
    return [
        ("records to read", f"[bold]{_count(found['lag']['records'])}[/]"),
        ("the oldest waits", _time(found["lag"]["seconds"])),
        ("retrieval behind", _count(follower)),
    ]


def _batches(told: dict[str, Any]) -> list[tuple[str, str]]:
    stages = ("batch_fill", "prepare", "encode", "fold", "publish", "commit")
    return [
        ("batches/s", _rate(told["per_second"])),
        ("actions", _count(told["actions_p50"])),
        *((one.removeprefix("batch_"), _time(told[f"{one}_p50_seconds"])) for one in stages),
    ]


def _encoder(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("texts/s", _rate(told["texts_per_second"])),
        ("encoded/s", _rate(told["encoded_per_second"])),
        ("from the cache", _percent(told["cache_hit_ratio"])),
        ("padding", _percent(told["padding_ratio"])),
        ("busy", _percent(told["busy_ratio"])),
        ("failures", _count(told["failures"])),
    ]


def _dead_letters(told: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [
        (shown(reason), f"{_count(one['total'])}" + (f" (+{_rate(one['per_second'])}/s)"
                                                     if one["per_second"] else ""))
        for reason, one in told.items() if one["total"]
    ]  # fmt: skip
    return rows or [("none since the workers began", "")]


def _index(told: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, one in told.items():
        rows.append((f"{shown(name)}", f"[bold]{_count(one['vectors'])}[/]"))
        recall = one["recall"]
        rows.append(("  recall@100", "all" if recall is None else f"{recall:.3f}"))
        rows.append(("  search p99", _time(one["search_p99_seconds"])))
    return rows or [("not known", "")]


def _quality(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("recall@10", _percent(told["recall_at_10"])),
        ("of the nearest", _percent(told["nearest_recall_at_10"])),
        ("of popularity", _percent(told["popularity_recall_at_10"])),
        ("trials", _count(told["trials"])),
        ("drift p50", "–" if told["drift_p50"] is None else f"{told['drift_p50']:.4f}"),
        ("choices counted", _count(told["choices_counted"])),
        ("ranking's steps, ever", _count(told["ranking_steps"])),
    ]


def _rate(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.1f}" if value < 10 else f"{value:,.0f}"  # noqa: PLR2004 # digits that tell


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _time(value: float | None) -> str:
    return "–" if value is None else seconds(value)

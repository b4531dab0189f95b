"""``tidemark retrieval inspect``: what a running retrieval service holds."""

from __future__ import annotations

from typing import Any

import typer  # noqa: TC002 # typer reads it at run time
from rich.table import Table

from tidemark.cli.ask import ask
from tidemark.cli.common import AsJson, ConfigFile, Url, console, print_json, shown

__all__ = ["inspect"]


def inspect(
    context: typer.Context, config: ConfigFile = None, url: Url = None, as_json: AsJson = False
) -> None:
    """Show what a running service holds: kinds, sizes, recall, generation, offsets, lag."""
    # `retrieval -c FILE inspect` means the same as `retrieval inspect -c FILE`.
    above = context.parent.params if context.parent is not None else {}
    config = config or above.get("config")
    found = ask(config, url, "/v1/status", scope="admin")
    if as_json:
        print_json(found)
        return
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_row("ready", "yes" if found["ready"] else f"[red]no[/]: {shown(found['reason'])}")
    if not found["healthy"]:
        facts.add_row("health", f"[red]{shown(found['health_reason'])}[/]")
    lag = found["lag"]
    facts.add_row("lag", "not known yet" if lag is None else f"{lag:,} records")
    facts.add_row("generation", _generation(found))
    if (upcoming := found["upcoming"]) is not None:
        facts.add_row("next generation", _generation(upcoming))
        facts.add_row("", f"answers when caught up: {shown(upcoming['waiting_for'])}")
        facts.add_row("", f"{upcoming['profiles']:,} profiles, {upcoming['items']:,} items so far")
        if not upcoming["profiles"]:
            facts.add_row("", "its worker is started by: tidemark worker -c NEXT.toml")
    for name, value in _searched_by(found).items():
        facts.add_row(name, value)
    p50, p99 = (found["freshness"][name] for name in ("p50_seconds", "p99_seconds"))
    if p50 is not None and p99 is not None:
        facts.add_row("freshness", f"p50 {p50 * 1000:,.0f} ms, p99 {p99 * 1000:,.0f} ms")
    skipped = ", ".join(f"{count:,} {kind}" for kind, count in found["records"].items() if count)
    facts.add_row("skipped", f"{skipped} records" if skipped else "none")
    console.print(facts, highlight=False)
    indexes = Table("index", "held", "kind", "recall@100", title="Indexes", title_justify="left")
    for name, kind in found["indexes"].items():
        recall = found["recall"].get(name)
        indexes.add_row(
            name, f"{found[name]:,}", shown(kind), "all" if recall is None else f"{recall:.3f}"
        )
    console.print(indexes, highlight=False)
    if (ranking := found["ranking"]) is not None:
        console.print(_ranking(ranking), highlight=False)
    console.print(_offsets(found), highlight=False)


def _offsets(found: dict[str, Any]) -> Table:
    offsets = Table("topic", "partition", "offset", "what", title="Offsets", title_justify="left")
    for what, places in (("read up to", "positions"), ("in the profiles", "applied")):
        for topic, partitions in sorted(found[places].items()):
            for partition, offset in sorted(partitions.items(), key=lambda one: int(one[0])):
                offsets.add_row(shown(topic), partition, f"{offset:,}", what)
    return offsets


def _ranking(found: dict[str, Any]) -> Table:
    """The weights of the blend, those that count most first."""
    contexts = list(next(iter(found["weights"].values())))
    maps = ", ".join(f"{shown(name)} {norm:.2f}" for name, norm in found["text_maps"].items())
    title = f"Ranking, learned from {found['steps']:,} choices; norms of the text maps: {maps}"
    table = Table("feature", title=title, title_justify="left")
    for name in contexts:
        table.add_column(shown(name), justify="right")
    weights = sorted(found["weights"].items(), key=lambda one: -abs(one[1]["always"]))
    for feature, by_context in weights:
        table.add_row(shown(feature), *(f"{by_context[name]:+.2f}" for name in contexts))
    return table


def _searched_by(found: dict[str, Any]) -> dict[str, str]:
    """What decides what is found: of what a service of an earlier version does not say, nothing."""
    told = {"searched": _search(found)} if "mean_removal" in found else {}
    trained = {name: found.get(name) for name in ("ranker", "sequence")}
    return told | {name: shown(value) for name, value in trained.items() if value is not None}


def _search(found: dict[str, Any]) -> str:
    if not found["mean_removal"]:
        return "by profiles as they are"
    turned = f", whitened by {found['whitening']:g}" if found["whitening"] else ""
    return f"by profiles without the items' mean{turned}"


def _generation(found: dict[str, Any]) -> str:
    return shown(f"{found['generation']}, of {found['encoder_id']}")

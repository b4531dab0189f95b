"""The demo's report as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from tidemark.cli.common import console, shown
from tidemark.demo import LAST_ACTIONS, WINDOW

if TYPE_CHECKING:
    from tidemark.demo import DemoReport, UserView

__all__ = ["print_report"]


def print_report(report: DemoReport) -> None:
    """Print the figures, and for each shown user the candidates before and after."""
    figures = Table("", "", box=None, show_header=False)
    figures.add_row("actions", f"{report.actions:,} in {report.seconds:.1f} s")
    figures.add_row("actions per second", f"[bold]{report.rate:,.0f}[/]")
    figures.add_row(
        "freshness, publish to retrievable",
        f"[bold]p50 {report.freshness_p50 * 1000:.0f} ms, p99 {report.freshness_p99 * 1000:.0f} ms"
        f"[/] (at full rate, at most {WINDOW:,} actions on their way)",
    )
    figures.add_row(
        "texts encoded",
        f"{report.texts_encoded:,}; {report.cache_hit_rate:.1%} of the texts needed no encoding",
    )
    figures.add_row("catalogue", f"loaded and encoded in {report.catalogue_seconds:.1f} s")
    figures.add_row("profiles", f"{report.profiles:,}")
    figures.add_row("dead letters", f"{report.dead_letters:,}")
    console.rule("Report")
    console.print(figures, highlight=False)
    for before, after in report.users:
        _print_user(before, after)


def _print_user(before: UserView, after: UserView) -> None:
    console.print()
    table = Table(
        "", f"before ({before.actions} actions)", f"after ({after.actions} actions)",
        title=f"User {after.user_id}: ten candidates around the last {LAST_ACTIONS} actions",
        title_justify="left",
    )  # fmt: skip
    for rank, (old, new) in enumerate(zip(before.candidates, after.candidates, strict=True), 1):
        table.add_row(str(rank), _scored(old), _scored(new))
    table.add_section()
    table.add_row("≈", _neighbours(before), _neighbours(after))
    console.print(table, highlight=False)


def _scored(candidate: tuple[str, float]) -> str:
    title, score = candidate
    return f"{shown(title)}  [dim]{score:.2f}[/]"


def _neighbours(view: UserView) -> str:
    near = ", ".join(f"{shown(user)} [dim]{score:.2f}[/]" for user, score in view.neighbours)
    return f"nearest profiles: {near}"

"""A report of ``tidemark evaluate``, as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from tidemark.evaluation.metrics import MEANS
from tidemark.evaluation.moments import SEGMENTS
from tidemark.evaluation.report import ALL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from tidemark.evaluation.bootstrap import Estimate
    from tidemark.evaluation.report import Report, Row

__all__ = ["signed", "tables"]

_BY_SEGMENT = "recall@10"


def tables(report: Report) -> Iterator[RenderableType]:
    """What was scored, metrics, differences to the reference, and the segments."""
    yield _heading(report)
    yield _metrics(report)
    if len(report.rows) > 1:
        yield _differences(report)
    yield _segments(report)


def _heading(report: Report) -> Text:
    choice = report.choice
    return Text(
        f"{report.log}: {report.actions:,} actions of {report.users:,} users, "
        f"{report.items:,} items"
        f"\n{report.moments[ALL]:,} of {report.eligible:,} moments of "
        f"{report.users_scored:,} users, from {choice.begin:.0%} to {choice.until:.0%} "
        f"of the log, seed {choice.seed}; below each figure its 95% interval"
        f"\nprofiles by {report.policy}, searched for "
        f"{'without' if report.mean_removal else 'with'} the items' mean"
        f"{f', whitened by {report.whitening:g}' if report.whitening else ''}"
    )


def _metrics(report: Report) -> Table:
    table = _table("", (*MEANS[:-1], "coverage", "novelty"))
    for row in report.rows:
        means = row.means[ALL]
        table.add_row(
            _name(row, report),
            *(_figure(means[metric]) for metric in MEANS[:-1]),
            Text(f"{row.coverage[ALL]:.1%}"),
            _figure(means[MEANS[-1]], digits=2),
        )
    return table


def _differences(report: Report) -> Table:
    table = _table(f"less {report.reference}", MEANS[:-1])
    for row in report.rows:
        if row.differences is not None:
            found = row.differences[ALL]
            table.add_row(
                _name(row, report), *(_difference(found[metric]) for metric in MEANS[:-1])
            )
    return table


def _segments(report: Report) -> Table:
    names = (ALL, *SEGMENTS)
    table = _table(
        _BY_SEGMENT, tuple(f"{name}\n{report.moments[name]:,} moments" for name in names)
    )
    for row in report.rows:
        table.add_row(
            _name(row, report), *(_figure(row.means[name][_BY_SEGMENT]) for name in names)
        )
    return table


def _table(corner: str, columns: tuple[str, ...]) -> Table:
    # The empty title is a line between two tables.
    table = Table(title="", box=None, padding=(0, 1, 0, 0), header_style="bold", pad_edge=False)
    table.add_column(corner, no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _name(row: Row, report: Report) -> Text:
    return Text(row.name, style="bold" if row.name == report.reference else "")


def _figure(estimate: Estimate, digits: int = 3) -> Text:
    if estimate.value is None:
        return Text("–")
    text = Text(_number(estimate.value, digits))
    if estimate.low is not None and estimate.high is not None:
        interval = f"{_number(estimate.low, digits)}–{_number(estimate.high, digits)}"
        text.append(f"\n{interval}", style="dim")
    return text


def _difference(estimate: Estimate) -> Text:
    if estimate.value is None:
        return Text("–")
    style = "green" if estimate.above_zero else "red" if estimate.below_zero else ""
    text = Text(signed(estimate.value), style=style)
    if estimate.low is not None and estimate.high is not None:
        text.append(f"\n{signed(estimate.low)} to {signed(estimate.high)}", style="dim")
    return text


def _number(value: float, digits: int = 3) -> str:
    """Without the zero before the point, so that more figures fit beside each other."""
    return f"{value:.{digits}f}".replace("0.", ".", 1) if 0 <= value < 1 else f"{value:.{digits}f}"


def signed(value: float) -> str:
    """With its sign, unless it rounds to zero, which has none."""
    said = f"{value:+.3f}".replace("-", "−").replace("0.", ".", 1)
    return said[1:] if said[1:] == ".000" else said

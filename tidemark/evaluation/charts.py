"""Pictures of a report: a metric over time, and by segment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemark.errors import EvaluationError
from tidemark.evaluation.moments import SEGMENTS
from tidemark.evaluation.registry import Kind
from tidemark.evaluation.report import ALL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tidemark.evaluation.bootstrap import Estimate
    from tidemark.evaluation.report import Report, Row

__all__ = ["CHARTED", "LINES", "draw", "lines_of", "require_matplotlib", "spread"]

#: A picture over time and one by segment is drawn of each.
CHARTED = ("recall@10", "ndcg@10")
#: More lines than these are not told apart over time; where there are, so few are drawn of others.
LINES, _FEW = 10, 6
#: Told apart by people who see colours differently (Okabe and Ito, Color universal design, 2008),
#: without the yellow, which is hard to see on white.
_COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_REFERENCE = "#D55E00"
_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
_INK, _QUIET, _GRID = "#222222", "#6b6b6b", "#e4e4e4"
_SIZE = {"title": 12, "label": 9, "tick": 8.5}
#: Inches, whatever the height of a figure: its width, the title with the line below it, the two
#: lines above a panel, the ticks below the plots with one and with two lines.
_WIDTH, _HEADER, _ABOVE_PANEL, _TICKS, _TICKS_OF_TWO = 10.0, 0.66, 0.42, 0.36, 0.5
_LINE = 0.17
#: Of a row, of the least there is of plots, and of a character of a tick's label, at most.
_ROW, _LEAST_OVER_TIME, _CHARACTER = 0.26, 3.1, 0.075
#: Of a segment with fewer moments, intervals reach from nothing to all, and would set the scale.
_TOO_FEW = 25


def require_matplotlib() -> None:
    """Say early that charts cannot be drawn.

    Raises:
        EvaluationError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401, PLC0415 # of the extra `learn`
    except ImportError as error:
        raise EvaluationError(
            "charts are drawn by matplotlib, which is not installed: "
            "pip install 'tidemark[learn]'; or leave out --out"
        ) from error


def draw(report: Report, folder: Path) -> list[Path]:
    """Write PNG pictures into a folder that is there; returns their paths.

    Raises:
        EvaluationError: matplotlib is not installed, or a picture cannot be written.
    """
    require_matplotlib()
    written = []
    for metric in CHARTED:
        name = metric.replace("@", "-at-")
        for kind, figure in (
            ("over-time", _over_time(report, metric)),
            ("by-segment", _by_segment(report, metric)),
        ):
            path = folder / f"{name}-{kind}.png"
            try:
                figure.savefig(path, dpi=150, facecolor="white")
            except OSError as error:
                raise EvaluationError(f"{path} cannot be written: {error}") from error
            written.append(path)
    return written


def _over_time(report: Report, metric: str) -> Any:
    """A line for each recommender, labelled at its end."""
    drawn = lines_of(report, metric)
    figure, (axes,) = _figure(
        1, max(_LEAST_OVER_TIME, 0.21 * len(drawn)),
        above=_HEADER if len(drawn) == len(report.rows) else _HEADER + _LINE,
        below=_TICKS_OF_TWO,
    )  # fmt: skip
    longest = max(len(row.name) for row in drawn)
    figure.subplots_adjust(left=0.075, right=1 - (0.4 + longest * 1.1 * _CHARACTER) / _WIDTH)
    at = np.arange(len(report.periods))
    ends: list[tuple[float, str, str]] = []
    # The reference above all others.
    for number, row in enumerate(sorted(drawn, key=lambda row: row.name == report.reference)):
        values = np.array(
            [np.nan if one is None else one for one in row.over_time[metric]], np.float64
        )
        stands_out = row.name == report.reference
        colour = _REFERENCE if stands_out else _COLOURS[number % len(_COLOURS)]
        dashes = "-" if stands_out else _DASHES[number // len(_COLOURS) % len(_DASHES)]
        axes.plot(
            at, values, color=colour, linestyle=dashes, linewidth=2.8 if stands_out else 1.4,
            marker="o",
            markersize=3.5 if len(at) > 1 else 6, solid_capstyle="round",
        )  # fmt: skip
        if len(known := values[~np.isnan(values)]):
            ends.append((float(known[-1]), row.name, colour))
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)
    days = [datetime.fromtimestamp(one.begin / 1000, UTC) for one in report.periods]
    axes.set_xticks(at, [f"{day:%d %b}\n{day:%Y}" for day in days])
    axes.set_ylabel(metric, fontsize=_SIZE["label"], color=_INK)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    _label_ends(axes, ends)
    _title(
        figure,
        f"{metric} over time, {report.log}",
        f"{report.moments[ALL]:,} moments in {len(at)} periods of as many each; "
        f"dates are those of a period's first{_left_out(report, metric, drawn)}",
    )
    return figure


def lines_of(report: Report, metric: str) -> list[Row]:
    """The rows that are drawn over time, the best of all moments first.

    All, up to `LINES`. Else the reference, the system, and the best few of the others; variants of
    the system come behind those, for they all lie near to it.
    """
    rows = _best_first(report, metric)
    if len(rows) <= LINES:
        return rows
    always = _always(report)
    others = [row for row in rows if row.name not in always]
    few = sorted(others, key=lambda row: row.kind == Kind.system)[:_FEW]
    return [row for row in rows if row.name in always or row in few]


def _always(report: Report) -> list[str]:
    """The system, where it was evaluated, and the reference."""
    system = next((row.name for row in report.rows if row.kind == Kind.system), report.reference)
    return list(dict.fromkeys((system, report.reference)))


def _left_out(report: Report, metric: str, drawn: Sequence[Row]) -> str:
    if len(drawn) == len(report.rows):
        return ""
    always = _always(report)

    def variants(rows: Sequence[Row]) -> bool:
        return any(row.kind == Kind.system and row.name not in always for row in rows)

    of = ""
    if variants(report.rows):
        system = always[0]
        of = (
            f", variants of {system} behind all else"
            if variants(drawn)
            else f" that are no variant of {system}"
        )
    return (
        f"\ndrawn of {len(report.rows)}: {' and '.join(always)}, and the best "
        f"{len(drawn) - len(always)} others{of}, by {metric} of all moments"
    )


def _label_ends(axes: Any, ends: Sequence[tuple[float, str, str]]) -> None:
    """Names beside the ends of their lines, moved apart where they would overlap."""
    bottom, top = axes.get_ylim()
    points = axes.get_window_extent().height * 72 / axes.figure.dpi
    ordered = sorted(ends)
    gap = 1.35 * _SIZE["label"] / points * (top - bottom)
    heights = spread([value for value, _, _ in ordered], gap, bottom, top)
    last, (left, right) = axes.lines[0].get_xdata()[-1], axes.get_xlim()
    for (value, name, colour), height in zip(ordered, heights, strict=True):
        axes.annotate(
            name, xy=(last, value), xytext=(right + 0.025 * (right - left), height),
            color=colour, fontsize=_SIZE["label"], va="center", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "alpha": 0.6,
                        "shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5)},
        )  # fmt: skip


def spread(heights: Sequence[float], gap: float, lowest: float, highest: float) -> list[float]:
    """Heights as near to these, which ascend, as they can be with a gap between each two.

    The least squares of it are an isotonic regression of what is left when the gaps are taken away
    (pool adjacent violators).
    """
    blocks: list[tuple[float, int]] = []
    for at, height in enumerate(heights):
        blocks.append((height - at * gap, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (second, many), (first, more) = blocks.pop(), blocks.pop()
            blocks.append(((first * more + second * many) / (more + many), more + many))
    most = highest - gap * (len(heights) - 1)
    level = [max(lowest, min(mean, most)) for mean, count in blocks for _ in range(count)]
    return [base + at * gap for at, base in enumerate(level)]


def _by_segment(report: Report, metric: str) -> Any:
    """A panel for each segment: a dot for each recommender, with its interval."""
    rows = _best_first(report, metric)[::-1]
    figure, panels = _figure(
        1 + len(SEGMENTS), _ROW * (len(rows) + 0.2), above=_HEADER + _ABOVE_PANEL, below=_TICKS
    )
    longest = max(len(row.name) for row in rows)
    figure.subplots_adjust(left=0.015 + longest * _CHARACTER / _WIDTH, right=0.985, wspace=0.12)
    told = [one for one in (ALL, *SEGMENTS) if one == ALL or report.moments[one] >= _TOO_FEW]
    furthest = max(
        (
            estimate.value if estimate.high is None else estimate.high
            for row in rows
            for segment in told
            if (estimate := row.means[segment][metric]).value is not None
        ),
        default=0.0,
    )
    for axes, segment in zip(panels, (ALL, *SEGMENTS), strict=True):
        for height, row in enumerate(rows):
            estimate = row.means[segment][metric]
            if segment in told and estimate.value is not None:
                _dot(axes, estimate, height, reference=row.name == report.reference)
        few = "" if segment in told else ": too few"
        axes.set_title(
            f"{segment}\n{report.moments[segment]:,} moments{few}",
            fontsize=_SIZE["label"], color=_INK, loc="left",
        )  # fmt: skip
        # One scale, so that panels are compared; with nothing found there is none.
        axes.set_xlim(0, 1.04 * furthest or 1)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.grid(axis="x", color=_GRID, linewidth=0.8)
        axes.locator_params(axis="x", nbins=4)
        axes.set_yticks(range(len(rows)), [row.name if axes is panels[0] else "" for row in rows])
        axes.tick_params(axis="y", length=0)
    for label in panels[0].get_yticklabels():
        if label.get_text() == report.reference:
            label.set_color(_REFERENCE)
            label.set_fontweight("bold")
    _title(
        figure,
        f"{metric} by segment, {report.log}",
        f"with 95% intervals of a bootstrap over {report.users_scored:,} users; "
        f"the reference is {report.reference}; segments may overlap",
    )
    return figure


def _dot(axes: Any, estimate: Estimate, height: int, *, reference: bool) -> None:
    colour = _REFERENCE if reference else _COLOURS[0]
    if estimate.low is not None:
        axes.plot(
            [estimate.low, estimate.high], [height, height], color=colour, linewidth=1.6,
            clip_on=False,
        )  # fmt: skip
    axes.plot([estimate.value], [height], color=colour, marker="o", markersize=5, clip_on=False)


def _best_first(report: Report, metric: str) -> list[Row]:
    return sorted(report.rows, key=lambda row: -(row.means[ALL][metric].value or 0.0))


def _figure(panels: int, plots: float, *, above: float, below: float) -> tuple[Any, list[Any]]:
    """A figure of plots beside each other; their height and what is around it are in inches."""
    # Not by pyplot: it keeps what was drawn, and asks for a screen.
    from matplotlib.figure import Figure  # noqa: PLC0415 # see above

    height = above + plots + below
    figure = Figure(figsize=(_WIDTH, height), dpi=150)
    figure.subplots_adjust(top=1 - above / height, bottom=below / height)
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for one in axes:
        one.set_facecolor("white")
        one.spines[["top", "right", "left"]].set_visible(False)
        one.spines["bottom"].set_color(_QUIET)
        one.tick_params(labelsize=_SIZE["tick"], colors=_INK, length=3)
        one.set_axisbelow(True)
    return figure, axes


def _title(figure: Any, title: str, below: str) -> None:
    left = figure.subplotpars.left if len(figure.axes) == 1 else 0.02
    inches = figure.get_figheight()
    figure.text(
        left, 1 - 0.14 / inches, title, fontsize=_SIZE["title"], color=_INK, va="top",
        fontweight="bold",
    )  # fmt: skip
    figure.text(
        left, 1 - 0.38 / inches, below, fontsize=_SIZE["label"], color=_QUIET, va="top"
    )  # fmt: skip

"""Pictures of a report: a metric over time, and by segment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemark.errors import EvaluationError
from tidemark.evaluation.moments import SEGMENTS
from tidemark.evaluation.report import ALL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tidemark.evaluation.bootstrap import Estimate
    from tidemark.evaluation.report import Report, Row

__all__ = ["CHARTED", "draw", "require_matplotlib", "spread"]

#: A picture over time and one by segment is drawn of each.
CHARTED = ("recall@10", "ndcg@10")
#: Told apart by people who see colours differently (Okabe and Ito, Color universal design, 2008),
#: without the yellow, which is hard to see on white.
_COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_REFERENCE = "#D55E00"
_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
_INK, _QUIET, _GRID = "#222222", "#6b6b6b", "#e4e4e4"
_SIZE = {"title": 12, "label": 9, "tick": 8.5}


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
    figure, (axes,) = _figure(1, height=max(4.2, 1.4 + 0.21 * len(report.rows)))
    figure.subplots_adjust(left=0.075, right=0.78, top=0.86, bottom=0.13)
    at = np.arange(len(report.periods))
    ends: list[tuple[float, str, str]] = []
    others = [row for row in _best_first(report, metric) if row.name != report.reference]
    for number, row in enumerate((*others, report.row(report.reference))):
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
        "dates are those of a period's first",
    )
    return figure


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
    figure, panels = _figure(1 + len(SEGMENTS), height=max(3.2, 1.5 + 0.26 * len(rows)))
    figure.subplots_adjust(left=0.16, right=0.985, top=0.78, bottom=0.12, wspace=0.12)
    for axes, segment in zip(panels, (ALL, *SEGMENTS), strict=True):
        for height, row in enumerate(rows):
            estimate = row.means[segment][metric]
            if estimate.value is not None:
                _dot(axes, estimate, height, reference=row.name == report.reference)
        axes.set_title(
            f"{segment}\n{report.moments[segment]:,} moments", fontsize=_SIZE["label"], color=_INK,
            loc="left",
        )  # fmt: skip
        axes.set_xlim(left=0)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.grid(axis="x", color=_GRID, linewidth=0.8)
        axes.locator_params(axis="x", nbins=3)
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


def _figure(panels: int, height: float) -> tuple[Any, list[Any]]:
    # Not by pyplot: it keeps what was drawn, and asks for a screen.
    from matplotlib.figure import Figure  # noqa: PLC0415 # see above

    figure = Figure(figsize=(10, height), dpi=150)
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

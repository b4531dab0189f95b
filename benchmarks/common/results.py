"""What was measured: as a table, as JSON and as a chart."""

from __future__ import annotations

import json
import statistics
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

__all__ = ["Bar", "Measurement", "commit", "results_folder", "save", "show"]

_RESULTS = Path(__file__).resolve().parents[1] / "results"


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure that was asked for.

    Attributes:
        bar: what, in words, with "at least" or "at most".
        asked: the figure asked for.
        measured: the median of the repetitions.
        unit: of both.
        met: whether it is reached.
    """

    bar: str
    asked: float
    measured: float
    unit: str
    met: bool

    @classmethod
    def at_least(cls, what: str, asked: float, measured: float, unit: str) -> Bar:
        """Met from ``asked`` on upwards."""
        return cls(f"{what}, at least", asked, _short(measured), unit, measured >= asked)

    @classmethod
    def at_most(cls, what: str, asked: float, measured: float, unit: str) -> Bar:
        """Met up to ``asked``."""
        return cls(f"{what}, at most", asked, _short(measured), unit, measured <= asked)


@dataclass(slots=True)
class Measurement:
    """One measurement's outcome.

    Attributes:
        name: as in ``ONLY=``.
        title: of table and chart.
        unit: of the charted values.
        values: per label, one value a repetition; the chart and the table's first columns.
        details: per label, further columns of the table, medians in words.
        bars: what was asked for and what came out.
        notes: what a reader must know: left out, fewer actions…
        runs: every repetition's raw figures.
    """

    name: str
    title: str
    unit: str
    values: dict[str, list[float]] = field(default_factory=dict)
    details: dict[str, dict[str, str]] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)

    def median(self, label: str) -> float:
        """Of the repetitions."""
        return statistics.median(self.values[label])


def results_folder(*, quick: bool) -> Path:
    """Where results go. A quick run's are kept apart: they show that it works, not how fast."""
    return _RESULTS / "quick" if quick else _RESULTS


def show(measurement: Measurement, console: Console) -> None:
    """Print the tables."""
    table = Table(title=f"{measurement.title} ({measurement.unit})", title_justify="left")
    columns = list(dict.fromkeys(key for one in measurement.details.values() for key in one))
    table.add_column("")
    for heading in ("median", "lowest", "highest", *columns):
        table.add_column(heading, justify="right")
    for label, values in measurement.values.items():
        shown = measurement.details.get(label, {})
        table.add_row(
            label,
            *(_number(one) for one in (statistics.median(values), min(values), max(values))),
            *(shown.get(column, "") for column in columns),
        )
    console.print(table)
    bars = Table("asked for", "", "measured", "unit", "met")
    for bar in measurement.bars:
        met = "[green]yes" if bar.met else "[red]NO"
        bars.add_row(bar.bar, _number(bar.asked), _number(bar.measured), bar.unit, met)
    if measurement.bars:
        console.print(bars)
    for note in measurement.notes:
        console.print(f"- {note}")


def save(area: str, measurement: Measurement, *, quick: bool) -> None:
    """Write ``<area>/<name>.json``, and from all that are there ``<area>.json`` and ``.png``.

    Measurements may be run one by one: each holds what it compares from one run.
    """
    folder = results_folder(quick=quick)
    parts = folder / area
    parts.mkdir(parents=True, exist_ok=True)
    raw = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        **asdict(measurement),
    }
    (parts / f"{measurement.name}.json").write_text(json.dumps(raw, indent=1) + "\n")
    found = [json.loads(path.read_text()) for path in sorted(parts.glob("*.json"))]
    bars = [bar for one in found for bar in one["bars"]]
    (folder / f"{area}.json").write_text(json.dumps(bars, indent=1) + "\n")
    _chart(found, folder / f"{area}.png")


def _chart(found: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Medians as bars, the repetitions as dots on them."""
    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 # after the choice of a backend

    heights = [1.1 + 0.36 * len(one["values"]) for one in found]
    figure, axes = plt.subplots(
        len(found), 1, figsize=(9, sum(heights)), height_ratios=heights, squeeze=False
    )
    for axis, one in zip(axes[:, 0], found, strict=True):
        labels = list(one["values"])[::-1]
        medians = [statistics.median(one["values"][label]) for label in labels]
        colours = ["#1f77b4" if label.startswith("Tidemark") else "#b0b0b0" for label in labels]
        axis.barh(labels, medians, color=colours)
        for row, label in enumerate(labels):
            dots = one["values"][label]
            axis.plot(dots, [row] * len(dots), ".", color="black", markersize=4)
            axis.annotate(f" {_number(medians[row])}", (max(dots), row), va="center", fontsize=8)
        axis.set_title(f"{one['title']} ({one['unit']})", loc="left", fontsize=10)
        axis.margins(x=0.12)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _short(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 # for reading


def commit() -> str:
    """The commit measured, with a plus where files differ from it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"],
        cwd=_RESULTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"

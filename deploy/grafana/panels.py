"""How the dashboards look: one kind of curves, one kind of figure, and what all dashboards share.

Expressions are written as `deploy.grafana.queries` says.
Colours are Grafana's by name, which it shows differently on light and dark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)

from deploy.grafana.queries import whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.grafana.queries import Query

__all__ = [
    "Thresholds",
    "as_json",
    "board",
    "curves",
    "figure",
    "row",
]

#: Values from which on a panel turns orange and red; the other way round where less is worse.
Thresholds = tuple[float, float]

_DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
_FIGURE_HEIGHT, _CURVES_HEIGHT = 4, 8
_LINKS = (
    ("Overview", "tidemark-overview"),
    ("Worker", "tidemark-worker"),
    ("Retrieval and index", "tidemark-retrieval"),
    ("Quality", "tidemark-quality"),
)


def curves(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 8,
    stacked: bool = False,
    thresholds: Thresholds | None = None,
    most: float | None = None,
    signed: bool = False,
) -> timeseries.Panel:
    """Values over time.

    Args:
        title: what is seen.
        description: what it means, and what is well.
        unit: of Grafana: ``s``, ``bytes``, ``percentunit``, ``short``…
        queries: an expression and the legend of its series each.
        width: of the 24 columns.
        stacked: whether the series add up to a sum.
        thresholds: drawn as dashed lines.
        most: the highest value possible.
        signed: whether there are values below 0.
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(_DATASOURCE)
        .unit(unit)
        .height(_CURVES_HEIGHT)
        .span(width)
        .line_width(1)
        .fill_opacity(25 if stacked else 5)
        .show_points(VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
        )
        .tooltip(
            common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
        )
        .color_scheme(builders.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
    )
    if not signed:
        panel.min(0)
    if stacked:
        panel.stacking(common.StackingConfig().group("A").mode(StackingMode.NORMAL))
    if most is not None:
        panel.max(most)
    if thresholds is not None:
        panel.thresholds(_steps(thresholds))
        panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        )
    for letter, (expression, legend) in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(_query(letter, expression).legend_format(legend))
    return panel


def figure(
    title: str,
    description: str,
    unit: str,
    expression: str,
    *,
    width: int = 3,
    thresholds: Thresholds | None = None,
    legend: str = "",
) -> stat.Panel:
    """One value, now; green, orange or red where it has thresholds."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(_DATASOURCE)
        .unit(unit)
        .height(_FIGURE_HEIGHT)
        .span(width)
        .no_value("none")
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .graph_mode(BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.NONE if thresholds is None else BigValueColorMode.VALUE)
        .with_target(_query("A", expression).instant().legend_format(legend))
    )
    if thresholds is not None:
        panel.color_scheme(builders.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        panel.thresholds(_steps(thresholds))
    return panel


def row(title: str) -> builders.Row:
    """A heading; what follows is below it."""
    return builders.Row(title)


def board(
    name: str,
    title: str,
    description: str,
    jobs: str,
    parts: Sequence[builders.Row | timeseries.Panel | stat.Panel],
) -> models.Dashboard:
    """A dashboard.

    Args:
        name: of its address: ``tidemark-NAME``.
        title: as people see it.
        description: what it is for.
        jobs: a selector of `tidemark_build_info` whose jobs can be chosen.
        parts: headings and panels, in order.
    """
    made = (
        builders.Dashboard(title)
        .uid(f"tidemark-{name}")
        .description(description)
        .tags(["tidemark"])
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(
            builders.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
        .with_variable(_chosen("job", "Job", f"label_values(tidemark_build_info{jobs}, job)"))
        .with_variable(
            _chosen(
                "instance",
                "Instance",
                whole("label_values(tidemark_build_info{@}, instance)"),
            )
        )
        .annotation(
            _events(
                "Generations",
                "max by (instance) (increase(tidemark_generation_swaps_total{*}[1m])) > 0",
                "purple",
            )
        )
        .annotation(
            _events(
                "Rebalances",
                "max by (job) (increase(tidemark_rebalances_total{*}[1m])) > 0",
                "blue",
            )
        )
    )
    for label, other in _LINKS:
        if other != f"tidemark-{name}":
            made.link(
                builders.DashboardLink(label)
                .type(models.DashboardLinkType.LINK)
                .url(f"/d/{other}")
                .keep_time(True)
            )
    for part in parts:
        if isinstance(part, builders.Row):
            made.with_row(part)
        else:
            made.with_panel(part)
    built = made.build()
    for number, panel in enumerate(built.panels or [], start=1):
        panel.id_val = number
    return built


def as_json(dashboard: models.Dashboard) -> str:
    """The text of its file."""
    return JSONEncoder(sort_keys=True, indent=2).encode(dashboard) + "\n"


def _query(letter: str, expression: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(letter).expr(whole(expression)).datasource(_DATASOURCE)


def _steps(thresholds: Thresholds) -> builders.ThresholdsConfig:
    first, second = thresholds
    colours = ("green", "orange", "red") if first <= second else ("red", "orange", "green")
    values = (None, *sorted(thresholds))
    return (
        builders.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps(
            [models.Threshold(value, colour) for value, colour in zip(values, colours, strict=True)]
        )
    )


def _chosen(name: str, label: str, query: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(_DATASOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _events(name: str, expression: str, colour: str) -> builders.AnnotationQuery:
    return (
        builders.AnnotationQuery()
        .name(name)
        .datasource(_DATASOURCE)
        .enable(True)
        .icon_color(colour)
        .expr(whole(expression))
    )

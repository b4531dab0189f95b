"""Grafana's dashboards: made from their descriptions, complete, and of metrics that there are."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from prometheus_files import (
    DASHBOARDS,
    ROOT,
    Query,
    dashboards,
    panel_queries,
    panels,
    recording_rules,
    rule_queries,
    selectors,
)

from deploy.grafana.__main__ import written

#: Series that Prometheus and prometheus_client have by themselves.
OF_OTHERS = {"up", "ALERTS", "process_cpu_seconds_total", "process_resident_memory_bytes"}


def test_the_files_are_what_the_descriptions_make() -> None:
    there = {path.name: path.read_text() for path in DASHBOARDS.glob("*.json")}
    assert there == written(), "run: python -m deploy.grafana"


@pytest.mark.parametrize("name", sorted(dashboards()))
def test_every_panel_says_what_it_shows(name: str) -> None:
    dashboard = dashboards()[name]
    titles = Counter(panel["title"] for panel in panels(dashboard))
    assert max(titles.values()) == 1
    for panel in panels(dashboard):
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["description"].endswith("."), panel["title"]
        assert defaults["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}", panel["title"]
        if panel["type"] == "timeseries":
            assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


@pytest.mark.parametrize("name", sorted(dashboards()))
def test_a_dashboard_lets_one_choose_and_leads_to_the_others(name: str) -> None:
    dashboard = dashboards()[name]
    chosen = {one["name"] for one in dashboard["templating"]["list"]}
    assert chosen == {"datasource", "job", "instance"}
    others = {one["uid"] for one in dashboards().values()} - {dashboard["uid"]}
    assert {link["url"].removeprefix("/d/") for link in dashboard["links"]} == others
    assert {one["name"] for one in dashboard["annotations"]["list"]} == {
        "Generations",
        "Rebalances",
    }


@pytest.mark.parametrize("name", sorted(dashboards()))
def test_panels_lie_side_by_side(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboards()[name]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells = {
            (place["x"] + right, place["y"] + down)
            for right in range(place["w"])
            for down in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("query", panel_queries(), ids=lambda query: query.place)
def test_a_query_is_of_what_is_chosen(query: Query) -> None:
    for one in selectors(query.expression):
        assert one.name == "ALERTS" or 'job=~".+"' in str(one.matchers)


def metrics_documented() -> set[str]:
    """Names in docs/metrics.md; a histogram's series are its name and an ending."""
    names = set(re.findall(r"`(tidemark_\w+)", (ROOT / "docs" / "metrics.md").read_text()))
    return names | {f"{name}{end}" for name in names for end in ("_bucket", "_sum", "_count")}


@pytest.mark.parametrize(
    "query", [*rule_queries(), *panel_queries()], ids=lambda query: query.place
)
def test_a_query_asks_for_metrics_that_are_documented(query: Query) -> None:
    known = metrics_documented() | OF_OTHERS | {rule["record"] for rule in recording_rules()}
    asked = {one.name for one in selectors(query.expression)}
    assert asked
    assert asked <= known

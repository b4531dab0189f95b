"""What operators are given for Prometheus and Grafana, as the tests read it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
RUNBOOKS = ROOT / "docs" / "runbooks"
RULE_FILES = (PROMETHEUS / "recording-rules.yaml", PROMETHEUS / "alerts.yaml")
_COMPARES = {"==", "!=", ">", "<", ">=", "<="}


@dataclass(frozen=True)
class Query:
    """An expression, and where it stands."""

    place: str
    expression: str


def program(name: str) -> Path:
    """prometheus or promtool: of PROMETHEUS_HOME, the PATH, or what ``.ci/prometheus`` fetched."""
    home = os.environ.get("PROMETHEUS_HOME")
    if home is not None:
        named = Path(home) / name
        assert named.is_file(), f"PROMETHEUS_HOME is {home}, and there is no {name} in it"
        return named
    found = shutil.which(name)
    beside = ROOT / ".prometheus" / "usr" / "bin" / name
    if found is None and not beside.is_file():
        pytest.skip(f"no {name}: run .ci/prometheus, or name a folder by PROMETHEUS_HOME")
    return Path(found) if found else beside


def rules(path: Path) -> list[dict[str, Any]]:
    """The rules of a file, in order."""
    groups: list[dict[str, Any]] = yaml.safe_load(path.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def recording_rules() -> list[dict[str, Any]]:
    return rules(RULE_FILES[0])


def alerts() -> list[dict[str, Any]]:
    return rules(RULE_FILES[1])


def dashboards() -> dict[str, dict[str, Any]]:
    """Each dashboard by the name of its file."""
    return {path.name: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Its panels, headings left out."""
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", ())


def rule_queries() -> list[Query]:
    return [
        Query(rule.get("record") or f"{rule['alert']}/{rule['labels']['severity']}", rule["expr"])
        for path in RULE_FILES
        for rule in rules(path)
    ]


def panel_queries(window: str = "5m") -> list[Query]:
    """Every query of every dashboard, with Grafana's variables filled in."""
    filled = {"$job": ".+", "$instance": ".+", "$__rate_interval": window, "$__range": window}
    found = []
    for name, dashboard in dashboards().items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                place = f"{name}: {panel['title']} {target['refId']}"
                found.append(Query(place, _filled(target["expr"], filled)))
        found += [
            Query(f"{name}: {note['name']}", _filled(note["expr"], filled))
            for note in dashboard["annotations"]["list"]
        ]
    return found


def _filled(expression: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, f"a variable that no test knows: {expression}"
    return expression


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    """Every selector of series in it."""
    found: list[promql_parser.VectorSelector] = []

    def look(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(expression), pre_visit=look)
    return found


def without_thresholds(expression: str) -> str:
    """What an alert compares, without the comparison: the left side of each."""

    def left(node: promql_parser.Expr) -> promql_parser.Expr | None:
        if isinstance(node, promql_parser.BinaryExpr) and str(node.op) in _COMPARES:
            return node.lhs
        return None

    return str(promql_parser.transform(promql_parser.parse(expression), post_visit=left))


def shortened(text: str) -> str:
    """A file of rules in which an hour is a minute: ranges, ``for`` and intervals of evaluation.

    Nothing else changes: names of recorded series, thresholds and labels stay. Three seconds at
    least, since a rate needs two samples.
    """

    def shorter(match: re.Match[str]) -> str:
        seconds = promql_parser.parse_duration(match[2]).total_seconds() / 60
        return f"{match[1]}{max(3, round(seconds))}s{match[3]}"

    text = re.sub(r"(\[)(\d+[smhd])(\])", shorter, text)
    return re.sub(r"(?m)^( *(?:for|interval): )(\d+[smhd])($)", shorter, text)

"""The rules by themselves: what promtool says of them, how they are named, what they say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import promql_parser
import pytest
import yaml
from prometheus_files import (
    PROMETHEUS,
    RULE_FILES,
    alerts,
    program,
    recording_rules,
    rules,
    selectors,
    shortened,
    without_thresholds,
)

UNIT_TESTS = sorted((Path(__file__).parent / "rules").glob("*.yaml"))


def promtool(*arguments: str | Path) -> None:
    ran = subprocess.run(
        [program("promtool"), *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_promtool_finds_nothing_wrong() -> None:
    promtool("check", "rules", "--lint-fatal", *RULE_FILES)
    # The file with the token is where it is deployed.
    promtool("check", "config", "--syntax-only", PROMETHEUS / "prometheus.yaml")


@pytest.mark.parametrize("file", UNIT_TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_not_before(file: Path) -> None:
    promtool("test", "rules", file)


def test_each_alert_is_made_to_fire_by_promtool() -> None:
    """Also those that a real fault raises in `test_faults`, there with shortened times."""
    said = "".join(file.read_text() for file in UNIT_TESTS)
    fired = set(re.findall(r'ALERTS\{alertname="(\w+)"', said))
    assert fired == {rule["alert"] for rule in alerts()}


def test_an_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in alerts():
        name, said = rule["alert"], rule["annotations"]
        assert re.fullmatch(r"Tidemark([A-Z][a-z]+)+", name)
        assert rule["labels"]["severity"] in {"critical", "warning"}, name
        assert said.keys() == {"summary", "description", "runbook_url"}, name
        assert len(said["summary"]) < 90, name
        assert said["description"].endswith("."), name


def test_rules_of_one_alert_differ_in_their_labels() -> None:
    seen = [
        (rule["alert"], tuple(sorted((k, str(v)) for k, v in rule["labels"].items())))
        for rule in alerts()
    ]
    assert len(seen) == len(set(seen))


def test_recorded_series_are_named_by_level_metric_and_operations() -> None:
    for rule in recording_rules():
        level, metric, operations = rule["record"].split(":")
        assert metric.startswith("tidemark_"), rule["record"]
        assert operations, rule["record"]
        # What the name says that is kept is what the expression keeps.
        kept = set(level.split("_"))
        aggregated = re.findall(r"by \(([^)]*)\)", rule["expr"])
        labels = {label.strip() for found in aggregated for label in found.split(",")}
        assert kept <= labels, rule["record"]
        window = re.search(r"(\d+[mhd])$", operations)
        ranges = set(re.findall(r"\[(\d+[smhd])\]", rule["expr"]))
        assert ranges == ({window[1]} if window else set()), rule["record"]


def test_recorded_series_that_are_asked_for_are_recorded() -> None:
    recorded = {rule["record"] for rule in recording_rules()}
    asked = {
        one.name
        for path in RULE_FILES
        for rule in rules(path)
        for one in selectors(rule["expr"])
        if one.name is not None and ":" in one.name
    }
    assert asked <= recorded


def test_a_threshold_is_taken_off_on_the_left_alone() -> None:
    assert without_thresholds("a > 1 and on (job) sum by (job) (b) >= 20") == str(
        promql_parser.parse("a and on (job) sum by (job) (b)")
    )


def test_shortening_changes_times_and_nothing_else() -> None:
    text = (
        "- record: job:x:rate5m\n  expr: rate(x[5m]) > 45\n- alert: A\n  for: 15m\n"
        "  annotations: {description: five minutes, 5m}\n"
    )
    assert shortened(text) == (
        "- record: job:x:rate5m\n  expr: rate(x[5s]) > 45\n- alert: A\n  for: 15s\n"
        "  annotations: {description: five minutes, 5m}\n"
    )
    for path in RULE_FILES:
        short = yaml.safe_load(shortened(path.read_text()))["groups"]
        for group in short:
            for rule in group["rules"]:
                assert not re.search(r"\[\d+[mhd]\]", rule["expr"])
                assert re.fullmatch(r"\d+s", rule.get("for", "0s"))

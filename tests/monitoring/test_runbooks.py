"""A runbook for each alert and no other, with what somebody needs who was woken."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_files import ROOT, RUNBOOKS, alerts, dashboards, panels
from typer.main import get_command

from tidemark.cli.main import app

SECTIONS = ["What it means", "Look", "Do", "Escalate", "It is over when"]


def kebab(alert: str) -> str:
    """TidemarkWorkerDown: worker-down."""
    return "-".join(re.findall(r"[A-Z][a-z]+", alert.removeprefix("Tidemark"))).lower()


def runbooks() -> list[Path]:
    return sorted(path for path in RUNBOOKS.glob("*.md") if path.name != "index.md")


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    assert {path.stem for path in runbooks()} == {kebab(rule["alert"]) for rule in alerts()}


def test_the_link_of_an_alert_leads_to_its_runbook() -> None:
    for rule in alerts():
        link = rule["annotations"]["runbook_url"]
        assert link == f"docs/runbooks/{kebab(rule['alert'])}.md"
        assert (ROOT / link).is_file()


def test_the_index_lists_them_all() -> None:
    listed = re.findall(r"\]\(([a-z-]+\.md)\)", (RUNBOOKS / "index.md").read_text())
    assert sorted(listed) == [path.name for path in runbooks()]


@pytest.mark.parametrize("path", runbooks(), ids=lambda path: path.stem)
def test_a_runbook_says_all_that_is_needed(path: Path) -> None:
    text = path.read_text()
    [alert] = {rule["alert"] for rule in alerts() if kebab(rule["alert"]) == path.stem}
    assert text.startswith(f"# {alert}\n")
    assert re.findall(r"(?m)^## (.+)$", text) == SECTIONS
    # One who was woken reads one page.
    assert len(text.splitlines()) <= 60


@pytest.mark.parametrize("path", [*runbooks(), RUNBOOKS / "index.md"], ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / link).resolve().exists(), link


@pytest.mark.parametrize("path", runbooks(), ids=lambda path: path.stem)
def test_the_panels_that_a_runbook_names_are_there(path: Path) -> None:
    titles = {panel["title"] for dashboard in dashboards().values() for panel in panels(dashboard)}
    notes = {
        note["name"]
        for dashboard in dashboards().values()
        for note in dashboard["annotations"]["list"]
    }
    named = {
        " ".join(found.split())
        for found in re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", path.read_text())
    }
    assert named
    assert named <= titles | notes


@pytest.mark.parametrize("path", runbooks(), ids=lambda path: path.stem)
def test_the_settings_that_a_runbook_names_are_there(path: Path) -> None:
    documented = (ROOT / "docs" / "settings.md").read_text()
    sections = "kafka|topics|limits|policy|memory|encoder|worker|retrieval"
    for setting in re.findall(rf"`((?:{sections})\.[a-z_.]+)[` ]", path.read_text()):
        assert f"`{setting}`" in documented, setting


def test_the_commands_that_runbooks_name_are_there() -> None:
    text = "".join(path.read_text() for path in RUNBOOKS.glob("*.md"))
    named = set(re.findall(r"(?m)(?:`|^    )tidemark ((?:[a-z][a-z-]*(?: |`|$))+)", text))
    assert len(named) > 5
    for words in named:
        command: Any = get_command(app)
        for word in words.strip("` ").split():
            command = getattr(command, "commands", {}).get(word)
            assert command is not None, f"tidemark {words}"

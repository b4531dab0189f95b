"""What the documents say of settings is what the code has."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from service_rig import serving

from store.service.auth import scope_of
from tidemark.explain import meanings
from tidemark.settings import DEFAULT_ACTIONS, Settings

ROOT = Path(__file__).parents[2]


def leaves(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= leaves(kind, f"{prefix}{name}.")
        elif name == "actions" and not prefix:
            rule = type(DEFAULT_ACTIONS["view"])
            found |= {f"actions.NAME.{leaf}": None for leaf in rule.model_fields}
        else:
            found[f"{prefix}{name}"] = field.default
    return found


def documented() -> dict[str, str]:
    text = (ROOT / "docs" / "settings.md").read_text()
    return dict(re.findall(r"^\| `([\w.]+)` \| ([^|]*?) \|", text, re.MULTILINE))


def test_every_setting_is_documented_and_no_other() -> None:
    assert sorted(documented()) == sorted(leaves(Settings))


def test_the_meanings_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    rows = re.findall(r"^\| `([\w.]+)` \| [^|]*? \| (.*?) \|$", text, re.MULTILINE)
    said = {name: re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", meaning) for name, meaning in rows}
    assert said == meanings()


def test_the_defaults_are_the_documented_ones() -> None:
    said = documented()
    for name, default in leaves(Settings).items():
        words = said[name].strip("`").replace(",", "").replace("−", "-")
        if isinstance(default, bool):
            assert words == str(default).lower(), name
        elif isinstance(default, str):
            assert words == default, name
        elif isinstance(default, int | float):
            assert float(words) == default, name


def test_the_actions_are_the_documented_ones() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) \| ([^|]+) \|$", text, re.MULTILINE)
    said = {name: (float(weight), strength) for name, weight, strength in rows}
    assert said.keys() == DEFAULT_ACTIONS.keys()
    for name, rule in DEFAULT_ACTIONS.items():
        weight, strength = said[name]
        assert weight == rule.weight
        expected = "from the rating" if rule.rated else f"{rule.strength:g}".replace("-", "−")
        assert strength == expected


def test_every_endpoint_is_documented_with_its_scope() -> None:
    text = (ROOT / "docs" / "retrieval-api.md").read_text()
    said = re.findall(r"^\| ([A-Z]+) `([^`]+)` \| (\w+) \|", text, re.MULTILINE)
    described = asyncio.run(interface())
    assert sorted((method, path) for method, path, _ in said) == sorted(
        (method.upper(), path) for path, methods in described.items() for method in methods
    )
    for method, path, scope in said:
        assert scope == (scope_of(method, path) or "none"), path


async def interface() -> dict[str, dict[str, object]]:
    async with serving(stock=False) as service:
        paths: dict[str, dict[str, object]] = service.app.openapi()["paths"]
        return paths


def test_links_between_documents_lead_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"

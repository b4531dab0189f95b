"""What mkdocs calls while it builds the site (`hooks` in mkdocs.yml)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

from docsite.commands import commands_page
from docsite.errors_page import errors_page
from docsite.http_api import http_api_page
from docsite.links import ADOPTED, Places, resolved
from docsite.lists import widened
from docsite.python_api import python_page
from docsite.settings_page import settings_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

__all__ = ["GENERATED", "on_config", "on_files", "on_page_markdown"]

ROOT = Path(__file__).parents[1]

#: Pages that are written anew at each build, and what they are for.
GENERATED: dict[str, tuple[str, Callable[[], str]]] = {
    "reference/commands.md": ("every command with its arguments and options", commands_page),
    "reference/settings.md": (
        "every setting with its type, bounds, unit and environment variable",
        settings_page,
    ),
    "reference/http-api.md": (
        "every request of the retrieval service, its parameters, answers and models",
        http_api_page,
    ),
    "reference/python.md": ("publishers, actions, items and security in Python", python_page),
    "reference/errors.md": (
        "errors of the packages, and reasons of dead letters",
        errors_page,
    ),
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """In the navigation, a name with a ``*`` stands for all such pages that it does not name."""
    nav: list[Any] = config.nav or []
    config.nav = _expanded(nav, Path(config.docs_dir), _named(nav))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and those that the repository keeps outside docs/."""
    for uri, (_, make) in GENERATED.items():
        files.append(File.generated(config, uri, content=make()))
    for path, uri in ADOPTED.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have links lead somewhere on the site; list the generated pages on the reference's own."""
    if page.file.src_uri == "index.md":
        page.meta["hide"] = ["navigation", "toc"]  # it has room for the picture then
    if page.file.src_uri == "reference/index.md":
        lines = [
            f"- [{_title(make())}]({Path(uri).name}): {purpose}"
            for uri, (purpose, make) in GENERATED.items()
        ]
        markdown += "\n" + "\n".join(lines) + "\n"
    places = Places(frozenset(files.src_uris), config.repo_url)
    return widened(resolved(markdown, page.file.src_uri, places))


def _named(nav: Any) -> set[str]:
    if isinstance(nav, str):
        return {nav}
    parts = nav.values() if isinstance(nav, dict) else nav
    return {name for part in parts for name in _named(part)}


def _expanded(nav: list[Any], folder: Path, named: set[str]) -> list[Any]:
    found: list[Any] = []
    for entry in nav:
        if isinstance(entry, dict):
            found.append(
                {
                    title: _expanded(below, folder, named) if isinstance(below, list) else below
                    for title, below in entry.items()
                }
            )
        elif "*" in entry:
            pages = {path.relative_to(folder).as_posix() for path in folder.glob(entry)}
            found += sorted(pages - named)
        else:
            found.append(entry)
    return found


def _title(markdown: str) -> str:
    return next(line[2:] for line in markdown.splitlines() if line.startswith("# "))

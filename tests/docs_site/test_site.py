"""The site as it is built: whole, by itself, and as a browser of the repository has its pages."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from docsite.commands import root_command
from docsite.http_api import openapi_document
from docsite.links import ADOPTED
from tidemark.explain import meanings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: What is compared of a page.
_COUNTED = {"li", "ol", "ul", "pre", "table", "tr", "h1", "h2", "h3", "blockquote"}


class Elements(HTMLParser):
    """Counts elements, and notes what is asked for from elsewhere."""

    def __init__(self, *, within: str | None = None) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.asked_for: list[str] = []
        self._within, self._on = within, within is None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == self._within:
            self._on = True
        if self._on and tag in _COUNTED:
            self.found[tag] += 1
        loaded = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
        address = given.get(loaded.get(tag, ""), "")
        if re.match(r"([a-z]+:)?//", address) and given.get("rel") != "canonical":
            self.asked_for.append(f"<{tag} {address}>")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._within:
            self._on = False


def elements(html: str, within: str | None = None) -> Elements:
    parser = Elements(within=within)
    parser.feed(html)
    return parser


def written() -> Iterator[tuple[Path, str]]:
    """Pages that lie in the repository, and their addresses on the site."""
    for path in sorted(DOCS.rglob("*.md")):
        yield path, path.relative_to(DOCS).as_posix()
    for name, uri in ADOPTED.items():
        yield ROOT / name, uri


def page(site: Path, uri: str) -> str:
    folder = uri.removesuffix(".md").removesuffix("index")
    return (site / folder / "index.html").read_text()


def test_every_page_is_there(site: Path) -> None:
    for _, uri in written():
        assert "<h1" in page(site, uri), uri


@pytest.mark.parametrize("uri", [uri for _, uri in written() if uri != "reference/index.md"])
def test_a_page_reads_alike_here_and_in_a_browser_of_the_repository(site: Path, uri: str) -> None:
    source = next(path for path, one in written() if one == uri)
    expected = elements(MarkdownIt("commonmark").enable("table").render(source.read_text()))
    assert elements(page(site, uri), within="article").found == expected.found


def test_links_lead_somewhere_in_the_repository() -> None:
    for path, _ in written():
        text = re.sub(
            r"^```.*?^```|`[^`\n]*`", "", path.read_text(), flags=re.DOTALL | re.MULTILINE
        )
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.relative_to(ROOT)}: {target}"


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        assert elements(path.read_text()).asked_for == [], path
    for path in site.rglob("*.css"):
        addresses = re.findall(
            r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')]+)", path.read_text()
        )
        assert addresses == [], path


def test_no_link_leads_out_of_docs_where_no_repository_is_named(site: Path) -> None:
    for _, uri in written():
        hrefs = re.findall(r'href="([^"]+)"', page(site, uri))
        assert not [href for href in hrefs if href.endswith(".md") or "/deploy/README" in href], uri


def test_the_search_knows_the_pages(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text())
    places = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert {"how-to/forget/", "reference/http-api/", "settings/", "wire-format/"} <= places


def test_the_reference_has_all_commands_settings_and_requests(site: Path) -> None:
    commands = page(site, "reference/commands.md")
    for name in root_command().commands:
        assert f"<code>tidemark {name}</code>" in commands
    settings = page(site, "reference/settings.md")
    for name in meanings():
        assert f"<code>{name}</code>" in settings
    assert "<code>TIDEMARK_KAFKA__SECURITY__CA_FILE</code>" in settings
    requests = page(site, "reference/http-api.md")
    for path, methods in openapi_document()["paths"].items():
        for method in methods:
            assert f">{method.upper()} {path}<" in requests
    assert "publish_action" in page(site, "reference/python.md")

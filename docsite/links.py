"""Links that are right in a browser of the repository, made right on the site as well.

A page may link to anything in the repository by its relative path. What is a page of the site is
linked there; the rest is where `repo_url` of mkdocs.yml says the repository can be looked at, and
where it says nothing, the words stand without a link.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ADOPTED", "Places", "repository_path", "resolved"]

#: Files outside docs/ that are pages of the site, and where they are there.
ADOPTED = {
    "deploy/README.md": "how-to/deploy.md",
    "benchmarks/README.md": "explanation/benchmarks.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
#: What has a page of its own on the site that says the same.
_STANDS_FOR = {"README.md": "index.md"}
_REPOSITORY_PATHS = {uri: path for path, uri in ADOPTED.items()}

_FENCE = re.compile(r"^ *(`{3,}|~{3,})")
#: A link, or a span of code, in which there are none.
_LINK = re.compile(
    r"(?P<image>!?)\[(?P<words>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)"
    r"|(?P<ticks>`+)(?:(?!(?P=ticks)).|\n)+?(?P=ticks)"
)


@dataclass(frozen=True)
class Places:
    """Where links may lead.

    Attributes:
        pages: of the site, from its root.
        repo_url: where the repository can be looked at; None where nobody said.
    """

    pages: frozenset[str]
    repo_url: str | None = None


def repository_path(uri: str) -> str:
    """Where in the repository a page of the site is kept."""
    return _REPOSITORY_PATHS.get(uri, f"docs/{uri}")


def resolved(markdown: str, uri: str, places: Places) -> str:
    """A page's text with links as the site has them.

    Args:
        markdown: as it is in the repository.
        uri: of the page, from the site's root.
        places: where links may lead.
    """

    def change(found: re.Match[str]) -> str:
        target = found["target"]
        if target is None or re.match(r"[a-z]+:|#|/", target):
            return found[0]
        path, _, anchor = target.partition("#")
        place = posixpath.normpath(posixpath.join(posixpath.dirname(repository_path(uri)), path))
        page = _page(place)
        if page in places.pages:
            here = posixpath.relpath(page, posixpath.dirname(uri) or ".")
            return f"{found['image']}[{found['words']}]({here}{'#' + anchor if anchor else ''})"
        if place.startswith("docs/"):
            return found[0]  # no such page: mkdocs says so
        if places.repo_url:
            return f"[{found['words']}]({places.repo_url.rstrip('/')}/blob/HEAD/{place})"
        words: str = found["words"]
        return words if place in words else f"{words} (`{place}`)"

    return "".join(
        part if is_code else _LINK.sub(change, part) for is_code, part in _parts(markdown)
    )


def _page(place: str) -> str:
    if place in ADOPTED:
        return ADOPTED[place]
    return _STANDS_FOR.get(place, place.removeprefix("docs/") if place.startswith("docs/") else "")


def _parts(markdown: str) -> Iterator[tuple[bool, str]]:
    """The text in parts, each with whether it is a fenced block of code."""
    lines: list[str] = []
    fence = ""
    for line in markdown.splitlines(keepends=True):
        mark = _FENCE.match(line)
        if not fence and mark:
            yield False, "".join(lines)
            lines, fence = [line], mark[1]
        elif fence and mark and line.strip().startswith(fence):
            yield True, "".join([*lines, line])
            lines, fence = [], ""
        else:
            lines.append(line)
    yield bool(fence), "".join(lines)

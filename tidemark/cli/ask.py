"""``tidemark profile`` and ``tidemark candidates``: what the retrieval service says of a user."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer
from rich.markup import escape
from rich.table import Table

from tidemark.cli.common import ConfigFile, LogLevel, console, setup_logging
from tidemark.client import RetrievalClient, open_client
from tidemark.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from store.tokens import Scope

__all__ = ["AsJson", "Url", "ask", "candidates", "print_json", "profile"]

User = Annotated[str, typer.Argument(help="The user's id.")]
Url = Annotated[
    str | None,
    typer.Option("--url", help="Of the service; the settings' by default.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as it came.")]

#: Of the recently seen items, so many are shown; and of a candidate's reasons.
_SEEN, _REASONS = 10, 3


def profile(
    user: User, config: ConfigFile = None, url: Url = None, as_json: AsJson = False
) -> None:
    """Show what is known of a user: the latest actions, and what they weigh."""
    found = ask(config, url, f"/v1/users/{_coded(user)}/profile")
    if as_json:
        print_json(found)
        return
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_row("user", escape(found["user_id"]))
    facts.add_row(
        "actions", f"{found['count']:,}, the latest at {_moment(found['last_action_at'])}"
    )
    facts.add_row("norm", f"{found['norm']:.3f}  [dim](how much the actions agree, at most 1)[/]")
    facts.add_row("encoder", escape(found["encoder_id"]))
    console.print(facts, highlight=False)
    _print_contributions(found["contributions"])
    seen = found["seen"]
    shown = seen[::-1][:_SEEN]
    if shown:
        title = f"Recently seen, {len(shown)} of {len(seen)}, latest first"
        table = Table("item", "title", title=title, title_justify="left")
        for one in shown:
            table.add_row(escape(one["item_id"]), _title(one["title"]))
        console.print(table, highlight=False)


def candidates(
    user: User,
    k: Annotated[int, typer.Option("-k", help="How many, at most.", min=1, max=1000)] = 10,
    why: Annotated[bool, typer.Option("--why", help="Show the actions behind each.")] = False,
    category: Annotated[
        str | None, typer.Option(help="Only items of this category.", show_default=False)
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:VALUE",
            help="Only items with this attribute; of one name any, of several all.",
            show_default=False,
        ),
    ] = None,
    popularity: Annotated[
        float, typer.Option(help="Add so much for the most popular item.", min=0, max=10)
    ] = 0.0,
    seen: Annotated[bool, typer.Option("--seen", help="Items seen already, too.")] = False,
    config: ConfigFile = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show the items that a user gets, and why."""
    params: dict[str, Any] = {"k": k, "why": why, "exclude_seen": not seen}
    if category is not None:
        params["category"] = category
    if where:
        params["where"] = where
    if popularity:
        params["popularity"] = popularity
    found = ask(config, url, f"/v1/users/{_coded(user)}/candidates", **params)
    if as_json:
        print_json(found)
        return
    if not found["candidates"]:
        console.print("no candidates: there are no such items that this user has not seen")
        return
    table = Table(
        "", "score", "item", "title", "categories", *(["because of"] if why else []),
        title=f"Candidates for {escape(found['user_id'])}", title_justify="left", show_lines=why,
    )  # fmt: skip
    for rank, one in enumerate(found["candidates"], 1):
        table.add_row(
            str(rank), f"{one['score']:.3f}", escape(one["item_id"]), _title(one["title"]),
            escape(", ".join(one["categories"])),
            *([_because(one.get("because", []))] if why else []),
        )  # fmt: skip
    console.print(table, highlight=False)


def ask(
    config: Path | None, url: str | None, path: str, *, scope: Scope = "read", **params: Any
) -> dict[str, Any]:
    """The service's answer to a GET that needs this scope."""
    setup_logging(LogLevel.warning)
    settings = load_settings(config, **({"client": {"url": url}} if url else {}))
    with open_client(settings) as http:
        return RetrievalClient(http).get(path, scope=scope, **params)


def _coded(user: str) -> str:
    # clients take dots in paths for steps up
    return quote(user, safe="").replace(".", "%2E")


def print_json(found: dict[str, Any]) -> None:
    """As it came."""
    typer.echo(json.dumps(found, ensure_ascii=False, indent=2))


def _print_contributions(parts: list[dict[str, Any]]) -> None:
    table = Table("action", "item", "title", "weight", title="Latest actions, latest first",
                  title_justify="left")  # fmt: skip
    table.columns[3].justify = "right"
    for one in reversed(parts):
        item, title = escape(one["item_id"] or ""), _title(one["title"], one["item_id"])
        table.add_row(escape(one["action"]), item, title, f"{one['weight']:+.4f}")
    console.print(table, highlight=False)


def _because(reasons: list[dict[str, Any]]) -> str:
    """The reasons that count most, a line each; those against the item too."""
    told = [one for one in reasons if one["share"]]
    told.sort(key=lambda one: -abs(one["share"]))
    lines = [
        f"{one['share']:+.0%} {escape(one['action'])} {_title(one['title'], one['item_id'])}"
        for one in told[:_REASONS]
    ]
    untold = sum(one["share"] is None for one in reasons)
    if untold:
        lines.append(f"[dim]and {untold} without an item that is held[/]")
    return "\n".join(lines) or "[dim]older actions[/]"


def _title(title: str | None, item_id: str | None = "") -> str:
    if title is None:
        return "" if item_id is None else "[dim]not in the catalogue[/]"
    return escape(title)


def _moment(ms: int) -> str:
    """A time in UTC; some producers send such as no calendar has."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"

"""``tidemark profile`` and ``tidemark candidates``: what the retrieval service says of a user."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import quote

import typer
from rich.table import Table

from tidemark.cli.common import (
    AsJson,
    ConfigFile,
    LogLevel,
    Url,
    console,
    load,
    moment,
    print_json,
    setup_logging,
    shown,
)

if TYPE_CHECKING:
    from pathlib import Path

    from store.tokens import Scope

__all__ = ["ask", "candidates", "coded", "profile"]


class Function(StrEnum):
    """Of a user's vector."""

    fold = "fold"
    sequence = "sequence"


User = Annotated[str, typer.Argument(help="The user's id.")]
#: As `store.ordering.Rank`, which a command does not load.
Order = Literal["nearest", "blend", "mlp"]
#: Of the recently seen items, so many are shown; and of a candidate's reasons.
_SEEN, _REASONS = 10, 3
_ORDERED_BY = {
    "nearest": "nearest first",
    "blend": "best first by the learned blend",
    "mlp": "best first by the ranker",
}


class Fallback(StrEnum):
    """What a user gets of whom nothing is known."""

    popular = "popular"


def profile(
    user: User, config: ConfigFile = None, url: Url = None, as_json: AsJson = False
) -> None:
    """Show what is known of a user: the latest actions, and what they weigh."""
    found = ask(config, url, f"/v1/users/{coded(user)}/profile")
    if as_json:
        print_json(found)
        return
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_row("user", shown(found["user_id"]))
    facts.add_row("actions", f"{found['count']:,}, the latest at {moment(found['last_action_at'])}")
    facts.add_row("norm", f"{found['norm']:.3f}  [dim](how much the actions agree, at most 1)[/]")
    facts.add_row("encoder", shown(found["encoder_id"]))
    console.print(facts, highlight=False)
    _print_contributions(found["contributions"])
    seen = found["seen"]
    latest = seen[::-1][:_SEEN]
    if latest:
        title = f"Recently seen, {len(latest)} of {len(seen)}, latest first"
        table = Table("item", "title", title=title, title_justify="left")
        for one in latest:
            table.add_row(shown(one["item_id"]), _title(one["title"]))
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
    rank: Annotated[
        Order | None,
        typer.Option(
            help="What orders them: nearness, the learned blend, or the ranker. By default the "
            "blend, unless retrieval.rank says otherwise.",
            show_default=False,
        ),
    ] = None,
    seen: Annotated[bool, typer.Option("--seen", help="Items seen already, too.")] = False,
    fallback: Annotated[
        Fallback | None,
        typer.Option(help="For a user without a profile: what is popular.", show_default=False),
    ] = None,
    function: Annotated[
        Function,
        typer.Option(
            "--profile",
            help="What makes the user's vector: the fold, or the model in retrieval.sequence.",
        ),
    ] = Function.fold,
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
    if fallback is not None:
        params["fallback"] = fallback.value
    if rank is not None:
        params["rank"] = rank
    if function is not Function.fold:
        params["profile"] = function.value
    found = ask(config, url, f"/v1/users/{coded(user)}/candidates", **params)
    if as_json:
        print_json(found)
        return
    if not found["candidates"]:
        console.print("no candidates: there are no such items that this user has not seen")
        return
    # a service of an earlier version does not say
    blended = found.get("rank") == "blend"
    table = Table(
        "", "score", "item", "title", "categories",
        *(["score is made of"] if why and blended else []), *(["because of"] if why else []),
        title=_heading(found), title_justify="left", show_lines=why,
    )  # fmt: skip
    for place, one in enumerate(found["candidates"], 1):
        table.add_row(
            str(place), f"{one['score']:.3f}", shown(one["item_id"]), _title(one["title"]),
            shown(", ".join(one["categories"])),
            *([_made_of(one["parts"])] if why and blended else []),
            *([_because(one.get("because", []))] if why else []),
        )  # fmt: skip
    console.print(table, highlight=False)


def _heading(found: dict[str, Any]) -> str:
    user = shown(found["user_id"])
    if found["source"] == "popular":
        return f"{user} has no profile; what is popular"
    ordered = _ORDERED_BY.get(found.get("rank", ""), "best first")
    return f"Candidates for {user}, {ordered}"


def ask(
    config: Path | None, url: str | None, path: str, *, scope: Scope = "read", **params: Any
) -> dict[str, Any]:
    """The service's answer to a GET that needs this scope."""
    setup_logging(LogLevel.warning)
    from tidemark.client import RetrievalClient, open_client  # noqa: PLC0415 # loads httpx

    settings = load(config, client={"url": url})
    with open_client(settings) as http:
        return RetrievalClient(http).get(path, scope=scope, **params)


def coded(user: str) -> str:
    """An id as a part of a path; clients take dots there for steps up."""
    return quote(user, safe="").replace(".", "%2E")


def _print_contributions(parts: list[dict[str, Any]]) -> None:
    table = Table("action", "item", "title", "weight", title="Latest actions, latest first",
                  title_justify="left")  # fmt: skip
    table.columns[3].justify = "right"
    for one in reversed(parts):
        item, title = shown(one["item_id"] or ""), _title(one["title"], one["item_id"])
        table.add_row(shown(one["action"]), item, title, f"{one['weight']:+.4f}")
    console.print(table, highlight=False)


def _made_of(parts: dict[str, float]) -> str:
    """The groups of features that count most, a line each."""
    most = sorted(parts.items(), key=lambda one: -abs(one[1]))[:_REASONS]
    return "\n".join(f"{part:+.2f} {name}" for name, part in most)


def _because(reasons: list[dict[str, Any]]) -> str:
    """The items whose actions count most, a line each; those against the item too."""
    told = [one for one in reasons if one["share"]]
    told.sort(key=lambda one: -abs(one["share"]))
    by_item: dict[str, list[dict[str, Any]]] = {}
    for one in told:
        by_item.setdefault(one["item_id"], []).append(one)
    lines = []
    for parts in list(by_item.values())[:_REASONS]:
        share = sum(one["share"] for one in parts)
        actions = ", ".join(dict.fromkeys(one["action"] for one in parts))
        lines.append(
            f"{share:+.0%} {shown(actions)} {_title(parts[0]['title'], parts[0]['item_id'])}"
        )
    untold = sum(one["share"] is None for one in reasons)
    if untold:
        lines.append(f"[dim]and {untold} without an item that is held[/]")
    return "\n".join(lines) or "[dim]older actions[/]"


def _title(title: str | None, item_id: str | None = "") -> str:
    if title is None:
        return "" if item_id is None else "[dim]not in the catalogue[/]"
    return shown(title)

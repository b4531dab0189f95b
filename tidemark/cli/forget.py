"""``tidemark forget``: asks the retrieval service to forget a user, and prints the receipt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from tidemark.cli.ask import coded
from tidemark.cli.common import (
    LIMIT,
    AsJson,
    ConfigFile,
    LogLevel,
    Url,
    confirm,
    console,
    load,
    moment,
    print_json,
    setup_logging,
    shown,
)

if TYPE_CHECKING:
    from tidemark.client import RetrievalClient

__all__ = ["forget"]

#: Over what the service waits, for the answer.
_ANSWER_SECONDS = 15.0
_NOT_FOUND = 404


def forget(
    user: Annotated[str, typer.Argument(help="The user's id.")],
    wait: Annotated[
        float, typer.Option(help="Seconds until it is to be gone from this service.", min=0, max=60)
    ] = 30.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigFile = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Forget a user: what is known now, and all that happened before now and comes later.

    Needs a token with the scope write, where the service has tokens. Exit code 0: forgotten; 3:
    accepted and on Kafka, but not gone from this service within --wait seconds.
    """
    setup_logging(LogLevel.warning)
    from tidemark.client import RetrievalClient, open_client  # noqa: PLC0415 # loads httpx

    settings = load(config, client={"url": url})
    confirm(f"Forget the user {user!r}; this cannot be undone. Go on", yes=yes)
    with open_client(settings, timeout=wait + _ANSWER_SECONDS) as http:
        client = RetrievalClient(http)
        known = _known(client, user)
        receipt = client.delete(f"/v1/users/{coded(user)}", wait=wait)
    if as_json:
        print_json(receipt | {"known_before": known})
    else:
        _print(receipt, known, wait)
    if receipt["status"] != "forgotten":
        raise typer.Exit(LIMIT)


def _known(client: RetrievalClient, user: str) -> bool | None:
    """Whether the service has a profile now; None where it does not say, as to a token of write."""
    from tidemark.errors import RetrievalError  # noqa: PLC0415 # see tidemark.cli.common

    try:
        client.get(f"/v1/users/{coded(user)}/profile")
    except RetrievalError as error:
        return False if error.status == _NOT_FOUND else None
    return True


def _print(receipt: dict[str, Any], known: bool | None, wait: float) -> None:
    facts = Table(show_header=False, box=None, pad_edge=False)
    gone = receipt["status"] == "forgotten"
    facts.add_row("user", shown(receipt["user_id"]))
    facts.add_row(
        "status",
        "[green]forgotten[/]: nothing of the user is held by this service any more"
        if gone
        else f"[yellow]accepted[/]: on Kafka, but not gone from here within {wait:g} s; a worker "
        "does it as soon as it comes to it",
    )
    if known is None:
        before = "not told to this token (it has not the scope read)"
    else:
        before = "there was a profile" if known else "[yellow]no profile of this user was known[/]"
    facts.add_row("before", before)
    facts.add_row("requested", moment(receipt["requested_at"]))
    facts.add_row(
        "receipt",
        f"{shown(receipt['topic'])}, partition {receipt['partition']}, offset {receipt['offset']}",
    )
    console.print(facts, highlight=False)

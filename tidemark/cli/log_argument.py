"""The log that a command learns from or replays: its arguments, and what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidemark.cli.common import errors
from tidemark.errors import EvaluationError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tidemark.evaluation.log import ActionLog

__all__ = ["Columns", "Items", "Log", "columns_of", "open_log", "place_of"]

_MOVIELENS = "movielens"

Log = Annotated[
    str,
    typer.Argument(
        help="A folder of MovieLens or MovieTweetings, a file (CSV or Parquet), or movielens."
    ),
]
Items = Annotated[
    Path | None,
    typer.Option(
        "--items",
        help="The catalogue of a file: CSV or Parquet with item_id, title, categories.",
        show_default=False,
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="NAME=COLUMN",
        help="Which column of a file is what, as user_id=visitor; may be repeated.",
        show_default=False,
    ),
]


def columns_of(given: Sequence[str] | None) -> dict[str, str]:
    """What ``--column`` says.

    Raises:
        SettingsError: not ``NAME=COLUMN``.
    """
    found: dict[str, str] = {}
    for one in given or ():
        name, is_there, called = one.partition("=")
        if not (name and is_there and called):
            raise SettingsError(f"--column is {one!r}; expected NAME=COLUMN, as user_id=visitor")
        found[name] = called
    return found


def place_of(log: str) -> Path:
    """The folder or file that is meant; ``movielens`` is MovieLens 100K, unless there is such.

    Raises:
        EvaluationError: it does not exist.
        TidemarkError: MovieLens 100K is meant, and its package is not installed.
    """
    from tidemark.movielens import find_movielens  # noqa: PLC0415

    place = Path(log)
    if place.exists():
        return place
    if log == _MOVIELENS:
        return find_movielens()
    raise EvaluationError(
        f"there is no {place}; expected a folder or file with a log, or {_MOVIELENS}"
    )


def open_log(log: str, items: Path | None, columns: Mapping[str, str]) -> ActionLog:
    """Read it, and say how much of it is left out.

    Raises as `place_of` and `tidemark.evaluation.readers.read_log`.
    """
    from tidemark.evaluation.readers import read_log  # noqa: PLC0415 # see tidemark.cli.common

    found = read_log(place_of(log), items=items, columns=columns)
    if found.left_out:
        errors.print(
            f"{found.name}: {found.left_out:,} of {found.left_out + len(found):,} actions are left "
            "out, on items that have no title",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
    return found

"""MovieLens 100K as it lies in the package recbole: 943 users, 1,682 films, 100,000 timed ratings.

The package is read, never imported: it brings the files, not code we run.
"""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from streams.schema import Action, Item
from tidemark.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["find_movielens", "read_films", "read_ratings"]


def find_movielens() -> Path:
    """The folder with ``ml-100k.inter`` and ``ml-100k.item``.

    Raises:
        TidemarkError: the package is not installed.
    """
    spec = find_spec("recbole")
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "dataset_example" / "ml-100k"
        if (folder / "ml-100k.inter").exists():
            return folder
    raise TidemarkError(
        "the demo's data is not installed; install it with: "
        "pip install --no-deps recbole==1.2.1 (only its files are read)"
    )


def read_films(folder: Path) -> list[Item]:
    """The catalogue: title with year, and genres."""
    return [
        Item(
            item_id=row["item_id:token"],
            title=_title(row["movie_title:token_seq"], row["release_year:token"]),
            categories=tuple(row["class:token_seq"].split()),
        )
        for row in _rows(folder / "ml-100k.item")
    ]


def read_ratings(folder: Path) -> list[Action]:
    """The ratings in time order; those of one second in the file's order."""
    actions = [
        Action(
            user_id=row["user_id:token"],
            action="rate",
            item_id=row["item_id:token"],
            rating=float(row["rating:float"]),
            ts=int(float(row["timestamp:float"])) * 1000,
        )
        for row in _rows(folder / "ml-100k.inter")
    ]
    actions.sort(key=lambda action: action.ts)
    return actions


def _title(name: str, year: str) -> str:
    return f"{name} ({year})" if year.isdigit() else name


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)

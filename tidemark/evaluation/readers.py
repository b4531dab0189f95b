"""Reads logs: MovieLens, MovieTweetings, Online Retail, and any CSV or Parquet file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from streams.schema import Item
from tidemark.errors import EvaluationError, WrongRequestError
from tidemark.evaluation.log import NO_ITEM, ActionLog
from tidemark.evaluation.tabular import codes, numbers, read_columns, times_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["read_log"]

#: What the columns of a log of one's own may be called.
_CALLED = {
    "user_id": ("user_id", "userId", "user", "customer_id", "CustomerID"),
    "item_id": ("item_id", "itemId", "item", "movieId", "product_id", "StockCode"),
    "ts": ("ts", "timestamp", "time", "date", "event_time", "InvoiceDate"),
    "action": ("action", "event", "event_type", "type"),
    "rating": ("rating", "stars", "score"),
    "text": ("text", "review", "query"),
    "title": ("title", "name", "Description"),
    "categories": ("categories", "category", "genres"),
    "description": ("description",),
}
_CONTEXT = "context."
_ONLINE_RETAIL = (
    "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "CustomerID"
)  # fmt: skip
#: Where ratings end, if they are not higher; else where the highest is.
_SCALES = (5.0, 10.0)
#: Where those of five begin, if they are not lower; those of ten at 0.
_BEGINNINGS = (1.0, 0.5, 0.0)


class _Rows(NamedTuple):
    """Actions in the file's order, still as strings."""

    users: Sequence[str]
    items: Sequence[str | None]
    ts: NDArray[np.int64]
    actions: Sequence[str]
    ratings: NDArray[np.float64]
    scale: tuple[float, float] = (1.0, 5.0)
    texts: Sequence[str | None] = ()
    context: Mapping[str, Sequence[str | None]] = {}
    assumed: str | None = None


def read_log(
    place: Path, *, items: Path | None = None, columns: Mapping[str, str] | None = None
) -> ActionLog:
    """Read a log in whatever of the known formats it is.

    Args:
        place: a folder of MovieLens (``ratings.csv``, ``movies.csv``; or ``ratings.dat``,
            ``movies.dat`` as of MovieTweetings and older MovieLens; or ``ml-100k.inter``), or a CSV
            or Parquet file. One with the columns of Online Retail is read as that: returns and
            rows without a customer are left out.
        items: the catalogue of a file: CSV or Parquet with item_id, title, categories, description.
        columns: of a file: which column is user_id, item_id, ts, action, rating, text; title,
            categories and description of its catalogue. A file that they are given of is not
            taken for Online Retail.

    Raises:
        EvaluationError: it cannot be read, or is none of these.
    """
    if place.is_dir():
        if items is not None or columns:
            raise EvaluationError(
                f"{place} is a folder, whose files and columns are known; a catalogue and columns "
                "are said of a file"
            )
        return _of_folder(place)
    if not place.exists():
        raise EvaluationError(f"there is no {place}; expected a folder or file with a log")
    found = read_columns(place)
    if not columns and items is None and set(_ONLINE_RETAIL) <= set(found):
        return _online_retail(place, found)
    return _of_columns(place, found, items, columns or {})


def _of_folder(folder: Path) -> ActionLog:
    if (folder / "ratings.csv").exists() and (folder / "movies.csv").exists():
        names = _named(folder / "movies.csv", ("movieId", "title", "genres"))
        catalogue = _films(names[0], names[1], names[2])
        file = folder / "ratings.csv"
        found = _named(file, ("userId", "movieId", "rating", "timestamp"))
        ratings = _ratings(file, *found)
        return _assemble(folder.name, ratings._replace(scale=(0.5, 5.0)), catalogue)
    if (folder / "ratings.dat").exists() and (folder / "movies.dat").exists():
        return _of_dat(folder)
    if (folder / "ml-100k.inter").exists():
        return _movielens_100k(folder)
    raise EvaluationError(
        f"{folder} has none of: ratings.csv and movies.csv, ratings.dat and movies.dat, "
        "ml-100k.inter; name the file where it is a log of your own"
    )


def _of_dat(folder: Path) -> ActionLog:
    file = folder / "ratings.dat"
    catalogue = _films(*_fields(folder / "movies.dat", 3))
    rows = _ratings(file, *_fields(file, 4))
    return _assemble(folder.name, rows._replace(scale=_scale(file, rows.ratings)), catalogue)


def _fields(file: Path, count: int) -> list[list[str | None]]:
    """Columns of a file with ``::`` between the fields of a line."""
    try:
        encoded = file.read_bytes()
    except OSError as error:
        raise EvaluationError(f"{file} cannot be read: {error}") from error
    try:
        text = encoded.decode("utf-8")
    except UnicodeDecodeError:
        # MovieLens 1M is in ISO 8859-1, in which everything can be read.
        text = encoded.decode("latin-1")
    columns: list[list[str | None]] = [[] for _ in range(count)]
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.removesuffix("\r").split("::")
        if fields == [""]:
            continue
        if len(fields) != count:
            raise EvaluationError(
                f"{file}, line {number} has {len(fields)} fields; expected {count} with :: between"
            )
        for column, field in zip(columns, fields, strict=True):
            column.append(field or None)
    return columns


def _named(file: Path, names: Sequence[str]) -> list[Sequence[str | None]]:
    """These columns of a CSV file."""
    found = read_columns(file)
    if missing := [name for name in names if name not in found]:
        raise EvaluationError(
            f"{file} has the columns {', '.join(found)}; expected also {', '.join(missing)}"
        )
    return [found[name] for name in names]


def _scale(file: Path, ratings: NDArray[np.float64]) -> tuple[float, float]:
    """The scale that ratings are on, by the lowest and the highest of them."""
    present = ratings[~np.isnan(ratings)]
    if not present.size:
        return _BEGINNINGS[0], _SCALES[0]
    lowest, highest = float(present.min()), float(present.max())
    if lowest < 0:
        raise EvaluationError(
            f"{file} has a rating of {lowest:g}; expected 0 or more: move them, or give actions of "
            "their own to what is liked and disliked"
        )
    top = next((one for one in _SCALES if highest <= one), highest)
    if top > _SCALES[0]:
        return 0.0, top
    return next(one for one in _BEGINNINGS if lowest >= one), top


def _movielens_100k(folder: Path) -> ActionLog:
    from tidemark.movielens import read_films, read_ratings  # noqa: PLC0415

    actions = read_ratings(folder)
    rows = _Rows(
        [one.user_id for one in actions],
        [one.item_id for one in actions],
        np.array([one.ts for one in actions], np.int64),
        ["rate"] * len(actions),
        np.array([one.rating for one in actions], np.float64),
    )
    return _assemble("ml-100k", rows, read_films(folder))


def _online_retail(file: Path, found: Mapping[str, Sequence[str | None]]) -> ActionLog:
    quantities = numbers(file, "Quantity", found["Quantity"])
    wanted = [
        place
        for place, customer in enumerate(found["CustomerID"])
        if customer is not None and quantities[place] > 0
    ]
    items = [found["StockCode"][place] for place in wanted]
    titles: dict[str, str] = {}
    for place, item in zip(wanted, items, strict=True):
        title = (found["Description"][place] or "").strip()
        if item is not None and title:
            titles.setdefault(item, title)
    rows = _Rows(
        [str(found["CustomerID"][place]).removesuffix(".0") for place in wanted],
        items,
        times_ms(file, "InvoiceDate", [found["InvoiceDate"][place] for place in wanted]),
        ["purchase"] * len(wanted),
        np.full(len(wanted), np.nan),
    )
    catalogue = [Item(item_id=item, title=title) for item, title in titles.items()]
    return _assemble("online-retail", rows, catalogue)


def _of_columns(
    file: Path,
    found: Mapping[str, Sequence[str | None]],
    items: Path | None,
    columns: Mapping[str, str],
) -> ActionLog:
    def named(what: str, *, needed: bool = False) -> Sequence[str | None] | None:
        for name in (columns[what],) if what in columns else _CALLED[what]:
            if name in found:
                return found[name]
        if needed or what in columns:
            wanted = columns.get(what) or " or ".join(_CALLED[what])
            raise EvaluationError(
                f"{file} has the columns {', '.join(found)}; expected one with {what}: {wanted}; "
                f"say which with --column {what}=NAME"
            )
        return None

    if unknown := sorted(set(columns) - set(_CALLED)):
        raise WrongRequestError(f"there is no {unknown[0]}; known: {', '.join(_CALLED)}")
    users, of_items = named("user_id", needed=True), named("item_id", needed=True)
    times, actions = named("ts", needed=True), named("action")
    stars = named("rating")
    ratings = numbers(file, "rating", stars or [None] * len(times or ()))
    default = "rate" if stars is not None else "view"
    rows = _Rows(
        _whole(file, "user_id", users or ()),
        of_items or (),
        times_ms(file, "ts", times or ()),
        [one or default for one in actions] if actions else [default] * len(ratings),
        ratings,
        _scale(file, ratings),
        named("text") or (),
        {
            name.removeprefix(_CONTEXT): column
            for name, column in found.items()
            if name.startswith(_CONTEXT)
        },
        None if actions else default,
    )
    source: Mapping[str, Sequence[str | None]] = found if items is None else read_columns(items)
    whence = file if items is None else items
    return _assemble(file.name.split(".")[0], rows, _catalogue(whence, source, columns))


def _catalogue(
    file: Path, found: Mapping[str, Sequence[str | None]], columns: Mapping[str, str]
) -> list[Item]:
    def named(what: str) -> Sequence[str | None] | None:
        names = (columns[what],) if what in columns else _CALLED[what]
        return next((found[name] for name in names if name in found), None)

    ids, titles = named("item_id"), named("title")
    if ids is None or titles is None:
        raise EvaluationError(
            f"{file} has the columns {', '.join(found)}; expected item_id and title: items are "
            "encoded by their titles; name the catalogue's file with --items"
        )
    nothing = [None] * len(ids)
    categories, descriptions = named("categories") or nothing, named("description") or nothing
    known: dict[str, Item] = {}
    for item_id, title, kinds, description in zip(
        ids, titles, categories, descriptions, strict=True
    ):
        if item_id and title and title.strip() and item_id not in known:
            known[item_id] = Item(
                item_id=item_id,
                title=title.strip(),
                description=description,
                categories=tuple(one for one in (kinds or "").split("|") if one),
            )
    return list(known.values())


def _films(
    ids: Sequence[str | None], titles: Sequence[str | None], genres: Sequence[str | None]
) -> list[Item]:
    return [
        Item(
            item_id=item_id,
            title=(title or "").strip() or item_id,
            categories=tuple(one for one in (kinds or "").split("|") if one),
        )
        for item_id, title, kinds in zip(ids, titles, genres, strict=True)
        if item_id
    ]


def _ratings(
    file: Path,
    users: Sequence[str | None],
    items: Sequence[str | None],
    stars: Sequence[str | None],
    times: Sequence[str | None],
) -> _Rows:
    return _Rows(
        _whole(file, "user", users), items, times_ms(file, "timestamp", times),
        ["rate"] * len(users), numbers(file, "rating", stars),
    )  # fmt: skip


def _whole(file: Path, name: str, values: Sequence[str | None]) -> list[str]:
    """Values, none of which may be missing."""
    found = [one for one in values if one]
    if len(found) < len(values):
        place = next(at for at, one in enumerate(values, 1) if not one)
        raise EvaluationError(
            f"{file}: row {place} has no {name}, and {len(values) - len(found)} rows in all; "
            "expected one in each: leave such rows out"
        )
    return found


def _assemble(name: str, rows: _Rows, catalogue: Sequence[Item]) -> ActionLog:
    """In time order; actions on items that the catalogue does not have are left out.

    Raises:
        EvaluationError: those are all that name an item.
    """
    places = {item.item_id: place for place, item in enumerate(catalogue)}
    items = np.array(
        [NO_ITEM if one is None else places.get(one, _UNKNOWN) for one in rows.items], np.int32
    )
    if (items != NO_ITEM).any() and (items[items != NO_ITEM] == _UNKNOWN).all():
        raise _without_items(name, int((items == _UNKNOWN).sum()), len(catalogue))
    order = np.argsort(rows.ts, kind="stable")
    order = order[items[order] != _UNKNOWN]
    left_out = len(items) - len(order)
    users, user_ids = codes([rows.users[place] for place in order])
    actions, names = codes([rows.actions[place] for place in order])
    texts = {
        at: text
        for at, place in enumerate(order.tolist())
        if rows.texts and (text := rows.texts[place])
    }
    context = {}
    for key, column in rows.context.items():
        values = [column[place] for place in order]
        found, meanings = codes([one or "" for one in values])
        found[[one is None for one in values]] = -1
        context[key] = (found, meanings)
    return ActionLog(
        name=name,
        users=users,
        items=items[order],
        ts=rows.ts[order],
        actions=actions.astype(np.int16),
        ratings=rows.ratings[order].astype(np.float32),
        user_ids=user_ids,
        catalogue=tuple(catalogue),
        action_names=names,
        lowest=rows.scale[0],
        highest=rows.scale[1],
        texts=texts,
        context=context,
        assumed=rows.assumed,
        left_out=left_out,
    )


def _without_items(name: str, actions: int, known: int) -> EvaluationError:
    if not known:
        return EvaluationError(
            f"the log {name} has actions ({actions:,}), but no item with a title; expected some: "
            "items are encoded by their titles, and those without are left out; fill the column "
            "title, or name the catalogue's file with --items"
        )
    return EvaluationError(
        f"the log {name} has actions ({actions:,}), but none on an item with a title ({known:,} "
        "in its catalogue); expected some: has the catalogue the same item_ids as the actions?"
    )


_UNKNOWN = -2

"""The real log that a soak publishes, as often as needed, each action with a name of its own."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoders import Templates
from store.interner import Interner
from streams.catalogue import Catalogue
from streams.errors import RejectedError
from streams.files import format_of, read_file
from streams.rules import FORGET
from streams.schema import Action, Item
from tidemark.errors import SoakError
from tidemark.movielens import find_movielens, read_films, read_ratings
from tidemark.soak.names import named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from streams.rules import ActionRules
    from streams.wording import Wording

__all__ = ["SoakLog", "load_log"]

#: So many places of the log are read in turns, so that many users are active at any time.
_PLACES = 24
#: One action in so many is a search for words never seen before, so that the encoder has work.
_SEARCH_EVERY = 4
#: One action in so many may be sent again by its producer.
_REPEATABLE_EVERY = 5


@dataclass(frozen=True, slots=True)
class SoakLog:
    """A catalogue, and actions on it in the order of the log."""

    items: Sequence[Item]
    recorded: Sequence[Action]

    def catalogue(self, wording: Wording) -> Catalogue:
        """Makes the texts of the actions, as a worker with this wording does."""
        catalogue = Catalogue(Templates(), Interner(), wording)
        for item in self.items:
            catalogue.put(item)
        return catalogue

    def actions(self) -> Iterator[Action]:
        """Without end; ``ts`` is the log's, and to be replaced when it is sent."""
        titles = [item.title for item in self.items]
        part = -(-len(self.recorded) // _PLACES)
        numbers = itertools.count()
        while True:
            for step in range(part):
                for place in range(step, len(self.recorded), part):
                    number = next(numbers)
                    found = self.recorded[place]
                    if number % _SEARCH_EVERY == 0:
                        found = Action(
                            user_id=found.user_id,
                            action="search",
                            ts=found.ts,
                            text=f"{titles[number % len(titles)]} {number}",
                        )
                    yield named(found, f"e{number}", repeatable=number % _REPEATABLE_EVERY == 0)


def load_log(actions: Path | None, items: Path | None, rules: ActionRules) -> SoakLog:
    """MovieLens 100K, or files as `tidemark publish` reads them.

    Left out are actions that a worker would refuse, and forgets: what is to come of each must be
    known beforehand.

    Raises:
        SoakError: nothing is left, or only one of the two files is given.
        InputFileError: a file cannot be read.
        TidemarkError: MovieLens is not installed.
    """
    if (actions is None) != (items is None):
        raise SoakError("a log of your own needs both files: give --log and --items, or neither")
    if actions is None or items is None:
        folder = find_movielens()
        return SoakLog(read_films(folder), read_ratings(folder))
    catalogue = Catalogue(Templates(), Interner())
    known = list(read_file(items, Item, format_of(items)))
    for item in known:
        catalogue.put(item)
    usable = [
        action
        for action in read_file(actions, Action, format_of(actions))
        if _counts(action, catalogue, rules)
    ]
    if not usable or not known:
        raise SoakError(
            f"{actions} has {len(usable)} actions that can be used, {items} {len(known)} items; "
            "expected some of each: known actions on known items, with something to encode"
        )
    return SoakLog(known, usable)


def _counts(action: Action, catalogue: Catalogue, rules: ActionRules) -> bool:
    if action.action == FORGET or (action.item_id is not None and action.item_id not in catalogue):
        return False
    try:
        rules.weigh(action)
    except RejectedError:
        return False
    return bool(catalogue.action_text(action))

"""The texts that a log's actions and items are encoded from, as a worker would make them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from encoders import Templates
from encoders.training.encoder.actions import Actions
from store.interner import Interner
from streams.catalogue import Catalogue
from streams.schema import Action
from tidemark.compose.parts import action_rules, build_redactor, build_wording
from tidemark.evaluation.log import NO_ITEM

if TYPE_CHECKING:
    from tidemark.evaluation.log import ActionLog
    from tidemark.settings import Settings

__all__ = ["actions_of"]


def actions_of(
    log: ActionLog, settings: Settings, *, templates: dict[str, str] | None = None
) -> tuple[Actions, list[str]]:
    """The log as an encoder's training reads it, and the table of its texts.

    Args:
        log: read.
        settings: weights of actions, ratings, templates, redaction.
        templates: instead of the settings', for other forms of the same texts.

    Returns:
        The actions, whose `texts` are rows of the table: of each item its own text first, in the
        catalogue's order, then those of actions that have one of their own (searches, reviews).

    Raises:
        EvaluationError: the settings do not know an action.
        TemplateError: a template cannot be read.
    """
    wording = build_wording(settings, build_redactor(settings))
    catalogue = Catalogue(Templates(templates or settings.encoder.templates), Interner(), wording)
    for item in log.catalogue:
        catalogue.put(item)
    texts = [catalogue.item_text(item) or item.item_id for item in log.catalogue]
    rows = log.items.copy()
    by_text: dict[str, int] = {}
    for code, name in enumerate(log.action_names):
        of_kind = log.actions == code
        plain = catalogue.item_template(name) == "item"
        for place in np.flatnonzero(of_kind & ((log.items == NO_ITEM) | (not plain))).tolist():
            text = catalogue.action_text(_action(log, place, settings))
            rows[place] = -1
            if text:
                rows[place] = by_text.setdefault(text, len(texts) + len(by_text))
    share = (log.ratings - np.float32(log.lowest)) / np.float32(log.highest - log.lowest)
    actions = Actions(
        users=log.users,
        items=log.items,
        texts=rows,
        ts=log.ts,
        strengths=log.strengths(action_rules(settings)),
        ratings=share.astype(np.float32),
        catalogue=len(log.catalogue),
    )
    return actions, [*texts, *by_text]


def _action(log: ActionLog, place: int, settings: Settings) -> Action:
    rating: float | None = None
    if not np.isnan(log.ratings[place]):
        scale = settings.ratings
        share = (float(log.ratings[place]) - log.lowest) / (log.highest - log.lowest)
        rating = scale.low + share * (scale.high - scale.low)
    context: dict[str, str | int | float | bool] = {
        name: meanings[column[place]]
        for name, (column, meanings) in log.context.items()
        if column[place] >= 0
    }
    item: int = log.items[place]
    return Action(
        user_id=log.user_ids[log.users[place]],
        action=log.action_names[log.actions[place]],
        ts=int(log.ts[place]),
        item_id=None if item == NO_ITEM else log.catalogue[item].item_id,
        text=log.texts.get(place),
        rating=rating,
        context=context or None,
    )

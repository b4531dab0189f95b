"""All that is evaluated: the one list of recommenders, by name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from store.policies import Policy
from store.ranking.features import FEATURES, PRODUCTS, TEXT, TEXT_MAPS
from tidemark.errors import WrongRequestError
from tidemark.evaluation.cooccurrence import (
    ITEM_KNN,
    TRANSITIONS,
    WIDE_TRANSITIONS,
    Cooccurrence,
    Form,
)
from tidemark.evaluation.nearness import LastItem, MeanOfHistory, centred
from tidemark.evaluation.popularity import DecayedPopularity, Popularity
from tidemark.evaluation.profiles import NearestToProfile, whitened
from tidemark.evaluation.system import Blended

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray

    from streams.rules import ActionRules
    from tidemark.evaluation.log import ActionLog
    from tidemark.evaluation.protocol import Recommender

__all__ = [
    "ABLATIONS", "HALF_LIVES", "POLICIES", "WHITENINGS", "Entry", "Kind", "Part",
    "entries", "half_lives_of", "recommenders",
]  # fmt: skip


def _all_of(*names: str) -> tuple[str, ...]:
    """The features, and the products of them."""
    of_them = (product for product, pair in PRODUCTS.items() if {*pair} & {*names})
    return (*names, *of_them)


#: What each ablation leaves out of the blend, by name.
ABLATIONS: dict[str, tuple[str, ...]] = {
    "without-text": (*TEXT, TEXT_MAPS),
    "without-text-maps": _all_of(TEXT_MAPS),
    "without-text-products": tuple(PRODUCTS),
    "without-short-term": _all_of("text_short"),
    "without-long-term": _all_of("text_long"),
    "without-latest-items": _all_of("text_nearest", "text_last"),
    "without-popularity": _all_of(*(name for name in FEATURES if name.startswith("popular_"))),
    "without-tastes": _all_of(*(name for name in FEATURES if name.startswith("taste_"))),
    "without-age": _all_of("age", "taste_age"),
    "without-esteem": _all_of("esteem", "taste_esteem"),
    "without-together": _all_of("together", "together_lift", "together_far"),
    "without-follows": _all_of("follows", "next"),
    # what one inner product in an index serves
    "without-pairs": _all_of("together", "together_lift", "together_far", "follows", "next"),
}
#: Of the long-term profile, in place of the default.
POLICIES: dict[str, Policy] = {
    "constant-0.5": Policy("constant", k=0.5),
    "constant-0.9": Policy("constant", k=0.9),
    "constant-0.97": Policy("constant", k=0.97),
    "decay-1d": Policy("decay", half_life_seconds=86_400.0),
    "decay-30d": Policy("decay"),
    "decay-365d": Policy("decay", half_life_seconds=365 * 86_400.0),
    "adaptive": Policy("adaptive"),
}
#: Powers that profiles are whitened by, in place of the settings'.
WHITENINGS = (0.25, 0.5)
#: Days, of decayed popularity.
HALF_LIVES = (0.5, 4.0, 30.0, 365.0)


class Kind(StrEnum):
    """What a recommender is in a report."""

    system = "system"
    """Tidemark's own ranking, or a variant of it."""
    untrained = "untrained"
    """Counts and compares; has nothing that is fitted."""
    trained = "trained"
    """Is fitted to the log, again and again."""


class Part(StrEnum):
    """When a recommender is evaluated without being named."""

    always = "always"
    ablations = "ablations"
    trained = "trained"


@dataclass(frozen=True, slots=True)
class Entry:
    """A recommender that can be asked for.

    Attributes:
        name: as `Recommender.name`; lower case, with hyphens.
        kind: what it is in a report.
        build: makes it, with nothing learned yet.
        part: when it is evaluated without being named.
    """

    name: str
    kind: Kind
    build: Callable[[], Recommender]
    part: Part = Part.always


def entries(
    log: ActionLog,
    rules: ActionRules,
    vectors: Callable[[], NDArray[np.float32]],
    *,
    policy: Policy | None = None,
    mean_removal: bool = True,
    whitening: float = 0.0,
    positive: float = 0.5,
    half_lives: Sequence[float] = HALF_LIVES,
    seed: int = 0,
) -> list[Entry]:
    """Every recommender, in the order of a report. Nothing is built yet.

    Args:
        log: what is replayed.
        rules: how much each kind of action counts.
        vectors: gives ``(items, dim) float32``, unit vectors of the catalogue as the encoder made
            them; called only by recommenders that are built, by each anew.
        policy: of the long-term profile, but where a variant has another; else the default.
        mean_removal: as `retrieval.mean_removal`: of ``nearest``, and of what is found for
            ``as-served``.
        whitening: as `retrieval.whitening`, likewise.
        positive: least strength of what a user liked.
        half_lives: days, of decayed popularity.
        seed: of what is drawn while it is learned.
    """
    of_settings = policy or Policy()

    def system(
        name: str,
        part: Part = Part.always,
        *,
        strengths: Callable[[], NDArray[np.float32]] = lambda: log.strengths(rules),
        texts: Callable[[], NDArray[np.float32]] = vectors,
        folded: Policy = of_settings,
        **variant: Any,
    ) -> Entry:
        return Entry(
            name,
            Kind.system,
            lambda: Blended(
                log, strengths(), texts(), name=name, policy=folded, positive=positive, seed=seed,
                weights=log.weights(rules), mean_removal=mean_removal, whitening=whitening,
                **variant,
            ),
            part,
        )  # fmt: skip

    def nearest(
        name: str,
        texts: Callable[[], NDArray[np.float32]],
        part: Part = Part.ablations,
        **variant: Any,
    ) -> Entry:
        return Entry(
            name,
            Kind.system,
            lambda: NearestToProfile(
                log, texts(), log.strengths(rules), name=name, policy=of_settings,
                weights=log.weights(rules),
                **variant,
            ),
            part,
        )  # fmt: skip

    def trained(name: str) -> Entry:
        return Entry(
            name, Kind.trained, lambda: _trained(name)(log, liked(), seed=seed), Part.trained
        )

    def liked() -> NDArray[np.bool_]:
        # As of `moments.choose`: a scale of ratings that was moved onto another rounds.
        found: NDArray[np.bool_] = log.strengths(rules) >= positive - 1e-6
        return found

    return [
        system("tidemark"),
        *(system(name, Part.ablations, without=left_out) for name, left_out in ABLATIONS.items()),
        *(system(name, Part.ablations, folded=one) for name, one in POLICIES.items()),
        system("as-served", Part.ablations, served=True),
        system("without-words", Part.ablations, words=False),
        system("without-contexts", Part.ablations, contexts=False),
        system("without-learning", Part.ablations, learns=False),
        system("without-mean-removal", Part.ablations, centred=False),
        system("with-whitening", Part.ablations, texts=lambda: whitened(vectors())),
        # every action counts alike: a dislike as a purchase
        system(
            "without-strengths", Part.ablations, strengths=lambda: np.ones(len(log), np.float32)
        ),
        nearest("nearest", vectors, Part.always, mean_removal=mean_removal, whitening=whitening),
        nearest("nearest-without-mean-removal", vectors),
        *(
            nearest(f"nearest-whitening-{power:g}", vectors, mean_removal=True, whitening=power)
            for power in WHITENINGS
        ),
        nearest("nearest-centred", lambda: centred(vectors())),
        nearest("nearest-whitened", lambda: whitened(vectors())),
        nearest("nearest-four-interests", lambda: centred(vectors()), interests=4),
        nearest("nearest-and-popularity", lambda: centred(vectors()), popularity=0.3),
        Entry("popularity", Kind.untrained, lambda: Popularity(log)),
        *(_decayed(log, days) for days in half_lives),
        Entry("last-item", Kind.untrained, lambda: LastItem(log, centred(vectors()))),
        Entry(
            "mean-of-history",
            Kind.untrained,
            lambda: MeanOfHistory(log, centred(vectors()), log.strengths(rules), positive),
        ),
        *(
            _together(log, name, form)
            for name, form in (
                ("item-knn", ITEM_KNN),
                ("transitions", TRANSITIONS),
                ("transitions-wide", WIDE_TRANSITIONS),
            )
        ),
        trained("sasrec"),
        trained("gru4rec"),
    ]


def recommenders(
    known: Sequence[Entry], only: Sequence[str] = (), parts: Collection[Part] = (Part.always,)
) -> list[Recommender]:
    """Those asked for by name and by part, in the order of the list.

    Where some are named, `Part.always` adds none to them.

    Raises:
        WrongRequestError: there is none of a name.
    """
    names = [entry.name for entry in known]
    if missing := sorted(set(only) - set(names)):
        raise WrongRequestError(f"there is no {missing[0]}; known: {', '.join(names)}")
    added = set(parts) - {Part.always} if only else set(parts)
    return [entry.build() for entry in known if entry.name in only or entry.part in added]


def half_lives_of(given: Sequence[float], only: Collection[str]) -> tuple[float, ...]:
    """Those of decayed popularity, days: each once that is given, or `HALF_LIVES`.

    Raises:
        WrongRequestError: one is none, or nothing that is named by `only` has it.
    """
    for days in given:
        if not 0 < days < math.inf:
            raise WrongRequestError(f"--half-life is {days:g}; expected days above 0")
        if only and (name := _decayed_name(days)) not in only:
            raise WrongRequestError(
                f"--half-life is of {name}, which --only leaves out; expected it there, too"
            )
    return tuple(dict.fromkeys(given)) or HALF_LIVES


def _decayed_name(days: float) -> str:
    return f"popularity-{days:g}d"


def _decayed(log: ActionLog, days: float) -> Entry:
    name = _decayed_name(days)
    return Entry(name, Kind.untrained, lambda: DecayedPopularity(log, days, name))


def _together(log: ActionLog, name: str, form: Form) -> Entry:
    return Entry(name, Kind.untrained, lambda: Cooccurrence(log, form, name))


def _trained(name: str) -> Callable[..., Recommender]:
    # loads torch
    from tidemark.evaluation.trained import gru4rec, sasrec  # noqa: PLC0415

    return sasrec if name == "sasrec" else gru4rec

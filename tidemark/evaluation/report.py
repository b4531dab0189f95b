"""What an evaluation found: every recommender's metrics, with intervals, overall and by segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from store.policies import Policy
from tidemark.errors import WrongRequestError
from tidemark.evaluation.bootstrap import Estimate, Resampling, difference
from tidemark.evaluation.metrics import MEANS, coverage, of_moments
from tidemark.evaluation.moments import SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from tidemark.evaluation.log import ActionLog
    from tidemark.evaluation.moments import Choice, Moments
    from tidemark.evaluation.replay import Replayed

__all__ = ["ALL", "Period", "Report", "Row", "make_report", "require_reference"]

#: In place of a segment's name: all moments.
ALL = "all"
#: By what the best is told.
_DECIDES = "recall@10"
#: Over time a figure is shown for so many periods at most, each of so many moments at least.
_PERIODS, _IN_PERIOD = 12, 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One recommender.

    Attributes:
        name: of the recommender.
        kind: system, untrained or trained.
        means: `Estimate` by segment (`ALL` first) and metric (`MEANS`).
        coverage: by segment: share of the catalogue in the ten first of some moment. It grows with
            the moments, so it has no bootstrap interval and compares within a segment only.
        differences: as `means`, this less the reference, on the same draws; None of the reference.
        over_time: mean by metric for each of `Report.periods`; None where there is none.
        learning: seconds for all actions.
        scoring: seconds for all moments.
    """

    name: str
    kind: str
    means: Mapping[str, Mapping[str, Estimate]]
    coverage: Mapping[str, float]
    differences: Mapping[str, Mapping[str, Estimate]] | None
    over_time: Mapping[str, Sequence[float | None]]
    learning: float
    scoring: float


@dataclass(frozen=True, slots=True)
class Period:
    """Moments next to each other, as many in each period.

    Attributes:
        begin, end: times of the first and the last, ms since the epoch.
        moments: how many.
    """

    begin: int
    end: int
    moments: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One evaluation.

    Attributes:
        log: name of the log.
        actions, users, items: in all of it; items of the catalogue.
        left_out: actions beside these, on items without a title.
        choice: which moments were to be scored.
        eligible: that could have been.
        moments: that were, by segment (`ALL` first); segments may overlap.
        users_scored: whose moments they are.
        policy: of the profiles, `store.policies.Policy.identity`.
        mean_removal: whether nearest to a profile is nearest to it without the items' mean.
        whitening: the power by which that is turned as well, see `store.whitening.Whitening`.
        reference: name of the row that the others are compared with.
        periods: of the figures over time.
        rows: in the order they were asked for.
    """

    log: str
    actions: int
    left_out: int
    users: int
    items: int
    choice: Choice
    eligible: int
    moments: Mapping[str, int]
    users_scored: int
    policy: str
    mean_removal: bool
    whitening: float
    reference: str
    periods: Sequence[Period]
    rows: Sequence[Row]

    def row(self, name: str) -> Row:
        """The row of a recommender."""
        return next(row for row in self.rows if row.name == name)


def make_report(
    log: ActionLog,
    choice: Choice,
    moments: Moments,
    replayed: Sequence[Replayed],
    kinds: Mapping[str, str],
    reference: str | None = None,
    *,
    policy: Policy | None = None,
    mean_removal: bool = True,
    whitening: float = 0.0,
) -> Report:
    """Measure what was replayed.

    Args:
        log: that was replayed.
        choice: by which its moments were chosen.
        moments: that were scored.
        replayed: what each recommender did.
        kinds: what each is, by name.
        reference: with what the others are compared; by default the first of the kind system, or
            else the untrained one with the highest recall@10.
        policy: that the recommenders were made with; by default the default.
        mean_removal: likewise.
        whitening: likewise.

    Raises:
        WrongRequestError: the reference is not among them.
    """
    segments = {ALL: np.ones(len(moments), np.bool_), **moments.segments()}
    measured = {one.name: of_moments(one) for one in replayed}
    named = _reference(measured, kinds, reference)
    means, drawn = _means(measured, segments, moments, choice.seed)
    parts = np.array_split(np.arange(len(moments)), _periods(len(moments)))
    times = log.ts[moments.places]
    return Report(
        log=log.name,
        actions=len(log),
        left_out=log.left_out,
        users=len(log.user_ids),
        items=len(log.catalogue),
        choice=choice,
        eligible=moments.eligible,
        moments={name: int(mask.sum()) for name, mask in segments.items()},
        users_scored=len(np.unique(moments.users)),
        policy=(policy or Policy()).identity,
        mean_removal=mean_removal,
        whitening=whitening,
        reference=named,
        periods=[Period(int(times[one[0]]), int(times[one[-1]]), len(one)) for one in parts],
        rows=[
            Row(
                name=one.name,
                kind=kinds[one.name],
                means=means[one.name],
                coverage={
                    name: coverage(one.top[mask], len(log.catalogue))
                    for name, mask in segments.items()
                },
                differences=None
                if one.name == named
                else {
                    segment: {
                        metric: difference(
                            (means[one.name][segment][metric], drawn[one.name, segment, metric]),
                            (means[named][segment][metric], drawn[named, segment, metric]),
                        )
                        for metric in MEANS
                    }
                    for segment in (ALL, *SEGMENTS)
                },
                over_time={
                    metric: [_mean(values[part]) for part in parts]
                    for metric, values in measured[one.name].items()
                },
                learning=one.learning,
                scoring=one.scoring,
            )
            for one in replayed
        ],
    )


def require_reference(names: Collection[str], wanted: str | None) -> None:
    """Refuse to compare with what is not evaluated.

    Raises:
        WrongRequestError: `wanted` is not among the names.
    """
    if wanted is not None and wanted not in names:
        raise WrongRequestError(
            f"the reference {wanted} is not among what is evaluated; expected one of "
            f"{', '.join(names)}"
        )


def _reference(
    measured: Mapping[str, Mapping[str, NDArray[np.float64]]],
    kinds: Mapping[str, str],
    wanted: str | None,
) -> str:
    require_reference(measured, wanted)
    if wanted is not None:
        return wanted
    for name in measured:
        if kinds[name] == "system":
            return name
    untrained = [name for name in measured if kinds[name] == "untrained"] or list(measured)
    return max(untrained, key=lambda name: float(measured[name][_DECIDES].mean()))


def _means(
    measured: Mapping[str, Mapping[str, NDArray[np.float64]]],
    segments: Mapping[str, NDArray[np.bool_]],
    moments: Moments,
    seed: int,
) -> tuple[
    dict[str, dict[str, dict[str, Estimate]]], dict[tuple[str, str, str], NDArray[np.float64]]
]:
    """Estimates by recommender, segment and metric, and the resampled means behind them."""
    keys = [
        (name, segment, metric) for name in measured for segment in segments for metric in MEANS
    ]
    columns = [
        np.where(segments[segment], measured[name][metric], np.nan)
        for name, segment, metric in keys
    ]
    estimates, drawn = Resampling(moments.users, seed).means(np.stack(columns, axis=1))
    found: dict[str, dict[str, dict[str, Estimate]]] = {}
    for (name, segment, metric), estimate in zip(keys, estimates, strict=True):
        found.setdefault(name, {}).setdefault(segment, {})[metric] = estimate
    return found, {key: drawn[:, at] for at, key in enumerate(keys)}


def _periods(moments: int) -> int:
    return max(1, min(_PERIODS, moments // _IN_PERIOD))


def _mean(values: NDArray[np.float64]) -> float | None:
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else None

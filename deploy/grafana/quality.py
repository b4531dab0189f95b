"""Whether profiles are worth something: held against what is popular, as actions come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.grafana.panels import board, curves, figure, row
from deploy.grafana.queries import quantiles

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

__all__ = ["dashboard"]


def _share(ranking: str, window: str) -> str:
    return (
        f'sum(increase(tidemark_online_recall_hits_total{{*,ranking="{ranking}"}}[{window}]))'
        f" / (sum(increase(tidemark_online_recall_trials_total{{*}}[{window}])) > 0)"
    )


def dashboard() -> Dashboard:
    """Online recall, the learned blend, drift, what users do."""
    return board(
        "quality",
        "Tidemark: quality",
        "Whether candidates predict what users do next better than popularity does, and how much "
        "profiles move.",
        "",
        [
            figure(
                "Recall@10 as served",
                "Share of sampled actions whose item was among the ten candidates that the user "
                "would have been served before the action, in the time shown.", "percentunit",
                _share("served", "$__range"), width=5,
            ),
            figure(
                "Recall@10 of profiles",
                "The same of the ten unseen items nearest to the profile.", "percentunit",
                _share("profile", "$__range"), width=5,
            ),
            figure(
                "Recall@10 of popularity",
                "The same of the ten items that most users have recently seen and this one has "
                "not.", "percentunit", _share("popularity", "$__range"), width=5,
            ),
            figure(
                "Trials in all", "Actions sampled in the time shown. A few hundred say little.",
                "short", "sum(increase(tidemark_online_recall_trials_total{*}[$__range]))", width=5,
            ),
            figure(
                "Median drift", "1 − cosine between two versions of a profile, one after another.",
                "short", quantiles("tidemark_profile_drift", 0.5, window="$__range")[0][0], width=4,
            ),
            row("Online recall"),
            curves(
                "Recall@10, by the hour",
                "The line of what is served belongs above the others. All fall when new items "
                "come.", "percentunit",
                (_share("served", "1h"), "served"), (_share("profile", "1h"), "nearest"),
                (_share("popularity", "1h"), "popularity"),
                width=16,
            ),
            curves(
                "Trials", "A second.", "ops",
                ("sum(rate(tidemark_online_recall_trials_total{*}[$__rate_interval]))", "trials"),
            ),
            row("Learned blend"),
            curves(
                "Weights of the learned blend",
                "What candidates are ranked by. They move by small steps, with "
                "what users do.", "short",
                ("avg by (feature) (tidemark_ranking_weight{*})", "{{feature}}"),
                width=16, signed=True,
            ),
            curves(
                "Choices",
                "Items new to their users: counted, and learned from. Of many, samples.", "ops",
                ("sum(rate(tidemark_ranking_choices_counted_total{*}[$__rate_interval]))",
                 "counted"),
                ("sum(rate(tidemark_ranking_choices_learned_total{*}[$__rate_interval]))",
                 "learned from"),
            ),
            row("Profiles and actions"),
            curves(
                "Drift",
                "How far profiles move at an update. It falls as they grow old, and jumps with a "
                "new encoder, other weights or odd data.", "short",
                *quantiles("tidemark_profile_drift", 0.5, 0.9, 0.99), width=12,
            ),
            curves(
                "Actions by type", "What users do, as producers say it.", "ops",
                ("sum by (type) (rate(tidemark_actions_total{*}[$__rate_interval]))", "{{type}}"),
                width=12, stacked=True,
            ),
            curves(
                "Recall of the index",
                "What a search misses, online recall misses too. Exact indexes are not probed.",
                "percentunit", ("min by (index) (tidemark_index_recall{*})", "{{index}}"),
                width=12, most=1, thresholds=(0.99, 0.95),
            ),
            curves(
                "Forgotten", "Forgets, and late actions of users who were forgotten.", "ops",
                (('sum by (outcome) (rate(tidemark_actions_total{*,outcome=~"forget.*"}'
                 "[$__rate_interval])) or vector(0)"), "{{outcome}}"),
                width=12,
            ),
        ],
    )  # fmt: skip

"""Is all well, and where not: the dashboard to begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.grafana.panels import board, curves, figure, row
from deploy.grafana.queries import quantiles

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

__all__ = ["dashboard"]


def dashboard() -> Dashboard:
    """Throughput, lag, freshness, errors."""
    return board(
        "overview",
        "Tidemark overview",
        "Whether profiles are fresh, and what is in the way where they are not.",
        "",
        [
            figure(
                "Alerts", "Alerts of Tidemark that fire; Prometheus lists them.", "short",
                'count(ALERTS{alertname=~"Tidemark.*",alertstate="firing"}) or vector(0)',
                thresholds=(1, 2),
            ),
            figure(
                "Actions a second", "Of all workers, whatever became of them.", "ops",
                "sum(rate(tidemark_actions_total{*}[$__rate_interval]))",
            ),
            figure(
                "Oldest waiting", "Age of the oldest record that no worker is done with.", "s",
                "max(tidemark_consumer_lag_seconds{*})", thresholds=(10, 60),
            ),
            figure(
                "Fresh in time",
                "Share of the profiles that were retrievable within the SLO, in the time shown.",
                "percentunit",
                'sum(increase(tidemark_freshness_profiles_total{*,within_slo="true"}[$__range]))'
                " / (sum(increase(tidemark_freshness_profiles_total{*}[$__range])) > 0)",
                thresholds=(0.99, 0.9),
            ),
            figure(
                "Budget used in 3 days",
                "Share of a month's budget of late profiles that the last three days used.",
                "percentunit", "max(job:tidemark_freshness_budget:burn_rate3d{@}) * 3 / 30",
                thresholds=(0.1, 0.5),
            ),
            figure(
                "Dead letters", "Records refused in the time shown.", "short",
                "sum(increase(tidemark_dead_letters_total{*}[$__range]))", thresholds=(1, 100),
            ),
            figure(
                "Workers", "Workers that answer.", "short",
                "count(tidemark_assigned_partitions{*})",
            ),
            figure(
                "Services ready", "Retrieval services that may be asked.", "short",
                "sum(tidemark_ready{*})",
            ),
            row("Throughput and lag"),
            curves(
                "Actions by outcome",
                "applied changed a profile; fenced and duplicate were applied before; forget and "
                "forgotten_user belong to users who were forgotten.",
                "ops",
                ("sum by (outcome) (rate(tidemark_actions_total{*}[$__rate_interval]))",
                 "{{outcome}}"),
                stacked=True,
            ),
            curves(
                "Age of the oldest waiting record",
                "By topic. Grows by a second a second where nothing is done.", "s",
                ("max by (topic) (tidemark_consumer_lag_seconds{*})", "{{topic}}"),
                thresholds=(10, 60),
            ),
            curves(
                "Records waiting", "By topic, in Kafka and in the workers.", "short",
                ("sum by (topic) (tidemark_consumer_lag_records{*})", "{{topic}}"),
            ),
            row("Freshness: from publishing to being retrievable"),
            curves(
                "Freshness",
                "Of the profiles that became retrievable; the SLO is the setting "
                "retrieval.freshness_slo_seconds.", "s",
                *quantiles("tidemark_freshness_seconds", 0.5, 0.95, 0.99),
                ("max(tidemark_freshness_slo_seconds{*})", "SLO"),
            ),
            curves(
                "Late profiles", "Share of the profiles that were later than the SLO.",
                "percentunit",
                (('sum(rate(tidemark_freshness_profiles_total{*,within_slo="false"}'
                 "[$__rate_interval]))"
                 " / (sum(rate(tidemark_freshness_profiles_total{*}[$__rate_interval])) > 0)"),
                 "late"),
                ("1 - max(tidemark_freshness_objective_ratio{*})", "allowed by the objective"),
            ),
            curves(
                "Budget burn rate",
                "At 1 the budget of 30 days is used up in 30 days. Beyond 6 in six hours, or 14.4 "
                "in one, somebody is woken.", "short",
                ("max(job:tidemark_freshness_budget:burn_rate5m{@})", "5 minutes"),
                ("max(job:tidemark_freshness_budget:burn_rate1h{@})", "1 hour"),
                ("max(job:tidemark_freshness_budget:burn_rate6h{@})", "6 hours"),
                thresholds=(6, 14.4),
            ),
            row("What goes wrong"),
            curves(
                "Dead letters by reason",
                "Records that cannot be processed. tidemark dead-letters list shows them.", "ops",
                ("sum by (reason) (rate(tidemark_dead_letters_total{*}[$__rate_interval]))",
                 "{{reason}}"),
                stacked=True,
            ),
            curves(
                "Failures", "Each is tried again or done without; that it goes on is what matters.",
                "ops",
                ("sum(rate(tidemark_encode_failures_total{*}[$__rate_interval]))", "encoder"),
                ("sum(rate(tidemark_commit_failures_total{*}[$__rate_interval]))", "commits"),
                ("sum(rate(tidemark_snapshot_failures_total{*}[$__rate_interval]))",
                 "workers' snapshots"),
                ("sum(rate(tidemark_retrieval_snapshot_failures_total{*}[$__rate_interval]))",
                 "services' snapshots"),
                ("sum(rate(tidemark_disk_cache_failures_total{*}[$__rate_interval]))",
                 "cache on disk"),
            ),
            curves(
                "Failed requests",
                "Share of the requests answered with 5xx or 429, probes left out.", "percentunit",
                ("max(job:tidemark_retrieval_errors:ratio_rate5m{@})", "failed"),
                thresholds=(0.01, 0.02),
            ),
        ],
    )  # fmt: skip

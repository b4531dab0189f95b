"""How requests are answered, and what they are answered from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.grafana.panels import board, curves, figure, row
from deploy.grafana.queries import mean, quantiles

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

__all__ = ["dashboard"]


def dashboard() -> Dashboard:
    """Requests, indexes, follower, generations."""
    return board(
        "retrieval",
        "Tidemark: retrieval and index",
        "How requests are answered, and how fresh and exact what they are answered from is.",
        '{process="retrieval"}',
        [
            figure(
                "Ready", "Replicas that may be asked, of those that run.", "percentunit",
                "avg(tidemark_ready{*})", thresholds=(1, 0.5), width=4,
            ),
            figure(
                "Following", "Replicas that new records reach, of those that run.", "percentunit",
                "avg(tidemark_follower_healthy{*})", thresholds=(1, 0.5), width=4,
            ),
            figure(
                "Behind", "Records that the replica that is furthest behind has not read.", "short",
                "max(tidemark_follower_lag_records{*})", thresholds=(1_000, 10_000), width=4,
            ),
            figure(
                "Profiles", "In the index of the replica that has most.", "short",
                'max(tidemark_index_vectors{*,index="profiles"})', width=4,
            ),
            figure(
                "Items", "In the index of the replica that has most.", "short",
                'max(tidemark_index_vectors{*,index="items"})', width=4,
            ),
            figure(
                "Answers from", "The generation that answers, by its topic of profiles.", "short",
                'count by (generation) (tidemark_generation_info{*,role="serving"})', width=4,
                legend="{{generation}}",
            ),
            row("Requests"),
            curves(
                "Requests", "By route, probes and scrapes counted.", "reqps",
                ("sum by (route) (rate(tidemark_retrieval_requests_total{*}[$__rate_interval]))",
                 "{{route}}"),
                stacked=True,
            ),
            curves(
                "Answers by status",
                "429: retrieval.max_waiting requests wait; 503: not ready; 504: not in time.",
                "reqps",
                ("sum by (status) (rate(tidemark_retrieval_requests_total{*}[$__rate_interval]))",
                 "{{status}}"),
                stacked=True,
            ),
            curves(
                "Failed requests",
                "Share of the requests answered with 5xx or 429, probes left out.", "percentunit",
                ("max(job:tidemark_retrieval_errors:ratio_rate5m{@})", "failed"),
                thresholds=(0.01, 0.02),
            ),
            curves(
                "Latency, median", "From the request's arrival to the end of its answer.", "s",
                *[(query, "{{route}}") for query, _ in
                  quantiles("tidemark_retrieval_request_seconds", 0.5, by="route")],
                width=12,
            ),
            curves(
                "Latency, 99th percentile",
                "A forget waits up to five seconds on purpose until it is applied.", "s",
                *[(query, "{{route}}") for query, _ in
                  quantiles("tidemark_retrieval_request_seconds", 0.99, by="route")],
                width=12, thresholds=(0.1, 0.5),
            ),
            row("Index"),
            curves(
                "Search", "In the index alone, without waiting, filters or answers.", "s",
                *quantiles("tidemark_index_search_seconds", 0.5, 0.99, by="index"),
            ),
            curves(
                "Recall", "Share of the true best that searches find, probed all the time; exact "
                "indexes are not probed. The index aims at 0.99.", "percentunit",
                ("min by (index) (tidemark_index_recall{*})", "{{index}}"), most=1,
                thresholds=(0.99, 0.95),
            ),
            curves(
                "Vectors", "Held, by replica.", "short",
                ("tidemark_index_vectors{*}", "{{index}} {{instance}}"),
            ),
            curves(
                "Memory of the process", "Resident.", "bytes",
                ("process_resident_memory_bytes{*}", "{{instance}}"), width=12,
            ),
            curves(
                "CPU", "Cores that the process uses.", "short",
                ("rate(process_cpu_seconds_total{*}[$__rate_interval])", "{{instance}}"), width=12,
            ),
            row("Following the topics"),
            curves(
                "Records behind", "Beyond retrieval.max_lag_records a replica is not ready.",
                "short", ("tidemark_follower_lag_records{*}", "{{instance}}"),
            ),
            curves(
                "Records read",
                "applied; stale: a newer version is known; corrupt: not what a worker writes; "
                "foreign: of another encoder.", "ops",
                (("sum by (topic, outcome) (rate(tidemark_follower_records_total{*}"
                 "[$__rate_interval]))"), "{{topic}} {{outcome}}"),
            ),
            curves(
                "Ready and following", "1 is yes. A replica that is not ready is not asked.",
                "short",
                ("tidemark_ready{*}", "ready {{instance}}"),
                ("tidemark_follower_healthy{*}", "following {{instance}}"), most=1,
            ),
            curves(
                "Freshness", "From publishing to being retrievable, by replica.", "s",
                *quantiles("tidemark_freshness_seconds", 0.5, 0.99, by="instance"),
            ),
            curves(
                "Generations", "Replicas that answer from a generation, or follow it to be next.",
                "short",
                ("count by (generation, role) (tidemark_generation_info{*})",
                 "{{generation}} {{role}}"),
            ),
            curves(
                "Changes of generation", "Each replica changes on its own.", "short",
                ("increase(tidemark_generation_swaps_total{*}[$__rate_interval])", "{{instance}}"),
            ),
            row("Snapshots and queries' texts"),
            curves(
                "Snapshots", "Mean seconds to write one.", "s",
                (mean("tidemark_retrieval_snapshot_seconds", "30m"), "snapshot"),
            ),
            curves(
                "Snapshots that failed", "The one before stays; a start reads more.", "short",
                ("increase(tidemark_retrieval_snapshot_failures_total{*}[30m])", "{{instance}}"),
            ),
            curves(
                "Texts of queries", "Encoded for /v1/search.", "ops",
                ("sum(rate(tidemark_texts_requested_total{*}[$__rate_interval]))", "requested"),
                ("sum(rate(tidemark_texts_encoded_total{*}[$__rate_interval]))", "encoded"),
            ),
        ],
    )  # fmt: skip

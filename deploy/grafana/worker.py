"""What the workers do, and what holds them up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.grafana.panels import board, curves, row
from deploy.grafana.queries import mean, quantiles, share

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

__all__ = ["dashboard"]

_STAGES = ("prepare", "encode", "fold", "publish", "commit")


def dashboard() -> Dashboard:
    """Batches, stages, encoder, cache, device, partitions."""
    return board(
        "worker",
        "Tidemark: worker",
        "What the workers do, where their time goes, and what holds them up.",
        '{process="worker"}',
        [
            row("Flow"),
            curves(
                "Actions", "By worker. Partitions decide who does how much.", "ops",
                ("sum by (instance) (rate(tidemark_actions_total{*}[$__rate_interval]))",
                 "{{instance}}"),
                stacked=True,
            ),
            curves(
                "Items of the catalogue", "By what became of them.", "ops",
                ("sum by (outcome) (rate(tidemark_items_total{*}[$__rate_interval]))",
                 "{{outcome}}"),
                stacked=True,
            ),
            curves(
                "Standing still",
                "How long a worker had something to do and nothing advanced. At "
                "worker.stall_seconds it is unhealthy, at worker.stall_exit_seconds it ends.", "s",
                ("tidemark_stalled_seconds{*}", "{{instance}}"), thresholds=(10, 45),
            ),
            curves(
                "Age of the oldest waiting record, by partition",
                "One partition alone that is behind has a user or a worker of its own to blame.",
                "s",
                ("max by (topic, partition) (tidemark_consumer_lag_seconds{*})",
                 "{{topic}}-{{partition}}"),
                width=12, thresholds=(10, 60),
            ),
            curves(
                "Records waiting, by partition", "In Kafka and in the workers.", "short",
                ("max by (topic, partition) (tidemark_consumer_lag_records{*})",
                 "{{topic}}-{{partition}}"),
                width=12,
            ),
            row("Micro-batches"),
            curves(
                "Size", "Actions in a micro-batch: as many as came while the one before was made.",
                "short", *quantiles("tidemark_batch_actions", 0.5, 0.99),
            ),
            curves(
                "Fill time", "From the arrival of a micro-batch's first record to its being taken.",
                "s", *quantiles("tidemark_batch_fill_seconds", 0.5, 0.99),
            ),
            curves(
                "Where the time goes",
                "Seconds a second in each stage, all workers together. Encoding is part of "
                "preparing.", "s",
                *((f"sum(rate(tidemark_{stage}_seconds_sum{{*}}[$__rate_interval]))", stage)
                  for stage in _STAGES),
            ),
            curves(
                "Stages, median", "Of a micro-batch; of a commit.", "s",
                *((quantiles(f"tidemark_{stage}_seconds", 0.5)[0][0], stage) for stage in _STAGES),
                width=12,
            ),
            curves(
                "Stages, 99th percentile", "Of a micro-batch; of a commit.", "s",
                *((quantiles(f"tidemark_{stage}_seconds", 0.99)[0][0], stage) for stage in _STAGES),
                width=12,
            ),
            row("Encoder"),
            curves(
                "Texts",
                "requested of the encoder; encoded by the model; merged with one under way; cut "
                "at encoder.max_tokens.", "ops",
                *((f"sum(rate(tidemark_texts_{what}_total{{*}}[$__rate_interval]))", what)
                  for what in ("requested", "encoded", "merged", "cut")),
            ),
            curves(
                "Tokens", "That the model computed: of texts, and to fill up batches.", "ops",
                ("sum(rate(tidemark_tokens_total{*}[$__rate_interval]))", "texts"),
                ("sum(rate(tidemark_padding_tokens_total{*}[$__rate_interval]))", "padding"),
                stacked=True,
            ),
            curves(
                "Padding share", "Of the computed tokens. Little is good.", "percentunit",
                (
                    share("tidemark_padding_tokens_total", "tidemark_tokens_total"),
                    "padding",
                ),
                most=1,
            ),
            curves(
                "Busy", "Share of the time that the model computes. Near 1 it is the limit.",
                "percentunit",
                (("sum by (instance) (rate(tidemark_encoder_busy_seconds_total{*}"
                 "[$__rate_interval]))"), "{{instance}}"),
                thresholds=(0.8, 0.95),
            ),
            curves(
                "Failed texts", "That the encoder raised on, tries counted.", "ops",
                ("sum by (instance) (rate(tidemark_encode_failures_total{*}[$__rate_interval]))",
                 "{{instance}}"),
            ),
            curves(
                "Redactions", "Taken out of users' words before they are encoded, by kind.", "ops",
                ("sum by (kind) (rate(tidemark_redactions_total{*}[$__rate_interval]))",
                 "{{kind}}"),
                stacked=True,
            ),
            row("Cache of vectors"),
            curves(
                "Hit share",
                "In memory: of all texts. On disk: of those that were not in memory.",
                "percentunit",
                (share("tidemark_cache_hits_total", "tidemark_cache_misses_total"), "memory"),
                (
                    share("tidemark_disk_cache_hits_total", "tidemark_disk_cache_misses_total"),
                    "disk",
                ),
                most=1,
            ),
            curves(
                "Evictions", "Texts that made room for others.", "ops",
                ("sum(rate(tidemark_cache_evictions_total{*}[$__rate_interval]))", "memory"),
                ("sum(rate(tidemark_disk_cache_evictions_total{*}[$__rate_interval]))", "disk"),
            ),
            curves(
                "Failures of the cache on disk", "Costs the hits; no text fails for it.", "ops",
                (("sum by (instance) (rate(tidemark_disk_cache_failures_total{*}"
                 "[$__rate_interval]))"), "{{instance}}"),
            ),
            row("Device and process"),
            curves(
                "Device utilisation", "Of the device that encodes.", "percentunit",
                ("tidemark_device_utilization_ratio{*}", "{{instance}} {{device}}"), most=1,
                width=6,
            ),
            curves(
                "Device memory", "Used by the process, and what there is.", "bytes",
                ("tidemark_device_memory_bytes{*}", "{{instance}} {{device}}"),
                ("tidemark_device_memory_limit_bytes{*}", "limit {{instance}} {{device}}"),
                width=6,
            ),
            curves(
                "CPU", "Cores that the process uses.", "short",
                ("rate(process_cpu_seconds_total{*}[$__rate_interval])", "{{instance}}"), width=6,
            ),
            curves(
                "Memory", "Resident, of the process.", "bytes",
                ("process_resident_memory_bytes{*}", "{{instance}}"), width=6,
            ),
            row("Partitions and state"),
            curves(
                "Partitions", "Assigned to each worker, those of items counted.", "short",
                ("tidemark_assigned_partitions{*}", "{{instance}}"), width=6,
            ),
            curves(
                "Rebalances", "In each, partitions stand still for a moment.", "short",
                ("increase(tidemark_rebalances_total{*}[$__rate_interval])", "{{instance}}"),
                width=6,
            ),
            curves(
                "Commits that failed", "What is not committed is read again after a restart.",
                "ops",
                ("rate(tidemark_commit_failures_total{*}[$__rate_interval])", "{{instance}}"),
                width=6,
            ),
            curves(
                "Profiles held", "By worker: its memory grows with them.", "short",
                ("tidemark_profiles{*}", "{{instance}}"), width=6, stacked=True,
            ),
            curves(
                "Restores under way", "Records read, and those to read.", "short",
                ("sum by (instance) (tidemark_restoring_read_records{*})", "read {{instance}}"),
                ("sum by (instance) (tidemark_restoring_expected_records{*})",
                 "expected {{instance}}"),
                width=6,
            ),
            curves(
                "Restored", "Profiles read back after an assignment.", "ops",
                ("sum by (instance) (rate(tidemark_restored_profiles_total{*}[$__rate_interval]))",
                 "{{instance}}"),
                width=6,
            ),
            curves(
                "Mean time of a restore", "Of a partition.", "s",
                (mean("tidemark_restore_seconds"), "restore"),
                width=6,
            ),
            curves(
                "Profiles written again",
                "Another worker's late write had come after the newest version.", "ops",
                (("sum by (instance) (rate(tidemark_overtaken_profiles_total{*}"
                 "[$__rate_interval]))"), "{{instance}}"),
                width=6,
            ),
            curves(
                "Snapshots", "Seconds to write a partition's.", "s",
                *quantiles("tidemark_snapshot_seconds", 0.5, 0.99, window="10m"), width=12,
            ),
            curves(
                "Snapshots that failed", "The one before stays; a restore reads more.", "short",
                ("increase(tidemark_snapshot_failures_total{*}[10m])", "{{instance}}"), width=12,
            ),
        ],
    )  # fmt: skip

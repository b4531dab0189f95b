"""What is shown, from what the processes showed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tidemark.cli.top.samples import Looks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemark.cli.top.samples import Look

__all__ = ["Seen", "figures"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One process.

    Attributes:
        url: where it was asked.
        before: its look before; None where there is none.
        now: its newest look; None where it does not answer.
        error: why not.
        status: what the retrieval service's /v1/status said.
    """

    url: str
    before: Look | None = None
    now: Look | None = None
    error: str = ""
    status: dict[str, Any] | None = None


def figures(workers: Sequence[Seen], service: Seen | None, at_ms: int) -> dict[str, Any]:
    """All figures, as `tidemark top --once --json` prints them; null where one cannot be told.

    Args:
        workers: the workers.
        service: the retrieval service; None where none is known.
        at_ms: ms since the epoch.
    """
    work = Looks([(one.before, one.now) for one in workers if one.now is not None])
    serve = Looks([(service.before, service.now)] if service and service.now else [])
    return {
        "at": at_ms,
        "workers": [_worker(one) for one in workers],
        "retrieval": None if service is None else _service(service, serve),
        "throughput": _throughput(work),
        "lag": {
            "records": work.value("tidemark_consumer_lag_records"),
            "seconds": work.largest("tidemark_consumer_lag_seconds"),
        },
        "freshness": _freshness(serve),
        "batches": _batches(work),
        "encoder": _encoder(work),
        "dead_letters": {
            reason: {
                "total": work.value("tidemark_dead_letters_total", reason=reason),
                "per_second": work.rate("tidemark_dead_letters_total", reason=reason),
            }
            for reason in work.label_values("tidemark_dead_letters_total", "reason")
        },
        "index": {
            index: {
                "vectors": serve.value("tidemark_index_vectors", index=index),
                "recall": serve.value("tidemark_index_recall", index=index),
                "search_p99_seconds": serve.quantile(
                    0.99, "tidemark_index_search_seconds", index=index
                ),
            }
            for index in serve.label_values("tidemark_index_vectors", "index")
        },
        "quality": _quality(serve),
    }


def _worker(seen: Seen) -> dict[str, Any]:
    own = Looks([(seen.before, seen.now)] if seen.now else [])
    return {
        "url": seen.url,
        "up": seen.now is not None,
        "error": seen.error or None,
        "partitions": own.value("tidemark_assigned_partitions"),
        "profiles": own.value("tidemark_profiles"),
        "actions_per_second": own.rate("tidemark_actions_total", outcome="applied"),
        "lag_records": own.value("tidemark_consumer_lag_records"),
        "stalled_seconds": own.value("tidemark_stalled_seconds"),
        "cpu_ratio": own.value("tidemark_device_utilization_ratio", device="cpu"),
        "memory_bytes": own.value("process_resident_memory_bytes"),
    }


def _service(seen: Seen, serve: Looks) -> dict[str, Any]:
    status = seen.status or {}
    return {
        "url": seen.url,
        "up": seen.now is not None,
        "error": seen.error or None,
        "ready": status.get("ready"),
        "reason": status.get("reason") or status.get("health_reason") or None,
        "generation": status.get("generation"),
        "lag_records": status.get("lag"),
        "requests_per_second": serve.rate("tidemark_retrieval_requests_total"),
        "request_p99_seconds": serve.quantile(0.99, "tidemark_retrieval_request_seconds"),
    }


def _throughput(work: Looks) -> dict[str, Any]:
    return {
        "actions_per_second": work.rate("tidemark_actions_total", outcome="applied"),
        "by_type": {
            kind: work.rate("tidemark_actions_total", outcome="applied", type=kind)
            for kind in work.label_values("tidemark_actions_total", "type")
        },
        "skipped_per_second": {
            outcome: work.rate("tidemark_actions_total", outcome=outcome)
            for outcome in work.label_values("tidemark_actions_total", "outcome")
            if outcome != "applied"
        },
    }


def _freshness(serve: Looks) -> dict[str, Any]:
    within = serve.increase("tidemark_freshness_profiles_total", within_slo="true") or 0.0
    beyond = serve.increase("tidemark_freshness_profiles_total", within_slo="false") or 0.0
    return {
        "p50_seconds": serve.quantile(0.5, "tidemark_freshness_seconds"),
        "p99_seconds": serve.quantile(0.99, "tidemark_freshness_seconds"),
        "within_slo_ratio": within / (within + beyond) if within + beyond else None,
        "slo_seconds": serve.value("tidemark_freshness_slo_seconds"),
        "objective_ratio": serve.value("tidemark_freshness_objective_ratio"),
    }


def _batches(work: Looks) -> dict[str, Any]:
    stages = ("batch_fill", "prepare", "encode", "fold", "publish", "commit")
    return {
        "per_second": work.rate("tidemark_batch_actions_count"),
        "actions_p50": work.quantile(0.5, "tidemark_batch_actions"),
        **{f"{one}_p50_seconds": work.quantile(0.5, f"tidemark_{one}_seconds") for one in stages},
    }


def _encoder(work: Looks) -> dict[str, Any]:
    return {
        "texts_per_second": work.rate("tidemark_texts_requested_total"),
        "encoded_per_second": work.rate("tidemark_texts_encoded_total"),
        "cache_hit_ratio": work.share("tidemark_cache_hits_total", "tidemark_cache_misses_total"),
        "padding_ratio": work.share("tidemark_padding_tokens_total", "tidemark_tokens_total"),
        "busy_ratio": work.rate("tidemark_encoder_busy_seconds_total"),
        "failures": work.value("tidemark_encode_failures_total"),
    }


def _quality(serve: Looks) -> dict[str, Any]:
    """Since the start: it is sampled, and a few seconds have too few trials."""
    trials = serve.value("tidemark_online_recall_trials_total") or 0.0

    def recall(ranking: str) -> float | None:
        hits = serve.value("tidemark_online_recall_hits_total", ranking=ranking)
        return None if hits is None or not trials else hits / trials

    return {
        "trials": trials,
        "recall_at_10": recall("profile"),
        "popularity_recall_at_10": recall("popularity"),
        "drift_p50": serve.quantile(0.5, "tidemark_profile_drift"),
    }
